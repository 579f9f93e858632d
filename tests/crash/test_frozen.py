"""A frozen command and another that goes on meanwhile: a seeded sample of the family, and what matters most.

`MODELREPO_CRASH_SEED` (0) decides the sample; `MODELREPO_CRASH_ALL=1` takes every step.
"""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest

from modelrepo.errors import BusyError

from . import frozen
from .invariants import go_on
from .samples import EVERYTHING, chance


@pytest.fixture(scope="module")
def template() -> Path:
    return frozen.template()


def sample(steps: list[int], name: str, size: int) -> list[int]:
    chosen = steps if EVERYTHING else chance(name).sample(steps, min(size, len(steps)))
    return sorted(chosen)


def test_a_push_that_is_frozen_while_it_makes_its_directory_takes_another_or_keeps_it(
    template: Path, tmp_path: Path
) -> None:
    """From before the directory is made to behind its lock, every step; a cleanup sweeps twice meanwhile."""
    steps = frozen.count(template, tmp_path / "count", "push")
    made = next(place for place, name in enumerate(steps, 1) if name.startswith("os.mkdir push-"))
    locked = next(place for place, name in enumerate(steps, 1) if place > made and name.startswith("fcntl.flock"))
    for step in range(made, locked + 2):
        frozen.meet(template, tmp_path / str(step), "push", "cleanup", step)


@pytest.mark.parametrize("other", ["cleanup", "push", "push again", "repair"])
def test_a_frozen_push_is_never_swept_away(template: Path, tmp_path: Path, other: str) -> None:
    steps = frozen.count(template, tmp_path / "count", "push")
    for step in sample(list(range(1, len(steps) + 1)), other, 3):
        frozen.meet(template, tmp_path / str(step), "push", other, step)


@pytest.mark.parametrize("how", frozen.PROTECTIONS)
@pytest.mark.parametrize("deletion", ["cleanup", "remove"])
def test_a_plan_never_deletes_what_somebody_needs_since(
    template: Path, tmp_path: Path, deletion: str, how: str
) -> None:
    """Frozen between the plan and the deed of its version, and at other steps."""
    steps = frozen.count(template, tmp_path / "count", deletion)
    planned = [place for place, name in enumerate(steps, 1) if name == "os.listdir proc"]
    gone = next(place for place, name in enumerate(steps, 1) if name == "races.rename_new")
    between = list(range(planned[0], gone + 1))
    chosen = [planned[0], *sample(between[1:], f"{deletion} {how}", 2 if deletion == "cleanup" else 1)]
    for step in chosen:
        tally = frozen.protect(template, tmp_path / str(step), deletion, how, step)
        if deletion == "cleanup" and step == planned[0]:
            assert tally.counts["protections"] == 1, "nobody held the lock, and yet it could not be protected"


def test_any_command_may_be_frozen_while_any_other_goes_on(tmp_path: Path) -> None:
    for number, trial in enumerate(islice(frozen.trials(chance()), 400 if EVERYTHING else 10)):
        place = tmp_path / str(number)
        place.mkdir()
        try:
            trial.run(place)
        except AssertionError as error:
            raise AssertionError(f"{trial.name}: {error}") from error


def test_a_frozen_writer_is_named_by_who_waits_in_vain_and_a_killed_one_is_no_hindrance(
    template: Path, tmp_path: Path
) -> None:
    shutil.copytree(template, tmp_path / "place", symlinks=True)
    place = tmp_path / "place"
    steps = frozen.count(template, tmp_path / "count", "promote")
    renamed = next(index for index, name in enumerate(steps, 1) if name.startswith("os.rename"))
    with frozen.frozen(place, "promote", renamed) as child:
        for call in (
            lambda: frozen.repository(place, 0.1).pin("v1"),
            lambda: frozen.repository(place, 0).cleanup(),
            lambda: frozen.repository(place, 0).push(place / "exports" / "four", load=False),
        ):
            with pytest.raises(BusyError, match=rf"process {child.pid} \(") as caught:
                call()
            assert caught.value.kind == "locked"
        assert frozen.repository(place).path("latest").version.number == 2  # readers wait for nobody
        child.kill()
        assert child.outcome().code is None
        assert frozen.repository(place, 0).pin("v1").changed
    go_on(place)
