"""What reading, calling and comparing models gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from modelrepo.core.refs import Version
from modelrepo.core.signatures import Comparison, Signature
from modelrepo.core.values import Value

if TYPE_CHECKING:  # they are documents, which bring pydantic
    from modelrepo.core.findings import Finding
    from modelrepo.core.training import Training


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
    version: Version | None
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

    version: Version
    signature: str
    outputs: dict[str, Any]


class Compared(Value):
    """One of two models that were compared.

    Attributes:
        path: Where it is; None where it was deleted.
        version: Which version it is; None for a path.
    """

    path: str | None
    version: Version | None


class Numbers(Value, renamed={"before": "from", "after": "to"}):
    """A number before and after (`from` and `to` in JSON)."""

    before: int
    after: int


class FileChange(Value, renamed={"before": "from", "after": "to"}):
    """A file that differs: its sizes before and after (`from` and `to` in JSON), None where it is not there."""

    path: str
    before: int | None
    after: int | None


class FileChanges(Value):
    """The files that differ."""

    added: tuple[FileChange, ...]
    removed: tuple[FileChange, ...]
    changed: tuple[FileChange, ...]


class DiffResult(Value, renamed={"before": "from", "after": "to"}):
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

    before: Compared
    after: Compared
    signatures: Comparison | None
    files: FileChanges
    size: Numbers
    ops: dict[str, Numbers] | None
    warnings: tuple[str, ...] = ()
