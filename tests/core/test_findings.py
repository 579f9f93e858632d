"""Which findings keep a model out, and what a finding says."""

from __future__ import annotations

from pydantic import TypeAdapter

from modelrepo.core.findings import Finding, let_in, refused


def finding(op: str | None, severity: str = "refused", node: str = "n") -> Finding:
    return TypeAdapter(Finding).validate_python(
        {"op": op, "severity": severity, "rule": "read-file", "reason": "reads files", "node": node, "within": "graph"}
    )


READ, SAVE, NOTED, WHOLE = finding("ReadFile"), finding("SaveV2"), finding("ReadFile", "noted"), finding(None, node="")


def test_what_is_allowed_by_name_keeps_nothing_out_and_what_is_noted_never_does() -> None:
    assert refused([READ, SAVE, NOTED], ()) == (READ, SAVE)
    assert refused([READ, SAVE, NOTED], {"ReadFile"}) == (SAVE,)


def test_what_is_about_the_whole_model_cannot_be_allowed() -> None:
    assert refused([WHOLE], {"None", ""}) == (WHOLE,)


def test_only_what_would_have_been_refused_was_let_in() -> None:
    assert let_in([READ, READ, NOTED, WHOLE], ["SaveV2", "ReadFile"]) == ("ReadFile",)
    assert let_in([NOTED], ["ReadFile"]) == ()


def test_a_finding_says_what_where_and_why_in_one_line() -> None:
    assert READ.text == "ReadFile reads files (node n, graph) [read-file]"
    assert WHOLE.text == "model reads files (graph) [read-file]"
