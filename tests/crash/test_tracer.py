"""What the tracer sees, and that what it does to a call is done."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .commands import SAMPLES, build
from .tracer import Action, Call, Done, Fail, Go, Kill, Lie, Shorten, tracer

pytestmark = pytest.mark.usefixtures("traceable")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


@dataclass
class Doing:
    """Does something to the first call of a name, and notes all calls and their results."""

    name: str = ""
    action: Action = field(default_factory=Go)
    calls: list[Call] = field(default_factory=list)
    results: list[tuple[str, int]] = field(default_factory=list)

    def before(self, call: Call) -> Action:
        first = call.name == self.name and call.name not in {seen.name for seen in self.calls}
        self.calls.append(call)
        _ = call.data
        return self.action if first else Go()

    def after(self, call: Call, result: int) -> None:
        self.results.append((call.name, result))

    def result(self) -> int:
        return next(result for name, result in self.results if name == self.name)


def run(place: Path, *words: str, watcher: Doing, whole: bool = False, reads: bool = False) -> Done:
    root = place / "ranker"
    return tracer().run(["-r", str(root), *words], cwd=place, places=[root], watcher=watcher, whole=whole, reads=reads)


@pytest.mark.parametrize("whole", [False, True])
def test_a_move_is_seen_with_its_paths_its_bytes_and_its_results(place: Path, *, whole: bool) -> None:
    watcher = Doing()
    done = run(place, "promote", "v3", watcher=watcher, whole=whole)
    assert (done.code, done.hung) == (0, False)
    assert done.calls == len(watcher.calls) == len(watcher.results) > 10
    root = os.path.realpath(place / "ranker")
    moved = [call for call in watcher.calls if call.name == "rename" and call.paths[1] == f"{root}/latest"]
    assert len(moved) == 1
    assert os.path.dirname(moved[0].paths[0]).startswith(f"{root}/.modelrepo/")
    written = [call for call in watcher.calls if call.paths == (f"{root}/.modelrepo/journal.jsonl",) and call.count]
    assert any(b'"phase":"intent"' in call.data for call in written)
    assert [call.number for call in watcher.calls] == list(range(1, done.calls + 1))


def test_the_forked_program_makes_the_calls_of_the_real_one(place: Path, tmp_path: Path) -> None:
    seen = []
    for whole in (False, True):
        copy = tmp_path / str(whole) / "place"
        shutil.copytree(place / "ranker", copy / "ranker", symlinks=True)
        watcher = Doing()
        run(copy, "promote", "v3", watcher=watcher, whole=whole, reads=True)
        seen.append([call.name for call in watcher.calls])
    assert seen[0] == seen[1]


def test_calls_of_the_inspectors_child_count_too(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "tf1_linear", tmp_path / "ranker" / "v1")
    watcher = Doing()
    assert run(tmp_path, "init", "--adopt", watcher=watcher, reads=True).code == 0
    reading = {call.thread for call in watcher.calls if call.paths[0].endswith("saved_model.pb")}
    writing = {call.thread for call in watcher.calls if call.name == "rename"}
    assert reading - writing


def test_a_kill_comes_before_the_call(place: Path) -> None:
    done = run(place, "promote", "v3", watcher=Doing("rename", Kill()))
    assert done.code == -9
    assert os.readlink(place / "ranker" / "latest") == "v2"


def test_a_call_that_fails_is_not_done(place: Path) -> None:
    watcher = Doing("rename", Fail(errno.EROFS))
    done = run(place, "promote", "v3", watcher=watcher)
    assert (done.code, os.readlink(place / "ranker" / "latest")) == (8, "v2")
    assert os.strerror(errno.EROFS) in done.errors


def test_a_call_that_is_lied_about_is_done(place: Path) -> None:
    watcher = Doing("rename", Lie(errno.EIO))
    done = run(place, "promote", "v3", watcher=watcher)
    assert watcher.result() == 0
    assert os.readlink(place / "ranker" / "latest") == "v3"
    assert done.code in {0, 7}


def test_a_write_that_is_cut_short_writes_so_much(place: Path) -> None:
    watcher = Doing("pwrite64", Shorten(3))
    assert run(place, "promote", "v3", watcher=watcher).code == 0
    assert watcher.result() == 3


def test_what_does_not_end_is_killed(place: Path) -> None:
    root = place / "ranker"

    class Forever(Doing):
        def before(self, call: Call) -> Action:  # noqa: ARG002
            return Fail(errno.EINTR)  # which Python repeats

    done = tracer().run(["-r", str(root), "pin", "v1"], cwd=place, places=[root], watcher=Forever(), seconds=0.5)
    assert (done.code, done.hung) == (-9, True)
