"""Damage to the files and directories that modelrepo keeps: each kind of it to each of them.

What concerns a command makes it fail in the one way that the documentation gives; all other commands work.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .scene import COMMANDS, READING, STATE, USUAL, WRITING, derived_name, golden_name

Codes = frozenset[int]
#: What `ends` calls groups of commands.
_GROUPS = {"all": tuple(COMMANDS), "reading": READING, "writing": WRITING}


@dataclass(frozen=True)
class Damage:
    """One way of harming a repository.

    Attributes:
        name: Says it so that somebody can do it again.
        kind: What tells it from others of a sample: what is done, whatever it is done to.
        thing: What is harmed, below the root: a message of a failure names it.
        do: Does it, to a root.
        codes: How commands may end, by their names, where not as usual.
    """

    name: str
    kind: str
    thing: str
    do: Callable[[Path], object]
    codes: Mapping[str, Codes]

    def allowed(self, command: str) -> Codes:
        """How a command may end."""
        codes = self.codes.get(command, frozenset({0}))
        return frozenset(code or USUAL.get(command, 0) for code in codes)


def ends(text: str) -> Mapping[str, Codes]:
    """Read how commands end: `5 writing, 0 pin unpin, 2|5 push`; the last word counts, and all others end with 0,
    as those do that `scene.USUAL` names another code for.

    A command of two words is written with a dash between.
    """
    found: dict[str, Codes] = {}
    for part in filter(None, text.split(", ")):
        codes, *names = part.split(" ")
        for name in names:
            for each in _GROUPS.get(name, (name.replace("-", " "),)):
                assert each in COMMANDS, each
                found[each] = frozenset(map(int, codes.split("|")))
    return found


def clear(path: Path) -> None:
    """Take away whatever has a name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def bind(path: Path) -> None:
    """Make a socket under a name, which may be longer than a socket's can be."""
    above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{above}/{path.name}")
    finally:
        os.close(above)


