"""Whether a manifest that the journal vouches for is one that a push writes, found out without pydantic.

`verify` asks for each version while its threads digest files, and they would wait for the interpreter for as long as
pydantic's import takes. What passes here, `parse_manifest` reads; a test holds the two against each other.
"""

from __future__ import annotations

import json

from modelrepo.core import kinds
from modelrepo.core.contents import content_digest
from modelrepo.core.formats import FORMAT
from modelrepo.core.kinds import Kind, each, every, exactly, maybe, number, one_of, text, texts, truth
from modelrepo.core.outline import FILES, GOLDEN, SIGNATURE, SIZE, Outline
from modelrepo.core.records import ACTOR
from modelrepo.core.values import read_time, read_version


def require(data: bytes, outline: Outline) -> None:
    """Make sure that all of a manifest is as it should be.

    Args:
        data: Its raw bytes.
        outline: What was read of them.

    Raises:
        IntegrityError: It is not.
    """
    outline.read(lambda: _check(data, outline))


def _check(data: bytes, outline: Outline) -> None:
    _MANIFEST(json.loads(data.decode(), object_pairs_hook=kinds.once))
    files = outline.files
    if content_digest(files) != outline.digest:
        raise ValueError("digest is not the digest of files")
    if sum(entry.size for entry in files) != outline.size:
        raise ValueError("size is not the sum of files")


def _this_format(value: object) -> object:
    if value != FORMAT:
        raise ValueError("it is of another format")
    return value


_WORDS = each(text)
_ACTOR = exactly(ACTOR, ["claims"])
_EXPORTED = exactly(
    {
        "version": read_version,
        "manifest_digest": text,
        "created_at": read_time,
        "created_by": _ACTOR,
        "path": text,
        "host": text,
    }
)
_FINDING = exactly(
    {
        "op": maybe(text),
        "severity": one_of("refused", "noted"),
        "rule": text,
        "reason": text,
        "node": text,
        "within": text,
    }
)
_KERAS = exactly(
    {
        "file": maybe(text),
        "digest": maybe(text),
        "size": maybe(SIZE),
        "version": text,
        "serving": maybe(text),
        "custom_objects": texts,
        "unsafe_deserialization": truth,
        "kept": truth,
    },
    ["file", "digest", "size", "serving", "custom_objects", "unsafe_deserialization", "kept"],
)
_REQUIRED = {"version", "digest", "size", "files", "created_at", "created_by", "source", "model_format"}
_FIELDS: dict[str, Kind] = {
    "format": _this_format,
    "version": read_version,
    "digest": text,
    "size": SIZE,
    "files": FILES,
    "created_at": read_time,
    "created_by": _ACTOR,
    "source": exactly({"path": text, "host": text, "exported": maybe(_EXPORTED)}, ["exported"]),
    "adopted": truth,
    "message": maybe(text),
    "labels": _WORDS,
    "metrics": each(number),
    "model_format": one_of("pb", "pbtxt", "cpb"),
    "tags": maybe(every(texts)),
    "signatures": maybe(each(SIGNATURE)),
    "tensorflow_version": maybe(text),
    "fingerprint": maybe(_WORDS),
    "load": one_of("passed", "skipped"),
    "loaded_by": maybe(text),
    "cage": maybe(texts),
    "findings": maybe(every(_FINDING)),
    "scanned_by": maybe(text),
    "allowed_ops": texts,
    "training": maybe(
        exactly({"signatures": texts, "variables": SIZE, "size": SIZE}, ["signatures", "variables", "size"])
    ),
    "keras": maybe(_KERAS),
    "golden": maybe(GOLDEN),
    "modelrepo_version": text,
}
_MANIFEST = exactly(_FIELDS, _FIELDS.keys() - _REQUIRED)
