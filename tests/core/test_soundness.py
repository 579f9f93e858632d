"""A manifest that is found sound without pydantic is one that pydantic reads."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from modelrepo.core import outline, soundness
from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.findings import Finding
from modelrepo.core.manifest import Exported, Golden, Keras, Manifest, Origin, parse_manifest
from modelrepo.core.refs import Version
from modelrepo.core.signatures import Signature, Tensor
from modelrepo.core.training import Training
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError

FILES = (FileEntry(path="saved_model.pb", size=3, digest="sha256:" + "1" * 64),)
ADA = Actor(user="ada", uid=1, host="h", claims={"SUDO_USER": "eve"})
THEN = datetime(2026, 1, 2, tzinfo=UTC)
DIGEST = "sha256:" + "2" * 64
TENSORS = {"x": Tensor(name="x:0", dtype="float32", shape=[None, 3], optional=True)}
#: Every field says something.
FULL = Manifest(
    version=Version(7),
    digest=content_digest(FILES),
    size=3,
    files=FILES,
    created_at=THEN,
    created_by=ADA,
    source=Origin(
        path="/x",
        host="h",
        exported=Exported(
            version=Version(2), manifest_digest=DIGEST, created_at=THEN, created_by=ADA, path="/y", host="i"
        ),
    ),
    message="first",
    labels={"a": "b"},
    metrics={"auc": 1.0},
    model_format="pb",
    tags=(("serve",),),
    signatures={"serving_default": Signature(method_name="m", inputs=TENSORS, outputs=TENSORS)},
    tensorflow_version="2.21.0",
    fingerprint={"graph": "1"},
    load="passed",
    loaded_by="2.21.0",
    cage=("network",),
    findings=(Finding(op="PyFunc", severity="refused", rule="code", reason="runs code", node="n", within=""),),
    scanned_by="2.21.0",
    allowed_ops=("PyFunc",),
    training=Training(signatures=("train",), variables=1, size=2),
    keras=Keras(file="m.keras", digest=DIGEST, size=1, version="3.15", serving="f.py:g", custom_objects=("a:B",)),
    golden=Golden(digest=DIGEST, format="json", size=9, requests=1),
    modelrepo_version="0.1.0",
)
FIELDS = json.loads(FULL.to_bytes())


def sound(fields: Any) -> bool:
    """Whether it passes without pydantic."""
    data = json.dumps(fields).encode()
    found = outline.read(data)
    if found is None:
        return False
    try:
        soundness.require(data, found)
    except IntegrityError:
        return False
    return True


def read(fields: Any) -> bool:
    """Whether pydantic reads it."""
    try:
        parse_manifest(json.dumps(fields).encode(), "v7")
    except IntegrityError:
        return False
    return True


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]


PLACES = places(FIELDS)[1:]
OTHERS: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, 1e400, "", "v0", "v1", "2026", "\ud800"),
    *([], [[]], [None], ["x"], {}, {"a": 1}, {"a": "x"}),
]


def changed(place: tuple[Any, ...]) -> tuple[Any, Any]:
    fields = copy.deepcopy(FIELDS)
    holder = fields
    for key in place[:-1]:
        holder = holder[key]
    return fields, holder


def test_what_a_push_writes_is_sound_whatever_it_says() -> None:
    silent = {name: None for name, field in Manifest.model_fields.items() if field.default is None}
    for manifest in (FULL, FULL.model_copy(update=silent)):
        assert sound(json.loads(manifest.to_bytes()))
    assert all(getattr(FULL, name) for name in silent), "a field of this test says nothing"


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_whatever_stands_somewhere_else_is_sound_only_if_pydantic_reads_it(place: tuple[Any, ...]) -> None:
    fields, holder = changed(place)
    for value in OTHERS:
        holder[place[-1]] = value
        assert not sound(fields) or read(fields), value


TEXTS = [place for place in PLACES if type(changed(place)[1][place[-1]]) is str]


@pytest.mark.parametrize("place", TEXTS, ids=str)
@pytest.mark.parametrize("text", ["", "\udcff", "caf\u00e9", "a\nb"], ids=ascii)
def test_a_text_that_pydantic_reads_is_sound(place: tuple[Any, ...], text: str) -> None:
    """Also one that is no Unicode: a path on the disk may be any bytes, and a user's name."""
    fields, holder = changed(place)
    holder[place[-1]] = text
    assert sound(fields) == read(fields)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_what_is_missing_may_be_missing(place: tuple[Any, ...]) -> None:
    fields, holder = changed(place)
    del holder[place[-1]]
    assert sound(fields) == read(fields)


@pytest.mark.parametrize("place", [(), *PLACES], ids=str)
def test_nothing_more_may_be_said(place: tuple[Any, ...]) -> None:
    fields, holder = changed((*place, "more"))
    if isinstance(holder, dict):
        holder["more"] = "x"
        assert sound(fields) == read(fields)


@pytest.mark.parametrize(
    ("name", "value"), [("digest", DIGEST), ("size", 4), ("files", []), ("files", [*FIELDS["files"], *FIELDS["files"]])]
)
def test_what_contradicts_itself_is_not_sound(name: str, value: Any) -> None:
    assert not sound({**FIELDS, name: value})


def test_what_stands_twice_is_not_sound() -> None:
    data = FULL.to_bytes().replace(b'"labels": {', b'"labels": {}, "labels": {', 1)
    found = outline.read(data)
    assert found is not None
    with pytest.raises(IntegrityError, match="a key stands twice"):
        soundness.require(data, found)
