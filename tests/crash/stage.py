"""The stage that kills and errors share: a fresh repository per accident, a command on it, and what is seen of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from modelrepo import Repository
from modelrepo.core.index import unseal
from modelrepo.errors import IntegrityError, NoRepositoryError

from .commands import CASES, FOUNDINGS, build, harm, lasting
from .invariants import check_tree, go_on
from .tracer import Action, Call, Done, Go, Onlooker, Watcher, tracer

COMMANDS = CASES | FOUNDINGS
#: What differs from run to run, in journals and manifests.
_FLEETING = {"time", "boot", "uptime", "actor", "recorded_by", "prev", "crc", "token", "manifest_digest", "created_at"}
_FOLLOWED: set[tuple[str, str]] = set()
_ALIKE = re.compile(r"/ballast/(?!0[01]$)")
_TOKEN = re.compile(r"-[0-9a-f]{16}")


@cache
def _template() -> Path:
    place = lasting()
    build(place)
    return place


def set_up(name: str, place: Path) -> None:
    """Make what a command is run on, in an empty directory."""
    shutil.copytree(_template(), place, symlinks=True, dirs_exist_ok=True)
    COMMANDS[name].prepare(place / "ranker")


def perform(
    place: Path, *words: str, watcher: Watcher, whole: bool = False, reads: bool = False, seconds: float = 60
) -> Done:
    """Run a command on the repository of a place; the calls on anything in the place count."""
    return tracer().run(
        ["-r", "ranker", *words],
        cwd=place,
        places=[place],
        watcher=watcher,
        whole=whole,
        reads=reads,
        seconds=seconds,
        environment={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "MODELREPO_LOCK_TIMEOUT": "2"},
    )


@cache
def calls(name: str, words: tuple[str, ...] = (), *, reads: bool = False) -> dict[int, str]:
    """The calls that a command makes, or other words on its repository, where nothing happens to them.

    By number, without those on most pieces of ballast, which are all alike.
    """
    names: dict[int, str] = {}

    class Noting(Onlooker):
        def before(self, call: Call) -> Action:
            if not _ALIKE.search(call.paths[0]):
                names[call.number] = call.name
            return Go()

    with tempfile.TemporaryDirectory() as text:
        set_up(name, Path(text))
        done = perform(Path(text), *(words or COMMANDS[name].words), watcher=Noting(), reads=reads)
        assert done.code == 0, done
    return names


@cache
def ending(name: str) -> dict[str, Any]:
    """What is seen behind a command that nothing happens to."""
    with tempfile.TemporaryDirectory() as text:
        set_up(name, Path(text))
        perform(Path(text), *COMMANDS[name].words, watcher=Onlooker())
        return seen(Path(text))


def seen(place: Path) -> dict[str, Any]:
    """What others see: the names beside and in the root, where links lead, what is served, what is said of versions."""
    root = place / "ranker"
    what: dict[str, Any] = {"beside": sorted(name for name in os.listdir(place) if not name.startswith("."))}
    if root.is_dir():
        what["names"] = sorted(name for name in os.listdir(root) if not name.startswith("."))
        what["links"] = {path.name: os.path.realpath(path)[len(str(root)) :] for path in root.iterdir()}
        what["views"] = {path.name: sorted(os.listdir(path)) for path in root.glob("serving/*")}
    try:
        rows = Repository(root).list()
    except (NoRepositoryError, IntegrityError) as error:
        what["repository"] = error.kind
    else:
        what["rows"] = {
            str(row.version): (row.digest, row.channels, row.pinned, row.labels, row.problem) for row in rows
        }
    return what


def check(name: str, place: Path) -> None:
    """What must hold at every instant, of a repository or of what becomes one."""
    root = place / "ranker"
    if name not in FOUNDINGS:
        check_tree(root)
        assert all(row.problem is None for row in Repository(root).list())
    if allowed := COMMANDS[name].latest:
        assert os.path.basename(os.path.realpath(root / "latest")) in allowed, "latest names something else"
    if (place / "copy").is_dir():
        assert json.loads((place / "copy" / "manifest.json").read_bytes()), "an export is there in part"
        original = Repository(root).path("v1").path
        assert _contents(place / "copy") == _contents(Path(original)), "an export is there in part"


def _contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def follow_up(name: str, place: Path) -> None:
    """The next command, without accidents, and all that must be right behind it.

    Done once for each distinct state that a command leaves: a second time it would say the same, and it takes longer
    than all the rest of a trial.
    """
    state = name, digest(place)
    if state in _FOLLOWED:
        return
    _go_on(name, place)
    _FOLLOWED.add(state)


def _go_on(name: str, place: Path) -> None:
    root = place / "ranker"
    if name == "init":
        Repository(root).init()
        assert str(Repository(root).push(place / "exports" / "four", load=False).version) == "v1"
        Repository(root).cleanup()
        result = Repository(root).verify()
        assert result.findings == (), result.findings
        return
    if name == "adopt":
        Repository(root).init(adopt=True)
        assert len(Repository(root).list()) == 2
        Repository(root).verify(repair=True)  # the modes, which an adoption leaves
        for version, text in (("v1", "one"), ("v2", "two")):
            kept = _contents(root / version)
            kept.pop("manifest.json")
            assert kept == _contents(place / "exports" / text), "a model's bytes have changed"
    go_on(place, damaged=COMMANDS[name].prepare is harm)


def digest(place: Path) -> str:
    """The digest of a state: all names, bytes and link targets, without what differs from run to run, and ballast."""
    summed = hashlib.sha256()
    names = {path: _TOKEN.sub("-*", str(path.relative_to(place))) for path in place.rglob("*")}
    for path, name in sorted(names.items(), key=lambda item: (item[1], item[0])):
        if name.startswith("exports") or "ballast" in path.parts:
            continue
        summed.update(name.encode())
        if path.is_symlink():
            summed.update(b"->" + os.readlink(path).replace(str(place), "").encode())
        elif path.is_file():
            summed.update(b"".join(_lasting(path, place)))
    return summed.hexdigest()


def _lasting(path: Path, place: Path) -> Iterator[bytes]:
    if path.name in {"index", "checked"}:  # which are full of times and inodes
        try:
            unseal(path.read_bytes())
        except ValueError:
            yield b"torn %d" % path.stat().st_size
        return
    data = path.read_bytes().replace(os.fsencode(place), b"")
    for part in data.splitlines() if "journal" in path.name else [data]:
        try:
            body = json.loads(part)
        except ValueError:
            yield str(len(part)).encode() if "journal" in path.name else part
            continue
        yield json.dumps(
            {key: body[key] for key in body if key not in _FLEETING} if isinstance(body, dict) else body
        ).encode()
