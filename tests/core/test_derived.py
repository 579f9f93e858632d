"""The record of what was made of a version: read strictly, whoever wrote it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.derived import Compared, Record, parse_record
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError

FILE = FileEntry(path="model.tflite", size=3, digest=f"sha256:{'0' * 64}")
RECORD = Record(
    version=Version(3),
    version_digest=f"sha256:{'1' * 64}",
    signature="serving_default",
    loader="session",
    to="tflite",
    quantize="int8",
    calibration=f"sha256:{'2' * 64}",
    batch_size=1,
    tools={"tensorflow": "2.21.0"},
    compared=Compared(source="golden", requests=2, seed=None, tolerance=0.1, differences={"y": 0.01}),
    files=(FILE,),
    digest=content_digest([FILE]),
    size=3,
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    created_by=Actor(user="ada", uid=1000, host="here"),
    modelrepo_version="0.1.0",
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_record(RECORD.to_bytes(), "record.json", Version(3)) == RECORD


def test_the_same_content_has_the_same_name_and_another_target_another() -> None:
    assert RECORD.name == f"tflite-{RECORD.digest[7:19]}"
    assert RECORD.model_copy(update={"to": "tfjs", "signature": "other"}).name == f"tfjs-{RECORD.digest[7:19]}"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": "v4"}, "it is of v4"),
        ({"files": []}, "files"),
        ({"files": [{**vars(FILE), "path": "../model.tflite"}]}, "it names files elsewhere"),
        ({"files": [{**vars(FILE), "size": 4, "path": "b"}]}, "do not make its digest"),
        ({"to": "onnx"}, "to"),
        ({"more": 1}, "more: unknown key"),
        ({"digest": "sha256:1"}, "digest"),
        ({"format": "x"}, "format"),
    ],
)
def test_a_record_that_somebody_forged_is_none(changed: dict[str, Any], why: str) -> None:
    document = {**json.loads(RECORD.to_bytes()), **changed}
    with pytest.raises(IntegrityError, match=why) as caught:
        parse_record(json.dumps(document).encode(), "record.json", Version(3))
    assert caught.value.kind == "derived-damaged"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_record_is_none(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="is no record"):
        parse_record(data, "record.json", Version(3))


def test_a_record_of_a_newer_format_is_told_as_such_whatever_it_holds() -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_record(b'{"format": 2, "files": {}}', "record.json", Version(3))
    assert (caught.value.kind, caught.value.got) == ("newer-format", "format 2")
