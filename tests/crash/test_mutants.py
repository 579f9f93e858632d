"""Each deliberate bug is caught by its accident, for its reason; without the bug, the accident breaks nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from .mutant import Change
from .mutants import MUTANTS, catch, copy
from .scenarios import SCENARIOS

_BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("name", _BY_NAME)
def test_a_deliberate_bug_is_caught(name: str) -> None:
    catch(_BY_NAME[name])


def test_every_bug_has_a_name_of_its_own_and_every_accident_a_bug() -> None:
    assert len(_BY_NAME) == len(MUTANTS) >= 20
    assert {mutant.scenario for mutant in MUTANTS} == SCENARIOS.keys()


@pytest.mark.parametrize("name", _BY_NAME)
def test_a_bug_fits_the_package_as_it_is(name: str, tmp_path: Path) -> None:
    copy(tmp_path, _BY_NAME[name].changes)


@pytest.mark.parametrize("old", ["nowhere to be found", "sync"])
def test_a_bug_that_does_not_fit_is_said(old: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"times in fs/durable\.py, not once"):
        copy(tmp_path, (Change("fs/durable.py", old, ""),))
