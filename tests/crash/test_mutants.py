"""Each deliberate bug is caught by its accident, for its reason; without the bug, the accident breaks nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import modelrepo

from .mutant import Change
from .mutants import MUTANTS, catch, table
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
def test_a_bug_fits_the_package_as_it_is(name: str) -> None:
    texts: dict[str, str] = {}
    for change in _BY_NAME[name].changes:
        text = texts.get(change.file) or (Path(modelrepo.__file__).parent / change.file).read_text()
        texts[change.file] = change.made(text)
        compile(texts[change.file], change.file, "exec")


def test_the_page_about_reliability_has_the_table_and_the_number_of_all() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    assert page.endswith(f"\n\n{table()}")
    assert f"| mutants | {len(MUTANTS)}, all caught |" in page


@pytest.mark.parametrize("old", ["nowhere to be found", "sync"])
def test_a_bug_that_does_not_fit_is_said(old: str) -> None:
    text = (Path(modelrepo.__file__).parent / "fs" / "durable.py").read_text()
    with pytest.raises(ValueError, match=r"times in fs/durable\.py, not once"):
        Change("fs/durable.py", old, "").made(text)
