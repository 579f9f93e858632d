"""Who looks while others write sees no trouble: only what stays is trouble."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.errors import BusyError, RefusedError
from modelrepo.repository import verifying

from . import frozen
from .commands import build
from .samples import EVERYTHING
from .steps import Child

SECONDS = 60 if EVERYTHING else 5


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("watching")
    build(place)
    return place


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


LOOKS: dict[str, Callable[[Repository], Any]] = {
    "status": lambda repository: repository.status().problems,
    "verify": lambda repository: repository.verify().findings,
    "quick verify": lambda repository: repository.verify(quick=True).findings,
}


def bad(problems: Any) -> list[Any]:
    return [problem for problem in problems if not problem.note]


def test_nobody_who_looks_raises_a_false_alarm_while_others_write(place: Path) -> None:
    repository = Repository(place / "ranker")
    end = time.monotonic() + SECONDS

    def there_and_back() -> None:
        repository.promote("v3")
        repository.rollback()

    def a_channel() -> None:
        repository.promote("v2", channel="canary")
        repository.channel_remove("canary")

    def a_version() -> None:
        version = repository.push(place / "exports" / "four", load=False).version
        repository.pin(version)
        repository.unpin(version)
        repository.promote(version, channel="blue")
        repository.promote("v1", channel="blue")
        repository.remove([version])

    def again(call: Callable[[], None]) -> Callable[[], None]:
        def calls() -> None:
            while time.monotonic() < end:
                with contextlib.suppress(BusyError, RefusedError):
                    call()

        return calls

    writers = [Child(again(call), repository.root) for call in (there_and_back, there_and_back, a_channel, a_version)]
    looks = 0
    while time.monotonic() < end:
        for name, look in LOOKS.items():
            found = bad(look(repository))
            assert not found, f"{name}: {found}"
        assert all(row.problem is None for row in repository.list())
        numbers = [entry.seq for entry in repository.history()]
        assert numbers == sorted(set(numbers), reverse=True)
        looks += 1
    outcomes = [writer.outcome() for writer in writers]
    assert {outcome.code for outcome in outcomes} == {0}, outcomes
    assert looks
    assert repository.verify().findings == ()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("command", ["promote", "first promote"])
def test_a_writer_that_takes_long_is_waited_for(place: Path, command: str, look: str) -> None:
    """It stands behind its commit, before the view has followed; half a second later it goes on."""
    steps = frozen.count(place, place.parent / "count", command)
    behind = next(index for index, name in enumerate(steps, 1) if name.startswith("os.rename")) + 2
    with frozen.frozen(place, command, behind) as child:
        assert {problem.kind for problem in verifying.problems(frozen.snapshot(place))} >= {"unfinished", "view"}
        later = threading.Timer(0.5, child.go_on)
        later.start()
        found = bad(LOOKS[look](Repository(place / "ranker")))
        later.join()
        assert found == []
        assert child.outcome().code == 0


@pytest.mark.parametrize("look", LOOKS)
def test_a_writer_that_is_stuck_is_a_problem_and_a_dead_one_at_once(
    place: Path, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(place / "ranker")
    steps = frozen.count(place, place.parent / "count", "promote")
    renamed = next(index for index, name in enumerate(steps, 1) if name.startswith("os.rename"))
    with frozen.frozen(place, "promote", renamed) as child:
        with monkeypatch.context() as patch:
            patch.setattr(verifying, "_PATIENCE_SECONDS", 0.3)
            assert {problem.kind for problem in bad(LOOKS[look](repository))} == {"unfinished"}
        child.kill()
        assert child.outcome().code is None
        monkeypatch.setattr(verifying, "_PATIENCE_SECONDS", 1e9)  # nobody is waited for
        assert {problem.kind for problem in bad(LOOKS[look](repository))} == {"unfinished"}


def test_a_channel_that_moves_while_status_looks_and_its_old_version_that_goes_are_no_damage(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(place / "ranker")
    repository.promote("v3")
    real = verifying.structure

    def structure(*words: Any, **options: Any) -> Any:
        found = real(*words, **options)
        monkeypatch.undo()
        repository.promote("v1")
        repository.remove(["v3"])
        return found

    monkeypatch.setattr(verifying, "structure", structure)
    assert repository.status().problems == ()
