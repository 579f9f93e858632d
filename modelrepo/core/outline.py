"""The outline of a manifest: what lists tell and moves look at, read without pydantic.

Only of bytes that somebody vouches for: the journal keeps the digest of every manifest that a push wrote, and a push
writes none that is not valid. What nobody vouches for is read whole (`manifest`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar

from modelrepo.core import kinds
from modelrepo.core.contents import FileEntry, is_safe_path
from modelrepo.core.formats import FORMAT
from modelrepo.core.layout import MANIFEST
from modelrepo.core.refs import MAX_NUMBER, Version
from modelrepo.core.signatures import Signature, Tensor
from modelrepo.core.values import Value, read_time, read_version
from modelrepo.errors import IntegrityError

T = TypeVar("T")
Load = Literal["passed", "skipped"]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class GoldenFile(Value):
    """The golden requests that a version carries, as its manifest says (`manifest.Golden`)."""

    digest: str
    format: Literal["json", "npz"]
    size: int
    requests: int


class Outline(Value):
    """Some of what a manifest says; its attributes mean the same there.

    Attributes:
        names: Of its signatures; None where nobody read the model.
        rest: What is read when somebody asks for it: a list of ten thousand versions asks for none of it.
    """

    version: Version
    digest: str
    size: int
    created_at: datetime
    load: Load
    labels: dict[str, str]
    metrics: dict[str, float]
    message: str | None
    names: tuple[str, ...] | None
    rest: Mapping[str, Any]

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All its files."""
        return self.read(lambda: _files(self.rest["files"]))

    @property
    def signatures(self) -> Mapping[str, Signature] | None:
        """The contract of the meta graph for serving."""
        given = self.rest.get("signatures")
        return self.read(lambda: None if given is None else kinds.each(_signature)(given))

    @property
    def golden(self) -> GoldenFile | None:
        """Its golden requests."""
        given = self.rest.get("golden")
        return self.read(lambda: None if given is None else GoldenFile(**GOLDEN(given)))

    def read(self, read: Callable[[], T]) -> T:
        """Read more of it.

        Raises:
            IntegrityError: It is nothing that a push writes: somebody forged the journal, too.
        """
        try:
            return read()
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise IntegrityError(
                f"the manifest of {self.version} is none that a push writes: {error}",
                kind="manifest-damaged",
                hint="run `modelrepo verify`",
            ) from error


SIZE = kinds.whole(0, MAX_NUMBER)
_WORDS = kinds.each(kinds.text)
_NUMBERS = kinds.each(kinds.number)
_LOAD = kinds.one_of("passed", "skipped")


def read(data: bytes) -> Outline | None:
    """The outline of a manifest's raw bytes; None where they are no manifest's, and only `parse_manifest` can say why.

    Args:
        data: The bytes, vouched for.
    """
    try:
        fields = json.loads(data.decode())
        message, signatures = fields.get("message"), fields.get("signatures")
        if fields.get("format", FORMAT) != FORMAT or not isinstance(signatures, dict | None):
            return None
        return Outline(
            version=read_version(fields["version"]),
            digest=kinds.text(fields["digest"]),
            size=SIZE(fields["size"]),
            created_at=read_time(fields["created_at"]),
            load=_LOAD(fields.get("load", "skipped")),
            labels=_WORDS(fields.get("labels", {})),
            metrics=_NUMBERS(fields.get("metrics", {})),
            message=None if message is None else kinds.text(message),
            names=None if signatures is None else tuple(map(kinds.text, signatures)),
            rest=fields,
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def require(data: bytes, where: str) -> Outline:
    """The outline of a manifest that was read whole before.

    Raises:
        IntegrityError: It has none: what pydantic let pass as a number is written as a text, say.
    """
    found = read(data)
    if found is None:
        raise IntegrityError(
            f"{where} is none that a push writes", kind="manifest-damaged", hint="run `modelrepo verify`"
        )
    return found


def _files(entries: object) -> tuple[FileEntry, ...]:
    """The files, as a manifest may name them: inside the version, each once."""
    found = tuple(FileEntry(**entry) for entry in FILES(entries))
    if len({entry.path for entry in found}) != len(found):
        raise ValueError("a path stands twice in files")
    return found


def _path(value: object) -> str:
    if type(value) is not str or not is_safe_path(value) or value == MANIFEST:
        raise ValueError("it is no path inside a version")
    return value


def _digest(value: object) -> str:
    """The digest of a file whose name is made of it: a manifest that somebody forged names nothing outside."""
    if type(value) is not str or not _DIGEST.fullmatch(value):
        raise ValueError("it is no digest")
    return value


def _signature(fields: object) -> Signature:
    read = SIGNATURE(fields)
    inputs, outputs = ({key: Tensor(**each) for key, each in read[side].items()} for side in ("inputs", "outputs"))
    return Signature(method_name=read["method_name"], inputs=inputs, outputs=outputs)


FILES = kinds.every(kinds.exactly({"path": _path, "size": SIZE, "digest": kinds.text}))
GOLDEN = kinds.exactly({"digest": _digest, "format": kinds.one_of("json", "npz"), "size": SIZE, "requests": SIZE})
_TENSOR = kinds.exactly(
    {
        "name": kinds.text,
        "dtype": kinds.text,
        "shape": kinds.maybe(kinds.every(kinds.maybe(kinds.whole(-(2**63), MAX_NUMBER)))),
        "optional": kinds.truth,
        "encoding": kinds.one_of("dense", "sparse", "composite"),
    },
    ["optional", "encoding"],
)
SIGNATURE = kinds.exactly({"method_name": kinds.text, "inputs": kinds.each(_TENSOR), "outputs": kinds.each(_TENSOR)})