def _sparse(path: Path, size: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    os.truncate(path, size)
    path.chmod(mode)


def _write(path: Path, data: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(mode)


def _outside(path: Path, root: Path) -> Path:
    """What a link out leads to: the very same, beside the repository."""
    below = path.relative_to(root)
    return root.parent / "outside" / (Path("state", *below.parts[1:]) if below.parts[0] == str(STATE) else below)


Doing = Callable[[Path, Path], object]
#: What may stand in the place of a file or of a directory: something else.
INSTEAD: Mapping[str, Doing] = {
    "missing": lambda _path, _root: None,
    "a dangling link": lambda path, _root: path.symlink_to("nowhere"),
    "a link to itself": lambda path, _root: path.symlink_to(path.name),
    "a link to the same elsewhere": lambda path, root: path.symlink_to(_outside(path, root)),
    "a link to a directory elsewhere": lambda path, root: path.symlink_to(root.parent / "outside" / "nothing"),
    "a pipe": lambda path, _root: os.mkfifo(path),
    "a socket": lambda path, _root: bind(path),
}
FILE_INSTEAD: Mapping[str, Doing] = {
    **INSTEAD,
    "an empty directory": lambda path, _root: path.mkdir(),
    "a directory that holds something": lambda path, root: (
        shutil.copytree(root.parent / "outside" / "v7", path) and None
    ),
}
DIRECTORY_INSTEAD: Mapping[str, Doing] = {
    **INSTEAD,
    "a file": lambda path, _root: path.write_text("something else\n"),
    "empty": lambda path, _root: path.mkdir(),
}
#: What may become of the bytes of a file.
BYTES: Mapping[str, Doing] = {
    "emptied": lambda path, _root: _write(path, b""),
    "cut in half": lambda path, _root: _write(path, path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path, _root: _write(path, bytes(range(256)) * 8),
    "zeros": lambda path, _root: _write(path, b"\0" * path.stat().st_size),
    "100 MB": lambda path, _root: _sparse(path, 100_000_000),
}
UNREADABLE = "unreadable"


def _replaced(below: str, make: Doing) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        clear(root / below)
        make(root / below, root)

    return do


def _changed(below: str, change: Doing) -> Callable[[Path], object]:
    return lambda root: change(root / below, root)


def _shut(below: str) -> Callable[[Path], object]:
    return lambda root: (root / below).chmod(0)


#: Of a table: all damage that it does not name.
_OTHER = "else"


def _made(below: str, kinds: Mapping[str, Callable[[Path], object]], table: Mapping[str, str]) -> list[Damage]:
    found = []
    for what, do in kinds.items():
        text = table.get(what, table[_OTHER])
        found.append(Damage(f"{below}: {what}", what, below, do, ends(text)))
    return found


def of_file(below: str, table: Mapping[str, str]) -> list[Damage]:
    """Each kind of damage to one file; the table says for each how commands end."""
    kinds = {what: _replaced(below, make) for what, make in FILE_INSTEAD.items()}
    kinds |= {what: _changed(below, change) for what, change in BYTES.items()}
    return _made(below, {**kinds, UNREADABLE: _shut(below)}, table)


def of_directory(below: str, table: Mapping[str, str]) -> list[Damage]:
    """Each kind of damage to one directory."""
    kinds = {what: _replaced(below, make) for what, make in DIRECTORY_INSTEAD.items()}
    return _made(below, {**kinds, UNREADABLE: _shut(below)}, table)


#: A journal that cannot be read stops who needs history, and who writes; people go on reading versions.
_UNREAD = "3 show-removed, 5 history status verify dry-cleanup adopt writing, 0 repair"
_WRITTEN = dict.fromkeys(BYTES, "")
#: How commands end for damage to each file.
FILES: Mapping[str, Mapping[str, str]] = {
    ".modelrepo/config.toml": {_OTHER: "5 all", "cut in half": "0|5 all", UNREADABLE: "8 all"},
    ".modelrepo/lock": {_OTHER: "5 status verify writing", **_WRITTEN, "missing": "", UNREADABLE: "8 writing"},
    ".modelrepo/journal.jsonl": {
        _OTHER: "5 all, 0 init",
        "missing": "5 all, 0 init repair",
        **dict.fromkeys(("emptied", "garbage", "zeros"), _UNREAD),
        "cut in half": "0|3|4|5 all",  # what it says is true, and the end of it is gone
        "100 MB": "5 status verify",
        UNREADABLE: "8 all, 0 init",
    },
    ".modelrepo/ballast/03": {_OTHER: ""},
    ".modelrepo/removed/v1.json": {
        _OTHER: "5 show-removed", "missing": "3 show-removed", UNREADABLE: "8 show-removed",
    },
    golden_name(): {
        _OTHER: "5 compare verify repair",
        **dict.fromkeys(
            ("an empty directory", "a directory that holds something"), "5 compare verify repair golden-push"
        ),
        UNREADABLE: "8 compare, 5 verify repair",
    },
    f"{derived_name()}/record.json": {_OTHER: "5 verify repair"},
    f"{derived_name()}/model.tflite": {_OTHER: "5 verify repair"},
    "v3/manifest.json": {
        _OTHER: "5 diff compare status verify repair",
        UNREADABLE: "8 diff compare promote cleanup, 5 status verify repair",
    },
    "v3/saved_model.pb": {
        _OTHER: "5 inspect diff compare status verify repair",
        "zeros": "5 inspect diff compare verify repair",
        UNREADABLE: "8 inspect diff compare, 5 verify repair",
    },
    "v2/note.txt": {
        _OTHER: "5 rollback verify repair", "zeros": "5 verify repair", UNREADABLE: "5 verify repair",
    },
}  # fmt: skip
#: Views that nobody may look at.
_SHUT = "8 status verify channels serving dry-cleanup repair cleanup remove channel-remove, 7 promote rollback"
#: How commands end for damage to each directory.
DIRECTORIES: Mapping[str, Mapping[str, str]] = {
    ".modelrepo": {
        _OTHER: "5 all", "missing": "10 all, 4 init, 0 adopt", "empty": "10 all, 4 init, 0 adopt", UNREADABLE: "8 all",
    },
    ".modelrepo/ballast": {_OTHER: "5 status verify repair", "missing": "", "empty": "", UNREADABLE: ""},
    ".modelrepo/removed": {
        _OTHER: "5 show-removed status verify writing",
        "missing": "3 show-removed, 5 status verify",
        "empty": "3 show-removed",
        UNREADABLE: "8 show-removed",
    },
    ".modelrepo/staging": {
        _OTHER: "5 status verify writing",
        "missing": "5 status verify",
        "empty": "",
        UNREADABLE: "8 promote rollback repair cleanup remove push golden-push push-again, 7 channel-remove",
    },
    ".modelrepo/trash": {
        _OTHER: "5 status verify writing",
        "missing": "5 status verify",
        "empty": "",
        UNREADABLE: "8 repair cleanup remove",
    },
    ".modelrepo/golden": {
        _OTHER: "5 compare status verify repair golden-push",
        **dict.fromkeys(("missing", "empty"), "5 compare verify repair"),
        "a link to the same elsewhere": "5 status verify repair golden-push",  # who reads it finds the digest right
        UNREADABLE: "8 compare export golden-push, 5 verify repair",
    },
    ".modelrepo/derived": {
        _OTHER: "5 status verify repair", "missing": "", "empty": "", UNREADABLE: "8 cleanup, 7 remove",
    },
    ".modelrepo/derived/v4": {_OTHER: "5 verify repair", "missing": "", "empty": "", UNREADABLE: ""},
    derived_name(): {_OTHER: "5 verify repair", "missing": ""},
    "serving": {
        _OTHER: "3 serving, 5 status verify writing",
        "missing": "3 serving, 5 status verify",
        "empty": "3 serving, 5 status verify",
        UNREADABLE: _SHUT,
    },
    "serving/latest": {
        _OTHER: "5 status verify repair, 7 promote rollback", "missing": "5 status verify", "empty": "5 status verify",
        UNREADABLE: _SHUT,
    },
    "v3/variables": {_OTHER: "5 status verify repair"},
    "v3": {
        _OTHER: "5 inspect diff compare path exec dry-cleanup cleanup remove status verify repair",
        "empty": "5 inspect diff compare status verify repair",
        UNREADABLE: "8 inspect diff compare promote cleanup, 5 exec status verify repair",
    },
    "v6": {
        _OTHER: "5 status verify repair", "empty": "5 verify repair",
        UNREADABLE: "8 cleanup, 4 remove, 5 verify repair",
    },
}  # fmt: skip


def damages() -> list[Damage]:
    """Each kind to each file and directory."""
    found = [damage for below, table in FILES.items() for damage in of_file(below, table)]
    return found + [damage for below, table in DIRECTORIES.items() for damage in of_directory(below, table)]
