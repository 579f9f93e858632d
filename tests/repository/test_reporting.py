"""The page of a comparison: one file that needs nothing else, and in which no name is more than text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.core.refs import Version
from modelrepo.errors import ModelRepoError, RefusedError, UnconfirmedError
from modelrepo.fs import durable
from modelrepo.repository import reporting
from modelrepo.repository.reporting import goal, pages, write
from modelrepo.repository.results import comparing as results

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
EVIL = '</td><script>alert("x")</script><img src=x onerror="alert(1)">&amp;\x1b[31m\u202e'
_VOID = {"meta"}


class Reader(HTMLParser):
    """Reads a page strictly: each element is closed, each attribute and text is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def latency(scale: float) -> results.Latency:
    quantiles = tuple(scale * (1 + part / 20) for part in range(21))
    return results.Latency(
        calls=40, median=1.5 * scale, p95=1.95 * scale, least=scale, most=100 * scale, quantiles=quantiles
    )


def measured(scale: float) -> results.Measured:
    return results.Measured(
        loaded_by="2.21.0",
        load_seconds=0.5,
        latency=latency(scale),
        memory=results.Memory(peak=600_000_000, before=500_000_000),
        cage=(),
    )


def output(name: str, **more: Any) -> results.OutputComparison:
    fields: dict[str, Any] = {
        "signature": "serving_default",
        "output": name,
        "dtype": results.Kinds(before="float32", after="float32"),
        "rows": 100,
        "values": 1000,
        "largest": 0.25,
        "largest_at": results.Place(request=1, index=(0, 1)),
        "mean": 0.125,
        "changed": 0.5,
        "non_finite": results.Counts(before=0, after=0),
        "incomparable": 0,
        "top1_changed": 0.03125,
        "agreement": 0.96875,
        "accuracy": None,
        "differences": (results.Decade(exponent=None, values=500), results.Decade(exponent=-2, values=500)),
        "examples": (),
        "unlike": None,
    }
    return results.OutputComparison(**{**fields, **more})


def result(**more: Any) -> results.CompareResult:
    fields: dict[str, Any] = {
        "before": results.Model(path="/models/v1", version=Version(1), digest="sha256:" + "1" * 64, size=1000),
        "after": results.Model(path="/models/v2", version=Version(2), digest="sha256:" + "2" * 64, size=2000),
        "requests": results.Requests(
            source="generated", version=None, digest=None, seed=7, requests=16, signatures=("serving_default",)
        ),
        "tolerance": 1e-5,
        "agreement": 0.96875,
        "outputs": (output("scores"),),
        "missing": (),
        "runs": 10,
        "measured": results.MeasuredPair(before=measured(0.001), after=measured(0.002)),
    }
    return results.CompareResult(**{**fields, **more})


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def evil() -> results.CompareResult:
    """Every text that comes from elsewhere is hostile."""
    bad = output(
        EVIL,
        signature=EVIL,
        dtype=results.Kinds(before=EVIL, after="float32"),
        examples=(results.Example(request=1, row=0, before=1, after=2, label=EVIL),),
        unlike=results.Unlike(requests=1, before=EVIL, after=EVIL),
        accuracy=results.Shares(before=0.5, after=None),
    )
    model = results.Model(
        path=EVIL, version=None, digest=EVIL, size=1, message=EVIL, labels={EVIL: EVIL}, metrics={EVIL: 1.0}
    )
    return result(
        before=model,
        after=model,
        outputs=(bad, output("fine")),
        requests=results.Requests(
            source="file", version=None, digest=EVIL, seed=None, requests=1, signatures=(EVIL, "other")
        ),
        missing=(results.Missing(signature=EVIL, output=EVIL, missing_in="to"),),
        warnings=(EVIL,),
    )


def test_no_name_is_more_than_text() -> None:
    reader = read(pages.page(evil(), NOW))
    assert not {"script", "img"} & set(reader.seen)
    assert not any(name.startswith("on") for _, name, _ in reader.attributes)
    assert reader.text.count('<script>alert("x")</script>') >= 10
    assert "\\x1b[31m\\u202e" in reader.text
    assert not {"\x1b", "\u202e"} & set(pages.page(evil(), NOW))


