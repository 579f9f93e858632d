"""The page that says which tests hold the promises names tests that there are, for each promise."""

from __future__ import annotations

import re

from .console import TOP, sections


def test_each_promise_is_held_by_tests_that_there_are() -> None:
    _, parts = sections((TOP / "docs" / "reliability.md").read_text())
    promises = re.split(r"^\d+\. ", parts["The promises"], flags=re.MULTILINE)[1:]
    design = sections((TOP / "docs" / "design.md").read_text())[1]["The promises, and what keeps them"]
    assert len(promises) == len(re.findall(r"^\d+\. ", design, re.MULTILINE)) == 11
    for promise in promises:
        named = re.findall(r"`([a-z_/]+\.py|test_\w+)`", promise)
        assert named[0].endswith(".py"), promise
        text = ""
        for name in named:
            if name.endswith(".py"):
                text = (TOP / "tests" / name).read_text()
            else:
                assert f"def {name}(" in text, f"{name} is not there"


def test_every_file_that_it_names_is_there() -> None:
    page = (TOP / "docs" / "reliability.md").read_text()
    named = {name for name in re.findall(r"`([a-z_/]+\.py)`", page) if not (TOP / "modelrepo" / name).exists()}
    assert named
    assert all((TOP / "tests" / name).is_file() for name in named)
