"""The manifest: the record of one version's files and facts. Its JSON Schema is `docs/manifest.schema.json`."""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from modelrepo.core import kinds
from modelrepo.core.contents import FileEntry, content_digest, is_safe_path
from modelrepo.core.documents import Document, Timestamp, VersionField, first_problem
from modelrepo.core.findings import Finding
from modelrepo.core.formats import FORMAT, newer_format
from modelrepo.core.layout import MANIFEST
from modelrepo.core.refs import Version
from modelrepo.core.signatures import Signature
from modelrepo.core.training import Training
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError


class Exported(Document):
    """What a version was in the repository that it was exported from; its content is the same.

    Attributes:
        version: Its number there.
        manifest_digest: Of its manifest's raw bytes there: it finds the version's record in that journal.
        created_at: When it was pushed there.
        created_by: By whom.
        path: What was pushed there.
        host: The host that pushed it there.
    """

    version: VersionField
    manifest_digest: str
    created_at: Timestamp
    created_by: Actor
    path: str
    host: str


class Origin(Document):
    """Where a version came from.

    Attributes:
        path: The source's absolute path on that host.
        host: The host that pushed it.
        exported: What it was in another repository, where the source was an export of it.
    """

    path: str
    host: str
    exported: Exported | None = None


class Golden(Document):
    """The golden requests that a version carries: kept in the repository, not among its files.

    Attributes:
        digest: Of the file: `sha256:` and 64 hex digits of its bytes.
        format: How it is written; the file's name ends so.
        size: Its bytes.
        requests: How many requests it holds.
    """

    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    format: Literal["json", "npz"]
    size: int
    requests: int


class Keras(Document):
    """The Keras model that a version was exported from at its push.

    Attributes:
        file: Its name; None where a live model was pushed.
        digest: Of the file: `sha256:` and 64 hex digits of its bytes.
        size: Its bytes.
        version: Which Keras exported it.
        serving: What made its signatures, where it was not its own call: `FILE.py:FUNCTION`.
        custom_objects: Where its own classes came from: `package.module:Name`.
        unsafe_deserialization: Whether the file was allowed to bring code.
        kept: Whether the file is one of the version's.
    """

    file: str | None = None
    digest: str | None = None
    size: int | None = None
    version: str
    serving: str | None = None
    custom_objects: tuple[str, ...] = ()
    unsafe_deserialization: bool = False
    kept: bool = False


class Manifest(Document):
    """One version.

    Attributes:
        format: The number of this format.
        version: Its number.
        digest: Of its content: see `content_digest`.
        size: Bytes of all its files, without the manifest.
        files: All its files, sorted by path.
        created_at: When it was pushed; of an adopted version, when its newest file was changed.
        created_by: By whom; of an adopted version, its directory's owner.
        source: Where from; of an adopted version, where it stood.
        adopted: Whether it was taken over from a hand-made tree: nobody copied its files or set their modes.
        message: What the pusher said.
        labels: Words for programs, by key.
        metrics: Finite numbers, by key.
        model_format: Which file holds the model: `pb`, `pbtxt` or `cpb`.
        tags: The tag sets of its meta graphs; None where nobody read the model.
        signatures: The contract of the meta graph for serving; None where nobody read the model.
        tensorflow_version: Which TensorFlow wrote it, as it says itself.
        fingerprint: TensorFlow's own fingerprint of it, numbers as decimal text; None where it has none.
        load: Whether TensorFlow's Session loader, which TensorFlow Serving uses, has loaded it at push.
        loaded_by: Which TensorFlow loaded it.
        cage: What the process that loaded it had given up; None where nobody loaded it.
        findings: What the scan found; None where nobody scanned it.
        scanned_by: Which TensorFlow's ops the scan knew; None where nobody scanned it.
        allowed_ops: Ops that the scan would have refused, and that the pusher let in.
        training: What only training needs of it; None where nobody read the model, or can say.
        keras: The Keras model that it was exported from; None where a SavedModel was pushed.
        golden: Its golden requests; where `load` is `passed`, it answered them right at push. None where it has none.
        modelrepo_version: Which modelrepo wrote this.
    """

    format: Literal[1] = 1
    version: VersionField
    digest: str
    size: int
    files: tuple[FileEntry, ...]
    created_at: Timestamp
    created_by: Actor
    source: Origin
    adopted: bool = False
    message: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    model_format: Literal["pb", "pbtxt", "cpb"]
    tags: tuple[tuple[str, ...], ...] | None = None
    signatures: dict[str, Signature] | None = None
    tensorflow_version: str | None = None
    fingerprint: dict[str, str] | None = None
    load: Literal["passed", "skipped"] = "skipped"
    loaded_by: str | None = None
    cage: tuple[str, ...] | None = None
    findings: tuple[Finding, ...] | None = None
    scanned_by: str | None = None
    allowed_ops: tuple[str, ...] = ()
    training: Training | None = None
    keras: Keras | None = None
    golden: Golden | None = None
    modelrepo_version: str = Field(default="")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        paths = [entry.path for entry in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("a path stands twice in files")
        for path in paths:
            if not is_safe_path(path) or path == MANIFEST:
                raise ValueError(f"{path!a} is not a path inside a version")
        if content_digest(self.files) != self.digest:
            raise ValueError("digest is not the digest of files")
        if sum(entry.size for entry in self.files) != self.size:
            raise ValueError("size is not the sum of files")
        return self

    def to_bytes(self) -> bytes:
        """Write it as it stands on the disk: indented JSON, one final newline."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=True, allow_nan=False)
        return text.encode() + b"\n"


def parse_manifest(data: bytes, where: str, version: Version | None = None) -> Manifest:
    """Read a manifest.

    Args:
        data: The raw bytes.
        where: Its path, for messages.
        version: Whose it must be; None for anybody's.

    Raises:
        IntegrityError: It is not a manifest, contradicts itself, is another's, or of a newer format.
    """
    try:
        fields = json.loads(data, object_pairs_hook=kinds.once)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{where} is not JSON: {str(error)[:200]}", kind="manifest-damaged", hint="run `modelrepo verify`"
        ) from error
    if isinstance(fields, dict) and isinstance(number := fields.get("format"), int) and number > FORMAT:
        raise newer_format(where, number)
    try:
        manifest = Manifest.model_validate(fields)
    except ValidationError as error:
        raise IntegrityError(
            f"{where} is not a manifest: {first_problem(error)}", kind="manifest-damaged", hint="run `modelrepo verify`"
        ) from error
    if version is not None and manifest.version != version:
        raise IntegrityError(
            f"{where} is of another version",
            kind="manifest-damaged",
            expected=version,
            got=manifest.version,
            hint="run `modelrepo verify`",
        )
    return manifest
