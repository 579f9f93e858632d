"""Damage to what people see: channels' links, views, names in the root, versions, and what crashed commands left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from .damages import Damage, bind, clear, ends
from .scene import STATE

Harm = Callable[[Path], object]


def _link(name: str, text: str | bytes) -> Harm:
    def do(root: Path) -> None:
        clear(root / name)
        os.symlink(os.fsencode(text), os.fsencode(root / name))

    return do


def _absolute(name: str, below: str) -> Harm:
    return lambda root: _link(name, str(root / below))(root)


def _each(*harms: Harm) -> Harm:
    """One after the other."""

    def do(root: Path) -> None:
        for harm in harms:
            harm(root)

    return do


def _gone(name: str) -> Harm:
    return lambda root: clear(root / name)


def _touch(name: str, root: Path) -> None:
    (root / name).touch()


#: The link of a channel, or what has its name.
LINKS: Mapping[str, Harm] = {
    "missing": lambda root: (root / "latest").unlink(),
    "dangling": _link("latest", "v99"),
    "at a removed version": _link("latest", "v1"),
    "absolute": _absolute("latest", "v3"),
    "absolute, dangling": _absolute("latest", "v99"),
    "dotted": _link("latest", "./v3"),
    "with a slash": _link("latest", "v3/"),
    "by a way around": _link("latest", "serving/../v3"),
    "into a version": _link("latest", "v3/variables"),
    "at a file of a version": _link("latest", "v3/saved_model.pb"),
    "at another version": _link("latest", "v5"),
    "out": _link("latest", "../outside/v7"),
    "out, absolute": lambda root: _link("latest", str(root.parent / "outside" / "v7"))(root),
    "at another channel": _link("latest", "canary"),
    "at itself": _link("latest", "latest"),
    "in a circle": _each(_link("latest", "round"), _link("round", "latest")),
    "through a view": _link("latest", "serving/latest/3"),
    "at the root": _link("latest", "."),
    "at the state": _link("latest", ".modelrepo"),
    "up": _link("latest", ".."),
    "of 4,000 characters": _link("latest", "x/" * 2000),
    "with a line break": _link("latest", "v3\nv2"),
    "with a terminal's escape": _link("latest", "\x1b[2Jv3"),
    "not UTF-8": _link("latest", b"v3\xff"),
    "at v03": _link("latest", "v03"),
    "a directory": _each(_gone("latest"), lambda root: shutil.copytree(root / "v3", root / "latest")),
    "an empty directory": _each(_gone("latest"), lambda root: (root / "latest").mkdir()),
    "a file": _each(_gone("latest"), lambda root: (root / "latest").write_text("v3")),
    "a pipe": _each(_gone("latest"), lambda root: os.mkfifo(root / "latest")),
    "a socket": _each(_gone("latest"), lambda root: bind(root / "latest")),
}
#: Names in the root that are not modelrepo's.
NAMES: Mapping[str, Harm] = {
    "a directory v03": lambda root: shutil.copytree(root / "v3", root / "v03"),
    "a directory v2.bak": lambda root: shutil.copytree(root / "v2", root / "v2.bak"),
    "a file v9": lambda root: (root / "v9").write_text("9"),
    "a pipe v9": lambda root: os.mkfifo(root / "v9"),
    "a socket v9": lambda root: bind(root / "v9"),
    "a link v9 at a version": _link("v9", "v3"),
    "a link v9 out": _link("v9", "../outside/v7"),
    "a link v9 at itself": _link("v9", "v9"),
    "an empty directory v9": lambda root: (root / "v9").mkdir(),
    "a copied version v12": lambda root: shutil.copytree(root / "v3", root / "v12"),
    "a copied version v12 as latest": _each(
        lambda root: shutil.copytree(root / "v3", root / "v12"), _link("latest", "v12")
    ),
    "a hand-made model v9": lambda root: shutil.copytree(root.parent / "exports" / "new", root / "v9"),
    "a hand-made model v9 with a pipe": _each(
        lambda root: shutil.copytree(root.parent / "exports" / "new", root / "v9"),
        lambda root: os.mkfifo(root / "v9" / "pipe"),
    ),
    "a removed version again": lambda root: shutil.copytree(root.parent / "outside" / "v7", root / "v1"),
    "a directory v1000000000": lambda root: (root / "v1000000000").mkdir(),
    "a directory of the highest number": lambda root: (root / "v9223372036854775807").mkdir(),
    "a directory beyond all numbers": lambda root: (root / "v92233720368547758080").mkdir(),
    "a directory v٣": lambda root: (root / "v٣").mkdir(),
    "a directory V3": lambda root: shutil.copytree(root / "v3", root / "V3"),
    "a directory named like a channel": lambda root: (root / "blue").mkdir(),
    "a name with a line break": lambda root: (root / "a\nb").mkdir(),
    "a name with a terminal's escape": lambda root: (root / "\x1b]0;x\x07").write_text(""),
    "a name with a bidi mark": lambda root: (root / "v3\u202e").mkdir(),
    "a name that is not UTF-8": lambda root: os.mkdir(os.fsencode(root) + b"/v3\xff"),
    "a name of 255 bytes": lambda root: (root / ("x" * 255)).mkdir(),
    "a name that begins like an option": lambda root: (root / "--repo").mkdir(),
    "a channel's link of 64 characters": _link("a" * 64, "v2"),
    "a link named serving2 at a version": _link("serving2", "v2"),
    "a thousand names": _each(*(partial(_touch, f"x{number}") for number in range(1000))),
    "a second state": lambda root: shutil.copytree(root / STATE, root / ".modelrepo.bak"),
}


def _view(root: Path, *made: Harm) -> None:
    clear(root / "serving" / "latest" / "3")
    for make in made:
        make(root)


#: What is in a channel's view.
VIEWS: Mapping[str, Harm] = {
    "another number": lambda root: _view(root, _link("serving/latest/2", "../../v2")),
    "two numbers": _link("serving/latest/2", "../../v2"),
    "a number for another version": lambda root: _view(root, _link("serving/latest/3", "../../v2")),
    "an absolute link": lambda root: _view(root, _absolute("serving/latest/3", "v3")),
    "a dangling link": lambda root: _view(root, _link("serving/latest/3", "../../v99")),
    "a link to itself": lambda root: _view(root, _link("serving/latest/3", "3")),
    "a link out": lambda root: _view(root, _link("serving/latest/3", "../../../outside/v7")),
    "a directory in it": lambda root: _view(root, lambda root: shutil.copytree(root / "v3", root / "serving/latest/3")),
    "a file in it": lambda root: _view(root, lambda root: (root / "serving/latest/3").write_text("3")),
    "a pipe in it": lambda root: _view(root, lambda root: os.mkfifo(root / "serving/latest/3")),
    "a socket in it": lambda root: _view(root, lambda root: bind(root / "serving/latest/3")),
    "a stranger's file": lambda root: (root / "serving/latest/README").write_text("ours"),
    "a stranger's number": lambda root: (root / "serving/latest/99").mkdir(),
    "a view of no channel": lambda root: shutil.copytree(root / "serving/latest", root / "serving/old", symlinks=True),
}
#: A version's own files.
VERSIONS: Mapping[str, Harm] = {
    "one byte of a file changed": lambda root: _edited(root / "v3" / "note.txt", b"thrEe"),
    "a file grown": lambda root: _edited(root / "v3" / "note.txt", b"three and more"),
    "a file more": lambda root: (root / "v3" / "more").write_text("more"),
    "a pipe more": lambda root: os.mkfifo(root / "v3" / "pipe"),
    "a socket more": lambda root: bind(root / "v3" / "socket"),
    "a link more": lambda root: (root / "v3" / "link").symlink_to("/etc/passwd"),
    "a link to itself more": lambda root: (root / "v3" / "link").symlink_to("link"),
    "a directory that nobody may enter more": lambda root: (root / "v3" / "shut").mkdir(mode=0),
    "a name that is not UTF-8 more": lambda root: os.mkdir(os.fsencode(root) + b"/v3/\xff"),
    "a directory a hundred levels deep more": lambda root: _deep(root / "v3", 100),
    "all files writable": lambda root: _writable(root / "v3"),
    "the manifest of another version": lambda root: _edited(
        root / "v3/manifest.json", (root / "v2/manifest.json").read_bytes()
    ),
    "the files of another version": _each(_gone("v3"), lambda root: shutil.copytree(root / "v2", root / "v3")),
    "gone": lambda root: clear(root / "v3"),
    "a rollback target gone": lambda root: clear(root / "v2"),
    "a copy in another's place": _each(_gone("v6"), lambda root: (root / "v3").rename(root / "v6")),
}
#: What lies in staging and trash.
LEFT: Mapping[str, Harm] = {
    f"{what} in {place}": partial(make, STATE / place)
    for place in ("staging", "trash")
    for what, make in {
        "a pipe": lambda place, root: os.mkfifo(root / place / "x"),
        "a socket": lambda place, root: bind(root / place / "x"),
        "a link out": lambda place, root: (root / place / "x").symlink_to(root.parent / "outside"),
        "a link to itself": lambda place, root: (root / place / "x").symlink_to("x"),
        "a file": lambda place, root: (root / place / "x").write_text("x"),
        "a model": lambda place, root: shutil.copytree(root / "v3", root / place / "x"),
        "a shut directory": lambda place, root: (root / place / "x").mkdir(mode=0),
        "a directory with links out": lambda place, root: _with_links(root, root / place / "x"),
        "a directory a hundred levels deep": lambda place, root: _deep(root / place, 100),
        "a name with a line break": lambda place, root: (root / place / "a\nb").mkdir(),
        "a name that is not UTF-8": lambda place, root: os.mkdir(os.fsencode(root / place) + b"/\xff"),
    }.items()
}


def _writable(version: Path) -> None:
    for path in version.iterdir():
        if path.is_file():
            path.chmod(0o666)


def _edited(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def _deep(path: Path, levels: int) -> None:
    (path / "/".join(["d"] * levels)).mkdir(parents=True)


def _with_links(root: Path, path: Path) -> None:
    path.mkdir()
    (path / "out").symlink_to(root.parent / "outside")
    (path / "file").symlink_to(root.parent / "outside" / "file")
    (path / "channel").symlink_to("../../../latest")


#: A channel that leads to no version: who asks for it, and who deletes, gets nowhere.
_DANGLING = "5 inspect path exec dry-cleanup cleanup remove status verify repair"
_TAKEN = f"{_DANGLING}, 4 promote rollback"
_NOTED = "5 status verify"
_BROKEN = "5 status verify repair"
#: How commands end where a group's first word is not right.
_ENDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("absolute", "dotted", "with a slash", "by a way around", "at another version", "through a view"), _NOTED
    ),
    **dict.fromkeys(("a directory", "an empty directory", "a file", "a pipe", "a socket"), _TAKEN),
    **dict.fromkeys(
        (
            "an empty directory v9",
            "a copied version v12",
            "a hand-made model v9 with a pipe",
            "a removed version again",
        ),
        "4 adopt",
    ),
    "a copied version v12 as latest": f"{_DANGLING}, 4 adopt",
    **dict.fromkeys(
        ("a directory v1000000000", "a directory of the highest number"), "4 adopt push golden-push push-again"
    ),
    **dict.fromkeys(("a channel's link of 64 characters", "a link named serving2 at a version"), _NOTED),
    **dict.fromkeys(("another number", "two numbers"), _NOTED),
    **dict.fromkeys(("a stranger's file", "a view of no channel"), ""),
    "a file grown": _BROKEN,
    "a directory that nobody may enter more": _BROKEN,
    "a name that is not UTF-8 more": "",
    "a directory a hundred levels deep more": "",
    "all files writable": "5 verify",
    "the manifest of another version": f"{_BROKEN} diff compare",
    "the files of another version": f"{_BROKEN} diff compare",
    "gone": f"{_DANGLING} diff compare",
    "a copy in another's place": f"{_DANGLING} diff compare",
    "a rollback target gone": f"{_BROKEN} diff rollback pin annotate",
}


def damages() -> list[Damage]:
    """All of it."""
    groups = (
        ("latest", "latest", LINKS, _DANGLING),
        ("the root", "", NAMES, ""),
        ("the view of latest", "serving/latest", VIEWS, ""),
        ("v3", "v3", VERSIONS, "5 verify repair"),
        ("left behind", ".modelrepo", LEFT, ""),
    )
    found = []
    for where, thing, harms, usual in groups:
        for what, do in harms.items():
            text = _BROKEN if harms is VIEWS and what not in _ENDS else _ENDS.get(what, usual)
            harmed = "v2" if what == "a rollback target gone" else thing
            found.append(Damage(f"{where}: {what}", f"{where}: {what}", harmed, do, ends(text)))
    return found
