"""The manifest: round trips, refusals, and its schema."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.findings import Finding
from modelrepo.core.manifest import Manifest, Origin, parse_manifest
from modelrepo.core.refs import MAX_NUMBER, Version
from modelrepo.core.signatures import Signature, Tensor
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
EMPTY_DIGEST = f"sha256:{hashlib.sha256(b'').hexdigest()}"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
FOUND = Finding(op=None, severity="refused", rule="asset-path", reason="r", node="n", within="meta graph serve")
SIGNATURES = {
    "serving_default": Signature(
        method_name="tensorflow/serving/predict",
        inputs={"x": Tensor(name="x:0", dtype="float32", shape=[None, 3], optional=True)},
        outputs={"y": Tensor(name="y:0", dtype="string", shape=None)},
    )
}


def manifest(*paths: str, **fields: Any) -> Manifest:
    files = tuple(FileEntry(path=path, size=0, digest=EMPTY_DIGEST) for path in sorted(paths or ("saved_model.pb",)))
    values = {
        "version": Version(7), "digest": content_digest(files), "size": 0, "files": files,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "created_by": Actor(user="ada", uid=1, host="h"),
        "source": Origin(path="/exports/7", host="h"), "model_format": "pb", **fields,
    }  # fmt: skip
    return Manifest(**values)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(manifest().to_bytes()), **fields}).encode()


def without(name: str) -> bytes:
    stated = json.loads(manifest().to_bytes())
    del stated[name]
    return json.dumps(stated).encode()


@given(
    st.builds(
        lambda files, **fields: manifest(*files, **fields),
        st.lists(st.from_regex(r"[a-z\u00e9\\ ]{1,8}(/[a-z]{1,4})?", fullmatch=True), unique=True, max_size=5),
        version=st.integers(1, MAX_NUMBER).map(Version),
        message=st.none() | TEXT,
        labels=st.dictionaries(TEXT, TEXT, max_size=3),
        metrics=st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        model_format=st.sampled_from(["pb", "pbtxt", "cpb"]),
        tags=st.none() | st.lists(st.lists(TEXT, max_size=2).map(tuple), max_size=2).map(tuple),
        signatures=st.none() | st.just(SIGNATURES),
        fingerprint=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
        load=st.sampled_from(["passed", "skipped"]),
        loaded_by=st.none() | TEXT,
        cage=st.none() | st.lists(TEXT, max_size=2).map(tuple),
        findings=st.none() | st.lists(st.just(FOUND), max_size=2).map(tuple),
        scanned_by=st.none() | TEXT,
        allowed_ops=st.lists(TEXT, max_size=2).map(tuple),
    )
)
def test_a_manifest_is_read_from_the_bytes_that_it_writes(written: Manifest) -> None:
    data = written.to_bytes()
    assert data.isascii()
    assert data.endswith(b"}\n")
    assert parse_manifest(data, "manifest.json") == written
    assert parse_manifest(data, "manifest.json").to_bytes() == data


def test_what_is_absent_is_null_and_never_left_out() -> None:
    fields = json.loads(manifest().to_bytes())
    assert set(fields) == set(Manifest.model_fields)
    assert fields["message"] is None
    assert fields["signatures"] is None
    assert fields["version"] == "v7"
    assert fields["created_at"] == "2026-01-02T03:04:05.000006Z"


def test_a_size_or_digest_that_contradicts_the_files_is_refused() -> None:
    for data in (changed(size=1), changed(digest="sha256:" + "0" * 64), changed(files=[]), changed(digest="")):
        with pytest.raises(IntegrityError, match=r"digest is not the digest of files|size is not the sum of files"):
            parse_manifest(data, "manifest.json")


def listing(*paths: str) -> bytes:
    """A manifest that agrees with itself about these paths."""
    files = [FileEntry(path=path, size=0, digest=EMPTY_DIGEST) for path in paths]
    return changed(files=[vars(entry) for entry in files], digest=content_digest(files))


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../v2/saved_model.pb", "a/../../b", "", ".", "..", "a//b", "a/", "manifest.json", "a\nb",
     "\x1b[2J", "x" * 201],
)  # fmt: skip
def test_a_path_that_is_not_inside_a_version_is_refused(path: str) -> None:
    with pytest.raises(IntegrityError, match="is not a path inside a version") as caught:
        parse_manifest(listing(path), "manifest.json")
    assert caught.value.message.isprintable()


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    data = changed(files=[{"path": "\udcff", "size": 0, "digest": EMPTY_DIGEST}])
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(data, "manifest.json")
    assert caught.value.kind == "manifest-damaged"


def test_a_path_that_stands_twice_is_refused() -> None:
    with pytest.raises(IntegrityError, match="stands twice"):
        parse_manifest(listing("a", "a"), "manifest.json")


def test_a_nested_manifest_json_is_a_file_like_any_other() -> None:
    assert parse_manifest(listing("a/manifest.json"), "manifest.json").files[0].path == "a/manifest.json"


DAMAGED = {
    "nothing": b"",
    "zeros": b"\0" * 4096,
    "torn": manifest().to_bytes()[:-20],
    "not JSON": b"{]",
    "two documents": manifest().to_bytes() * 2,
    "not UTF-8": b'{"format": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "nested too deep": b"[" * 200_000,
    "a number beyond all bounds": b'{"format": ' + b"9" * 5000 + b"}",
    "a key twice": manifest().to_bytes().replace(b'"format": 1,', b'"format": 1, "format": 1,'),
    "a key twice below": manifest().to_bytes().replace(b'"host": "h"', b'"host": "h", "host": "g"'),
    "an unknown field": changed(extra=1),
    "an unknown field below": changed(source={"path": "/", "host": "h", "extra": 1}),
    "no format": changed(format=None),
    "an older format": changed(format=0),
    "a version without its letter": changed(version="7"),
    "version 0": changed(version="v0"),
    "a version as a number": changed(version=7),
    "a time without a zone": changed(created_at="2026-01-02T03:04:05"),
    "a time that UTC cannot express": changed(created_at="0001-01-01T00:00:00+23:00"),
    "an unknown model format": changed(model_format="onnx"),
    "an unknown load": changed(load="failed"),
    "a metric that is no number": changed(metrics={"auc": float("nan")}),
    "a metric that is infinite": changed(metrics={"auc": float("inf")}),
    "a label that is no text": changed(labels={"a": 1}),
    "a shape with text": changed(
        signatures={"s": {"method_name": "", "inputs": {"x": {"name": "", "dtype": "", "shape": ["a"]}}, "outputs": {}}}
    ),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_manifest_is_an_integrity_error_that_names_it(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(data, "/models/v7/manifest.json")
    assert caught.value.kind == "manifest-damaged"
    assert "/models/v7/manifest.json" in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    "name", ["version", "digest", "size", "files", "created_at", "created_by", "source", "model_format"]
)
def test_no_fact_may_be_missing(name: str) -> None:
    with pytest.raises(IntegrityError, match=f"{name}: Field required"):
        parse_manifest(without(name), "manifest.json")


def test_a_newer_format_is_named_whatever_else_it_holds() -> None:
    for data in (changed(format=2), b'{"format": 2, "unknown": []}'):
        with pytest.raises(IntegrityError) as caught:
            parse_manifest(data, "manifest.json")
        assert (caught.value.kind, caught.value.expected, caught.value.got) == ("newer-format", "format 1", "format 2")


def test_the_schema_in_the_documentation_is_the_manifests() -> None:
    """Made by `json.dumps(Manifest.model_json_schema(), indent=2)`."""
    assert SCHEMA.read_text(encoding="utf-8") == json.dumps(Manifest.model_json_schema(), indent=2) + "\n"


def test_the_schema_names_every_field_and_allows_no_other() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(Manifest.model_fields)
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
    assert "factory" not in json.dumps(schema)