@pytest.mark.parametrize("shown", [result(), evil()])
def test_a_page_needs_nothing_from_elsewhere(shown: results.CompareResult) -> None:
    text = pages.page(shown, NOW)
    reader = read(text)
    leading = {"src", "href", "srcset", "action", "data", "background", "poster", "xlink:href"}
    assert not [each for each in reader.attributes if each[1] in leading]
    assert not re.search(r"url\(|@import|https?:", text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(reader.seen)
    policy = [value for tag, name, value in reader.attributes if tag == "meta" and name == "content"]
    assert any((value or "").startswith("default-src 'none'") for value in policy)


def test_every_plot_says_in_words_what_it_shows_and_stands_beside_a_table() -> None:
    reader = read(pages.page(result(outputs=(output("scores"), output("other"))), NOW))
    identities = [value for _, name, value in reader.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    labelled = [value for tag, name, value in reader.attributes if (tag, name) == ("svg", "aria-labelledby")]
    assert len(labelled) == reader.seen.count("svg") == 5
    for value in labelled:
        assert set((value or "").split()) <= set(identities)
    assert [value for tag, name, value in reader.attributes if (tag, name) == ("svg", "role")] == ["img"] * 5
    assert reader.seen.count("table") == 3
    for words in ("96.88%", "0.25", "v1: median 1.5 ms", "600.0 MB, 500.0 MB before the load", "1e-2: 500"):
        assert words in reader.text


def test_it_is_written_for_light_and_dark_and_for_a_telephone() -> None:
    text = pages.page(result(), NOW)
    assert "prefers-color-scheme: dark" in text
    assert 'content="width=device-width, initial-scale=1"' in text
    assert text.startswith('<!doctype html>\n<html lang="en">')


def test_figures_that_are_not_there_are_dashes_and_many_outputs_are_not_all_drawn() -> None:
    nothing = output(
        "empty", largest=None, largest_at=None, mean=None, changed=None, top1_changed=None, agreement=None,
        values=0, rows=0, differences=(),
    )  # fmt: skip
    assert read(pages.page(result(agreement=None, outputs=(nothing,)), NOW)).text.count("-") >= 6
    assert read(pages.page(result(agreement=None, outputs=()), NOW)).seen.count("svg") == 2
    many = read(pages.page(result(outputs=tuple(output(f"o{number}") for number in range(30))), NOW))
    assert "Drawn are the first 12 outputs." in many.text
    assert all(f"o{number}" in many.text for number in range(30))


def test_the_same_result_is_the_same_page() -> None:
    assert pages.page(result(), NOW) == pages.page(result(), NOW)


def test_it_appears_whole_and_in_the_place_of_nothing(tmp_path: Path) -> None:
    place = goal(tmp_path / "page.html")
    write(place, result())
    assert read(place.read_text()).seen.count("h1") == 1
    assert os.listdir(tmp_path) == ["page.html"]
    with pytest.raises(RefusedError) as caught:
        write(place, evil())  # somebody was faster
    assert (caught.value.kind, os.listdir(tmp_path)) == ("file-taken", ["page.html"])
    assert "<script>" not in place.read_text()


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrepo.fs import native

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(native, "sync", full)
    with pytest.raises(OSError, match="No space"):
        write(goal(tmp_path / "page.html"), result())
    assert os.listdir(tmp_path) == []


def test_a_page_whose_name_is_not_known_to_be_on_the_disk_is_there_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(durable, "sync_directory", broken)
    with pytest.raises(UnconfirmedError) as caught:
        write(goal(tmp_path / "page.html"), result())
    assert (caught.value.durable, os.listdir(tmp_path)) == (False, ["page.html"])


@pytest.mark.tensorflow
@pytest.mark.parametrize("failure", [OSError(28, "No space"), RefusedError("there", kind="file-taken")])
def test_the_figures_are_not_lost_with_the_page(
    filled: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def broken(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(reporting, "write", broken)
    with pytest.raises(ModelRepoError) as caught:
        filled.compare("v1", "v2", runs=1, html=tmp_path / "page.html")
    assert isinstance(caught.value.partial, results.CompareResult)
    assert (caught.value.partial.html, caught.value.partial.agreement) == (None, 1.0)
    assert "cleanup" not in (caught.value.hint or ""), "the page may lie on another disk"


@pytest.mark.tensorflow
def test_what_is_said_of_a_version_stands_on_its_page(
    repository: Repository, model: Callable[[str], Path], tmp_path: Path
) -> None:
    for text in ("one", "two"):
        repository.push(model(text), load=False, message=f"<b>{text}</b>")
    repository.annotate("v2", labels={"team": "<script>"}, metrics={"auc": 0.5})
    done = repository.compare("v1", "v2", runs=1, html=tmp_path / "page.html")
    assert done.html == str(tmp_path / "page.html")
    reader = read((tmp_path / "page.html").read_text())
    assert "<b>two</b> team=<script> auc=0.5" in reader.text
    assert not {"b", "script"} & set(reader.seen)
