"""Who may do what with a repository's files: each mode that modelrepo gives, and what is wrong with another one.

A repository is its owner's alone (`PRIVATE`), or shared by the members of its root directory's group (`SHARED`). To
move or delete another user's directory one must be able to write to it, so that in a shared one every directory, those
of models too, is writable for the group and hands its group on (the set-group-ID bit). Files of models are read-only in
both: they are never changed, only deleted with what holds them.
"""

from __future__ import annotations

from modelrepo.core.values import Value

#: Every file of a version, its manifest, and manifests that outlived their version.
FILE = 0o444
#: A piece of ballast: nobody reads it, and who may write to its directory may give it up.
PIECE = 0o600

_WRITE = 0o222
_OTHERS = 0o022
_GROUP = 0o2070
#: What kubelet adds to everything on a volume of a pod with `fsGroup` (kubernetes, `pkg/volume/volume_linux.go`).
_FS_GROUP_FILE, _FS_GROUP_DIRECTORY = 0o660, 0o2770


class Modes(Value):
    """The modes of one repository. They are set as they stand here, whatever the umask.

    Attributes:
        directory: What everybody may look into: versions, views, modelrepo's own directories; a shared root, too.
        private: Staging and trash, which hold what is half done.
        state: Settings and journal.
        lock: The lock: who may open it may write.
        shared: Whether members of the root's group may write.
    """

    directory: int
    private: int
    state: int
    lock: int
    shared: bool

    def right(self, *, directory: bool) -> int:
        """The mode of what lies in a version."""
        return self.directory if directory else FILE

    def fault(self, mode: int, right: int) -> str | None:
        """What is wrong with a mode, in words.

        Args:
            mode: What stands there.
            right: What should.

        Returns:
            None where nobody may change more than he should, and in a shared repository the group may do its work.

        >>> PRIVATE.fault(0o775, PRIVATE.directory), PRIVATE.fault(0o700, PRIVATE.directory)
        ('others may change it', None)
        >>> SHARED.fault(0o755, SHARED.directory)
        'members of the group cannot work with it'
        """
        if mode & _WRITE & ~right:
            return "others may change it" if mode & _OTHERS & ~right else "it can be changed"
        if self.shared and right & _GROUP & ~mode:
            return "members of the group cannot work with it"
        return None


PRIVATE = Modes(directory=0o755, private=0o700, state=0o644, lock=0o600, shared=False)
SHARED = Modes(directory=0o2775, private=0o2770, state=0o664, lock=0o660, shared=True)


def is_fs_group(mode: int, right: int, *, directory: bool) -> bool:
    """Whether a mode is the right one with exactly what Kubernetes' `fsGroup` adds at every mount.

    >>> is_fs_group(0o664, FILE, directory=False), is_fs_group(0o666, FILE, directory=False)
    (True, False)
    """
    return mode == right | (_FS_GROUP_DIRECTORY if directory else _FS_GROUP_FILE)
