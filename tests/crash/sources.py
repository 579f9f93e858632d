"""Sources that change while they are copied, and sources with hostile names.

A push stops at each call on its source, the reading ones too; there somebody does something to a file. It is refused,
or the version has the source's bytes of before or of after, never of both, and never bytes from elsewhere.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from modelrepo import Repository

from .commands import SAMPLES, lasting
from .invariants import check_tree
from .runner import runner
from .tracer import Action, Call, Go, Onlooker, tracer
from .trials import Tally, Trial

SECRET = b"what nobody gave: the secret of another\n"
_TEXT = b"the file that changes, as it was\n" * 4000


def _swap(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else in a file's place, as a rename does it: at once."""
    other = path.with_name("other")
    make(other)
    os.rename(other, path)


def _directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(exist_ok=True)


def _edit(path: Path) -> None:
    """Change bytes, not the size, and set the times back."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"THE FILE")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more\n" * 50_000)


def _by_another_name(path: Path) -> None:
    with (path.parents[2] / "name").open("r+b") as file:
        file.write(b"THE FILE")


#: What somebody does to a file of the source.
CHANGES: Mapping[str, Callable[[Path], object]] = {
    "edited": _edit,
    "edited by its other name": _by_another_name,
    "grown": _grow,
    "cut": lambda path: os.truncate(path, 100),
    "emptied": lambda path: os.truncate(path, 0),
    "gone": lambda path: path.unlink(missing_ok=True),
    "swapped for a file": lambda path: _swap(path, lambda other: other.write_bytes(_TEXT.upper())),
    "swapped for a link to a secret": lambda path: _swap(path, lambda other: other.symlink_to("../../secret")),
    "swapped for a link to itself": lambda path: _swap(path, lambda other: other.symlink_to("file")),
    "swapped for a pipe": lambda path: _swap(path, os.mkfifo),
    "swapped for a directory": _directory,
    "its directory swapped for a link": lambda path: _around(path.parent),
}


def _around(directory: Path) -> None:
    if not directory.is_symlink():
        directory.rename(directory.with_name("moved"))
        directory.symlink_to("../elsewhere")


@cache
def _template() -> Path:
    place = lasting()
    Repository(place / "ranker").init()
    source = place / "exports" / "deep"
    source.mkdir(parents=True)
    shutil.copytree(SAMPLES / "tf1_linear", place / "model")
    (place / "secret").write_bytes(SECRET)
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "file").write_bytes(SECRET)
    return place


def _set_up(place: Path) -> Path:
    """A repository and a model with one file more, of which there is another name; return that file."""
    shutil.copytree(_template(), place, symlinks=True, dirs_exist_ok=True)
    (place / "model" / "deep").mkdir()
    path = place / "model" / "deep" / "file"
    path.write_bytes(_TEXT)
    os.link(path, place / "name")
    return path


class _Changing(Onlooker):
    def __init__(self, number: int, change: Callable[[], object]) -> None:
        self.number = number
        self.change = change
        self.calls = 0
        self.at = ""

    def before(self, call: Call) -> Action:
        self.calls = call.number
        if call.number == self.number:
            self.at = str(call)
            self.change()
        return Go()


def _push(place: Path, watcher: Onlooker) -> tuple[int, str]:
    done = tracer().run(
        ["-r", "ranker", "push", "model", "--no-load"],
        cwd=place,
        places=[place / "model", place / "elsewhere"],
        watcher=watcher,
        reads=True,
        environment={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )
    assert not done.hung, f"it hung: {done}"
    return done.code, done.errors


@cache
def points() -> int:
    """How many calls a push makes on its source."""
    with tempfile.TemporaryDirectory() as text:
        _set_up(Path(text))
        watcher = _Changing(0, lambda: None)
        code, said = _push(Path(text), watcher)
        assert code == 0, said
        return watcher.calls


def changed(what: str, number: int) -> Trial:
    """Change the source before the N-th call on it."""

    def run(place: Path) -> Tally:
        path = _set_up(place)
        watcher = _Changing(number, lambda: CHANGES[what](path))
        code, said = _push(place, watcher)
        try:
            assert code in {0, 2}, f"exit code {code}"
            assert "Traceback" not in said, said
            assert code == 0 or "next:" in said or "changed" in said, said
            _require_whole(place, stored=code == 0)
        except AssertionError as error:
            raise AssertionError(f"{what} before {watcher.at}: {error}: {said}") from error
        counted = "sources changed while they were read" if watcher.at else "ended before the call"
        return Tally(Counter({counted: 1}), {f"source {what} before call {number}"} if watcher.at else set())

    return Trial(f"source {what} before call {number}", run)


def _require_whole(place: Path, *, stored: bool) -> None:
    root = place / "ranker"
    check_tree(root)
    assert (root / "v1").is_dir() == stored
    assert Repository(root).verify().ok
    assert not os.listdir(root / ".modelrepo" / "staging"), "something was left behind"
    path = root / "v1" / "deep" / "file"
    if not path.is_file():  # refused; or it went before anybody looked
        return
    data = path.read_bytes()
    assert data != SECRET, "it holds what nobody gave"
    assert data in {_TEXT, b"THE FILE" + _TEXT[8:], _TEXT.upper(), b"", _TEXT[:100], _TEXT + b"more\n" * 50_000}


#: Names of a file in a source, and whether it is taken in.
NAMES: Mapping[str, tuple[bytes, bool]] = {
    "a terminal's escape": (b"\x1b[2Jx", False),
    "a terminal's title": (b"\x1b]0;x\x07", False),
    "another escape": ("\x9b2J".encode(), False),
    "a line break": (b"a\nb", False),
    "a carriage return": (b"a\rb", False),
    "a tab": (b"a\tb", False),
    "a backspace": (b"a\x08b", False),
    "a deleting mark": (b"a\x7fb", False),
    "a bidi override": ("a\u202eb".encode(), True),
    "a bidi isolate": ("a\u2066b".encode(), True),
    "a zero-width space": ("a\u200bb".encode(), True),
    "a line separator": ("a\u2028b".encode(), True),
    "not UTF-8": (b"caf\xe9", False),
    "half a character": (b"\xed\xa0\x80", False),
    "a backslash": (b"a\\b", True),
    "a dash": (b"-", False),
    "a dash and a letter": (b"-n", True),
    "an option": (b"--repo", True),
    "200 bytes": (b"x" * 200, True),
    "255 bytes": (b"x" * 255, False),
    "100 letters of two bytes": (("é" * 100).encode(), True),
    "a blank": (b" ", True),
    "quotes": (b"a'\"b", True),
    "a dollar": (b"$(touch x)", True),
    "a star": (b"*", True),
    "a percent": (b"%s%n", True),
    "three dots": (b"...", True),
    "a face": ("\U0001f600".encode(), True),
}
#: Two names that some systems take for one.
TWINS: Mapping[str, tuple[str, str]] = {
    "composed and decomposed": ("caf\u00e9", "cafe\u0301"),
    "upper and lower": ("File", "file"),
    "sharp s": ("stra\u00dfe", "strasse"),
    "Kelvin's sign": ("\u212a", "K"),
}


def named(what: str) -> Trial:
    """Push a source with a file of a hostile name, or two."""

    def run(place: Path) -> Tally:
        path = _set_up(place)
        names = [NAMES[what][0]] if what in NAMES else [name.encode() for name in TWINS[what]]
        for name in names:
            with open(os.fsencode(path.parent) + b"/" + name, "wb") as file:
                file.write(name)
        if what == "a dash":  # at the top alone sha256sum would take it for standard input
            (path.parents[1] / "-").write_bytes(b"-")
        ran = runner().run(place, ["-r", "ranker", "push", "model", "--no-load"])
        assert "Traceback" not in ran.err, ran.err
        said = ran.out + ran.err
        assert all(letter.isprintable() or letter == "\n" for letter in said), ascii(said)
        if ran.code == 0:
            there = os.listdir(os.fsencode(place / "ranker" / "v1" / "deep"))
            assert set(names) <= set(there), there
            assert Repository(place / "ranker").verify().ok
        else:
            assert ran.code == 2, ran
            assert not (place / "ranker" / "v1").exists()
        if what in NAMES:
            assert (ran.code == 0) == NAMES[what][1], ran
        return Tally(Counter({"sources with hostile names": 1}), {f"source with {what}"})

    return Trial(f"source with {what}", run)


def trials(generator: random.Random) -> Iterator[Trial]:
    """All names, and every change before every call, once."""
    every = [named(what) for what in (*NAMES, *TWINS)]
    every += [changed(what, number) for what in CHANGES for number in range(1, points() + 1)]
    generator.shuffle(every)
    yield from every


def sample(generator: random.Random) -> list[Trial]:
    """Each change once, and some names."""
    names = [*generator.sample(list(NAMES), 3), generator.choice(list(TWINS))]
    return [*map(named, names), *(changed(what, generator.randint(1, points())) for what in CHANGES)]
