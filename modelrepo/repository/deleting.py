"""Taking versions out of sight, and deleting what lies in staging and trash that nobody owns.

A version is renamed into the trash under the lock (commit); its bytes are deleted behind that, without the lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.core.records import Action
from modelrepo.core.refs import Version
from modelrepo.core.values import Value
from modelrepo.errors import IntegrityError, ModelRepoError, UnconfirmedError, from_os, told
from modelrepo.fs import ballast, deletion, durable, locks
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import Writer, token


def to_trash(
    writer: Writer, snapshot: Snapshot, version: Version, name: str, action: Action, reason: str | None = None
) -> None:
    """Rename a version into the trash: the commit of its deletion. The caller holds it exclusively.

    Args:
        writer: Who holds the lock.
        snapshot: What was seen under the lock.
        version: Which one.
        name: Its name in the trash, never used before.
        action: `cleanup` or `remove`.
        reason: What to write into the history.

    Raises:
        UnconfirmedError: It is out of sight, and something behind that is unfinished.
        SystemRefusedError: It could not be moved; nothing changed.
    """
    layout = writer.layout
    directory, trash = layout.version(version), layout.trash / name
    intent = writer.record("intent", action, version=version, token=name, reason=reason)
    try:
        with contextlib.suppress(IntegrityError):  # a damaged manifest is no reason to keep damaged bytes
            snapshot.manifest_bytes(version)  # which checks them
            ballast.with_room(layout.ballast, lambda: _keep_manifest(writer, version))
        writer.lock.check()
        durable.rename_new(directory, trash)
    except IntegrityError:  # the lock is not ours any more: nothing was moved
        writer.give_up(intent)
        raise
    except OSError as error:
        if directory.exists():
            writer.give_up(intent)
            raise from_os(error, f"take {version} out of sight") from error
    durable_now = False
    try:
        durable.sync_directory(layout.trash)
        durable.sync_directory(layout.root)
        durable_now = True
        writer.close(intent, "done")
    except (OSError, IntegrityError) as error:
        raise UnconfirmedError(
            f"{version} is gone, but {told(error, 'confirm it')}",
            durable=durable_now,
            view=None,
            recorded=False,
            hint="mend the cause; the next writing command completes it",
        ) from error


def bytes_left(versions: Iterable[Version], trouble: list[ModelRepoError], partial: Value) -> UnconfirmedError:
    """The error for versions that are gone, but whose bytes could not be deleted yet."""
    names = ", ".join(map(str, versions))
    return UnconfirmedError(
        f"bytes of {names} are left; the next cleanup deletes them",
        durable=True,
        view=None,
        recorded=True,
        hint="mend the cause; until then nothing but their room is lost",
        items=tuple(error.message for error in trouble),
        partial=partial,
    )


def _keep_manifest(writer: Writer, version: Version) -> None:
    """Let the manifest outlive its version: by another name, which needs no room; by a copy where that cannot be."""
    source, kept = writer.layout.manifest(version), writer.layout.removed_manifest(version)
    durable.second_name(source, kept, writer.temporary())


def take_abandoned(writer: Writer, trouble: list[ModelRepoError]) -> list[str]:
    """Rename what crashed commands left in staging into the trash; return what may be deleted there.

    Under the lock, so that nobody's temporary link is taken away; a push's directory is taken only where nobody holds
    it. Everything that lies in the trash now was recorded and synced before: recovery has closed all intents.

    Args:
        writer: Who holds the lock.
        trouble: Where to note what could not be taken; the rest is taken all the same.
    """
    layout = writer.layout
    names = sorted(os.listdir(layout.staging))
    _each(layout.staging, names, trouble, lambda path: durable.rename_new(path, layout.trash / token("staging")))
    durable.sync_directory(layout.staging)
    durable.sync_directory(layout.trash)
    return sorted(os.listdir(layout.trash))


def empty_trash(layout: Layout, names: Iterable[str], trouble: list[ModelRepoError]) -> list[str]:
    """Delete from the trash; return what went, or goes by somebody else's doing.

    What somebody leases stays until the next cleanup.
    """
    return _each(layout.trash, names, trouble, lambda path: deletion.delete_tree(path, top=layout.root))


def _each(
    place: Path, names: Iterable[str], trouble: list[ModelRepoError], action: Callable[[Path], None]
) -> list[str]:
    """Do something with each directory that nobody holds, held meanwhile; files and links simply go.

    Returns:
        The directories with which it is done.
    """
    done = []
    for name in names:
        path = place / name
        with _noting(trouble, f"delete {path}"):
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                durable.remove_file(path)
            elif _is_done(path, action):
                done.append(name)
    return done


def _is_done(path: Path, action: Callable[[Path], None]) -> bool:
    """Do something with a directory, unless somebody leases it; where another is at it, or was faster, it is done."""
    try:
        hold = locks.take(path, exclusive=True)
    except FileNotFoundError:
        return True
    except PermissionError:
        if not durable.remove_empty(path):  # another's, who crashed before he could set its mode
            raise
        return True
    if hold is None:
        return _is_being_deleted(path)
    with hold:
        action(path)
    return True


def _is_being_deleted(path: Path) -> bool:
    """Whether a directory is held by who deletes it, not by who leases it; or is gone."""
    try:
        lease = locks.take(path)
    except FileNotFoundError:
        return True
    if lease is not None:
        lease.close()
    return lease is None


@contextlib.contextmanager
def _noting(trouble: list[ModelRepoError], doing: str) -> Iterator[None]:
    """Note that something could not be done, and go on; what is gone already is fine."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        trouble.append(from_os(error, doing))
