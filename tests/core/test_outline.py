"""The outline of a manifest says what the manifest says, and nothing else passes for one."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core import outline
from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.manifest import Golden, Manifest, Origin
from modelrepo.core.refs import Version
from modelrepo.core.signatures import Signature, Tensor
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError

FILES = (FileEntry(path="saved_model.pb", size=3, digest="sha256:" + "1" * 64),)
MANIFEST = Manifest(
    version=Version(7),
    digest=content_digest(FILES),
    size=3,
    files=FILES,
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    created_by=Actor(user="ada", uid=1, host="h"),
    source=Origin(path="/x", host="h"),
    message="first",
    labels={"a": "b"},
    metrics={"auc": 1.0},
    model_format="pb",
    signatures={
        "serving_default": Signature(
            method_name="tensorflow/serving/predict",
            inputs={"x": Tensor(name="x:0", dtype="float32", shape=[None, 3], optional=True)},
            outputs={"y": Tensor(name="y:0", dtype="string", shape=None, encoding="sparse")},
        )
    },
    load="passed",
    golden=Golden(digest="sha256:" + "2" * 64, format="json", size=9, requests=1),
)


@pytest.mark.parametrize("manifest", [MANIFEST, MANIFEST.model_copy(update=dict.fromkeys(("signatures", "golden")))])
def test_it_says_what_the_whole_manifest_says(manifest: Manifest) -> None:
    found = outline.read(manifest.to_bytes())
    assert found is not None
    for name in ("version", "digest", "size", "created_at", "load", "labels", "metrics", "message"):
        assert getattr(found, name) == getattr(manifest, name)
    assert found.files == manifest.files
    assert found.signatures == manifest.signatures
    assert found.names == (None if manifest.signatures is None else tuple(manifest.signatures))
    assert (found.golden and vars(found.golden)) == (manifest.golden and vars(manifest.golden))


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in paths(part, (*path, key)))]


FIELDS = json.loads(MANIFEST.to_bytes())
READ = {
    "version",
    "digest",
    "size",
    "created_at",
    "load",
    "labels",
    "metrics",
    "message",
    "signatures",
    "files",
    "golden",
}
PLACES = [path for path in paths(FIELDS) if path and path[0] in READ]
JSON: st.SearchStrategy[Any] = st.sampled_from([None, True, -1, 1.5, "", "v0", [], [[]], {}, {"a": 1}, [1], "x" * 9])


@given(st.sampled_from(PLACES), JSON)
def test_a_forged_manifest_gives_no_outline_or_one_of_right_kinds(place: tuple[Any, ...], value: Any) -> None:
    fields = copy.deepcopy(FIELDS)
    holder = fields
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    found = outline.read(json.dumps(fields).encode())
    if found is None:
        return
    assert found.load in {"passed", "skipped"}
    with contextlib.suppress(IntegrityError):
        assert all(type(entry.size) is int and entry.size >= 0 for entry in found.files)
    with contextlib.suppress(IntegrityError):
        assert found.golden is None or re.fullmatch("sha256:[0-9a-f]{64}", found.golden.digest)
    with contextlib.suppress(IntegrityError):
        for signature in (found.signatures or {}).values():
            for tensor in (*signature.inputs.values(), *signature.outputs.values()):
                assert isinstance(tensor.dtype, str)
                assert tensor.shape is None or all(size is None or type(size) is int for size in tensor.shape)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_manifest_gives_none(data: bytes) -> None:
    assert outline.read(data) is None
