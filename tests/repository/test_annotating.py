"""`annotate`: `list` and `show` say more; the manifest stays as it was pushed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.errors import NotFoundError, RequestError


@pytest.fixture
def said(repository: Repository, model: Callable[[str], Path]) -> Repository:
    """A repository whose v1 was pushed with a message, a label and a metric."""
    repository.push(model("one"), load=False, message="first", labels={"team": "ads"}, metrics={"auc": 0.5})
    return repository


def test_what_is_said_is_seen_by_list_show_and_history_and_the_manifest_stays(said: Repository) -> None:
    raw = (said.root / "v1" / "manifest.json").read_bytes()
    result = said.annotate("v1", labels={"stage": "live"}, metrics={"auc": 0.75}, message="twelve epochs")
    assert result.changed
    for seen in (result, said.show("v1"), said.list()[0]):
        assert seen.labels == {"stage": "live", "team": "ads"}
        assert seen.metrics == {"auc": 0.75}
        assert seen.message == "twelve epochs"
    entry = said.history(limit=1)[0]
    assert (entry.action, str(entry.version), entry.labels, entry.metrics, entry.message) == (
        "annotate", "v1", {"stage": "live"}, {"auc": 0.75}, "twelve epochs",
    )  # fmt: skip
    assert (said.root / "v1" / "manifest.json").read_bytes() == raw
    assert said.verify().ok


def test_list_filters_by_the_labels_that_are_said_now(said: Repository) -> None:
    said.annotate("v1", labels={"team": "search"})
    assert said.list(labels={"team": "ads"}) == ()
    assert len(said.list(labels={"team": "search"})) == 1


def test_unset_takes_away_before_anything_is_given(said: Repository) -> None:
    result = said.annotate("v1", unset=["team", "auc", "unknown"], labels={"team": "search"})
    assert (result.labels, result.metrics) == ({"team": "search"}, {})
    assert said.history(limit=1)[0].unset == ("auc", "team")
    assert said.annotate("v1", unset=["team"]).labels == {}


def test_an_empty_message_takes_the_message_away(said: Repository) -> None:
    assert said.annotate("v1", message="").message is None
    assert said.show("v1").message is None
    assert said.annotate("v1", message="again").message == "again"


@pytest.mark.parametrize(
    "what", [{"labels": {"team": "ads"}}, {"metrics": {"auc": 0.5}}, {"message": "first"}, {"unset": ["nothing"]}]
)
def test_what_is_said_already_is_not_recorded_again(said: Repository, what: dict[str, Any]) -> None:
    before = said.history()
    assert said.annotate("v1", **what).changed is False
    assert said.history() == before


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"labels": {"a b": "x"}},
        {"labels": {"k" * 65: "x"}},
        {"labels": {"k": "\x1b[31m"}},
        {"metrics": {"auc": float("nan")}},
        {"metrics": {"auc": float("inf")}},
        {"metrics": {"a/b": 1.0}},
        {"unset": ["a b"]},
        {"message": "bell \a"},
        {"message": "x" * 5000},
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_recorded(said: Repository, what: dict[str, Any]) -> None:
    before = said.history()
    with pytest.raises(RequestError):
        said.annotate("v1", **what)
    assert said.history() == before


def test_only_what_is_there_can_be_annotated(said: Repository, model: Callable[[str], Path]) -> None:
    said.push(model("two"), load=False)
    said.remove(["v2"])
    for ref in ("v2", "v9", "canary"):
        with pytest.raises(NotFoundError):
            said.annotate(ref, message="x")


def test_what_was_said_outlives_the_version(said: Repository, model: Callable[[str], Path]) -> None:
    said.push(model("two"), load=False)
    said.annotate("v2", labels={"why": "leaks"})
    said.remove(["v2"], reason="leaks")
    assert said.show("v2").labels == {"why": "leaks"}
    assert [row.labels for row in said.list(removed=True)] == [{"why": "leaks"}]
