"""What the inspector reports, as values."""

from __future__ import annotations

import pytest

from modelrepo.core.findings import Finding
from modelrepo.savedmodel.report import Loaded, MetaGraph, Report


def graph(*tags: str) -> MetaGraph:
    return MetaGraph(tags=tags, signatures={}, ops={}, tensorflow_version=None)


FOUND = Finding(
    op="ReadFile", severity="refused", rule="read-file", reason="reads files", node="r", within="meta graph serve"
)


@pytest.mark.parametrize(
    ("tags", "served"),
    [
        ([("serve",)], ("serve",)),
        ([("train",), ("serve",)], ("serve",)),
        ([("serve", "gpu"), ("serve",)], ("serve",)),
        ([("train",), ("serve", "gpu"), ("serve", "tpu")], ("serve", "gpu")),
        ([("gpu", "serve"), ("train",)], ("gpu", "serve")),
        ([("train",), ("eval",)], ("train",)),
        ([()], ()),
    ],
)
def test_the_meta_graph_that_serving_means(tags: list[tuple[str, ...]], served: tuple[str, ...]) -> None:
    report = Report(
        meta_graphs=tuple(graph(*names) for names in tags), fingerprint=None, findings=(), scanned_by="2.21.0"
    )
    assert report.served.tags == served


def test_a_report_is_read_from_the_json_that_it_writes() -> None:
    report = Report(
        meta_graphs=(graph("serve"), graph()), fingerprint={"uuid": "1"}, findings=(FOUND,), scanned_by="2.21.0"
    )
    assert Report.model_validate_json(report.model_dump_json()) == report
    loaded = Loaded(tensorflow_version="2.21.0", seconds=0.5, cage=("nice",))
    assert Loaded.model_validate_json(loaded.model_dump_json()) == loaded
