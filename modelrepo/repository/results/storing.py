"""What taking in, checking and deleting gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from modelrepo.core.refs import Version
from modelrepo.core.signatures import Signature
from modelrepo.core.values import Value
from modelrepo.repository.results.problems import Problem
from modelrepo.repository.results.releasing import MoveResult

if TYPE_CHECKING:  # they are documents, which bring pydantic
    from modelrepo.core.findings import Finding
    from modelrepo.core.manifest import Golden


class InitResult(Value):
    """What `init` did.

    Attributes:
        repo: The root's absolute path.
        created: Whether this call made the repository, or finished one that was interrupted.
        adopted: Versions taken over from a hand-made tree.
        warnings: What somebody should know.
    """

    repo: str
    created: bool
    adopted: tuple[Version, ...] = ()
    warnings: tuple[str, ...] = ()


class PushResult(Value):
    """What a push did.

    Attributes:
        version: The version that holds the content.
        created: Whether it is new; False where a version with the same content was there already.
        digest: Of the content.
        size: Bytes.
        files: How many.
        signatures: The contract, None where nobody read the model.
        load: Whether TensorFlow has loaded it, at this push or at the first of this content.
        findings: What the scan found; None where TensorFlow is not installed, and nobody scanned.
        scanned_by: Which TensorFlow's ops the scan knows.
        allowed_ops: Ops that the scan would have refused, and that this push let in.
        golden: The golden requests that the version carries; None where it has none.
        promoted: The move of the channel, where one was asked for and happened.
        warnings: What somebody should know.
    """

    version: Version
    created: bool
    digest: str
    size: int
    files: int
    signatures: dict[str, Signature] | None
    load: Literal["passed", "skipped"]
    findings: tuple[Finding, ...] | None = None
    scanned_by: str | None = None
    allowed_ops: tuple[str, ...] = ()
    golden: Golden | None = None
    promoted: MoveResult | None = None
    warnings: tuple[str, ...] = ()


class ExportResult(Value):
    """A version's copy outside the repository.

    Attributes:
        version: Which version.
        path: Where the copy is.
        files: How many files it has, without the manifest.
        size: Their bytes.
        golden: Where its golden requests are, beside the copy; None where it has none.
        warnings: What somebody should know.
    """

    version: Version
    path: str
    files: int
    size: int
    golden: str | None = None
    warnings: tuple[str, ...] = ()


class VerifyResult(Value):
    """What verify found.

    Attributes:
        ok: Whether nothing is wrong, or nothing is left wrong after a repair.
        versions: What was checked.
        read: Of which all bytes were read.
        findings: All that was found, notes included.
    """

    ok: bool
    versions: tuple[Version, ...]
    read: tuple[Version, ...]
    findings: tuple[Problem, ...]


class Kept(Value):
    """A version that cleanup keeps.

    Attributes:
        version: Which one.
        reasons: All reasons.
        by: Who has it `leased` or `in-use`, such as `process 123 (python3 serve.py)`.
    """

    version: Version
    reasons: tuple[str, ...]
    by: tuple[str, ...] = ()


class CleanupResult(Value):
    """What cleanup did, or with `dry_run` would do.

    Attributes:
        removed: The versions that went.
        kept: The others, and why.
        freed: Bytes of the files that went.
        dry_run: Whether this is only the plan.
        leftovers: How many abandoned directories of crashed commands were deleted.
        unseen: Processes that could not be looked at for open files; None where nobody had to look.
        problems: What was noticed on the way and stopped nothing.
    """

    removed: tuple[Version, ...]
    kept: tuple[Kept, ...]
    freed: int
    dry_run: bool
    leftovers: int = 0
    unseen: int | None = None
    problems: tuple[Problem, ...] = ()


class RemoveResult(Value):
    """What `remove` did.

    Attributes:
        removed: The versions that went.
        freed: Bytes of their files.
        unseen: Processes that could not be looked at for open files.
    """

    removed: tuple[Version, ...]
    freed: int
    unseen: int = 0
