"""What reading, calling and comparing models gives."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from modelrepo.core.derived import Record
from modelrepo.core.findings import Finding
from modelrepo.core.signatures import Comparison, Signature
from modelrepo.core.training import Training
from modelrepo.core.values import Value, VersionField


class Inspection(Value):
    """What the inspector says about a SavedModel.

    Attributes:
        path: Where it is.
        version: Which version it is, None for a path.
        signatures: The contract of the meta graph for serving.
        tags: All tag sets.
        tensorflow_version: Which TensorFlow wrote it.
        fingerprint: TensorFlow's own.
        ops: How often each op stands in the meta graph for serving.
        training: What only training needs of it; None where nobody can say.
        unfilled: Signatures that read variables which nothing fills; None where nobody can say.
        findings: What the scan found in all meta graphs.
        scanned_by: Which TensorFlow's ops the scan knows.
        load: Whether TensorFlow has loaded it just now; None where that was not asked.
        loaded_by: Which TensorFlow loaded it.
        cage: What the process that loaded it had given up.
        golden: How many golden requests it has just answered right; None where it was not loaded, or has none.
    """

    path: str
    version: VersionField | None
    signatures: dict[str, Signature]
    tags: tuple[tuple[str, ...], ...]
    tensorflow_version: str | None
    fingerprint: dict[str, str] | None
    ops: dict[str, int]
    training: Training | None
    unfilled: tuple[str, ...] | None
    findings: tuple[Finding, ...]
    scanned_by: str
    load: Literal["passed"] | None = None
    loaded_by: str | None = None
    cage: tuple[str, ...] | None = None
    golden: int | None = None


class Prediction(Value):
    """What one call of a signature gave.

    Attributes:
        version: Of which version.
        signature: Which one.
        outputs: Values by key, nested lists as the shapes say: numbers that JSON has no words for as `"NaN"`,
            `"Infinity"` and `"-Infinity"`, bytes that are no UTF-8 as `{"b64": …}`.
    """

    version: VersionField
    signature: str
    outputs: dict[str, Any]


class Conversion(Record):
    """What a conversion made: its record, and where it is.

    Attributes:
        path: What was written outside the repository; None where nothing was.
        kept: Its directory in the repository; None where it is not kept.
        created: Whether what is kept is new; False where the same was kept already, or nothing is.
        warnings: What somebody should know.
    """

    path: str | None
    kept: str | None
    created: bool
    warnings: tuple[str, ...] = ()


class Compared(Value):
    """One of two models that were compared.

    Attributes:
        path: Where it is; None where it was deleted.
        version: Which version it is; None for a path.
    """

    path: str | None
    version: VersionField | None


class Numbers(Value):
    """A number before and after (`from` and `to` in JSON)."""

    before: int = Field(serialization_alias="from")
    after: int = Field(serialization_alias="to")


class FileChange(Value):
    """A file that differs: its sizes before and after (`from` and `to` in JSON), None where it is not there."""

    path: str
    before: int | None = Field(serialization_alias="from")
    after: int | None = Field(serialization_alias="to")


class FileChanges(Value):
    """The files that differ."""

    added: tuple[FileChange, ...]
    removed: tuple[FileChange, ...]
    changed: tuple[FileChange, ...]


class DiffResult(Value):
    """What changes from one model to another.

    Attributes:
        before: The one that callers know (`from` in JSON).
        after: The one that they would get (`to` in JSON).
        signatures: What changes for callers; None where the contracts could not be compared.
        files: What differs on disk.
        size: Bytes of all files.
        ops: How often each op stands in the meta graphs for serving, where that differs; None where they could not be
            read.
        warnings: What was not compared, and why.
    """

    before: Compared = Field(serialization_alias="from")
    after: Compared = Field(serialization_alias="to")
    signatures: Comparison | None
    files: FileChanges
    size: Numbers
    ops: dict[str, Numbers] | None
    warnings: tuple[str, ...] = ()
