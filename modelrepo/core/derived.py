"""What was made of a version and kept: the record that lies beside its files. Its content is not the version's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from modelrepo.core.contents import FileEntry, content_digest, is_safe_path
from modelrepo.core.documents import Document, Timestamp, VersionField, first_problem
from modelrepo.core.formats import newer_format
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError

#: A record names a few files; what is larger was not written by modelrepo.
MAX_RECORD_BYTES = 1024 * 1024
_DIGITS = 12


class Compared(Document):
    """How a converted model was compared with its version.

    Attributes:
        source: Which requests: somebody gave them, the version's golden ones, or made up.
        requests: How many.
        seed: What they were made up from; None where they were not.
        tolerance: How far an output might be off, relative to the largest value of the version's.
        differences: How far each was off.
    """

    source: Literal["given", "golden", "generated"]
    requests: int
    seed: int | None
    tolerance: float
    differences: dict[str, float]


class Record(Document):
    """What was made of a version, of what, and by what.

    Attributes:
        format: How it is written.
        version: Of which version.
        version_digest: Of that version's content.
        signature: Of which signature.
        loader: How the version was loaded: `session`, as TensorFlow Serving does, or `objects`, by
            `tf.saved_model.load`, where only that fills the variables that the signature reads.
        to: For what.
        quantize: With which numbers.
        calibration: The digest of the file of requests that `int8` was calibrated with; None for others.
        batch_size: The size of the batches that it takes; None for what the signature says.
        tools: What made and ran it, and their versions.
        compared: How it was compared.
        files: Its files.
        digest: Of its content, as a version's is made.
        size: Bytes of its files.
        created_at: When.
        created_by: By whom.
        modelrepo_version: Which modelrepo made it.
    """

    format: Literal[1] = 1
    version: VersionField
    version_digest: str
    signature: str
    loader: Literal["session", "objects"]
    to: Literal["tflite", "tfjs"]
    quantize: Literal["none", "dynamic", "float16", "int8"]
    calibration: str | None
    batch_size: int | None
    tools: dict[str, str]
    compared: Compared
    files: tuple[FileEntry, ...] = Field(min_length=1)
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int
    created_at: Timestamp
    created_by: Actor
    modelrepo_version: str

    @property
    def name(self) -> str:
        """What its directory is called: the same content has the same name."""
        return f"{self.to}-{self.digest.removeprefix('sha256:')[:_DIGITS]}"

    def to_bytes(self) -> bytes:
        """The record as it is written."""
        return f"{self.model_dump_json(indent=2)}\n".encode()


class _Format(Document, extra="ignore"):
    """What is read first of a record, which may be of a newer format."""

    format: int


def parse_record(data: bytes, path: str, version: Version) -> Record:
    """Read a record.

    Args:
        data: Its bytes.
        path: Where it lies, for messages.
        version: Of which version it must be.

    Raises:
        IntegrityError: It is none, or of a newer format.
    """
    try:
        number = _Format.model_validate_json(data).format
        if number > 1:
            raise newer_format(path, number)
        record = Record.model_validate_json(data)
    except ValidationError as error:
        raise _damaged(path, first_problem(error)) from None
    if record.version != version:
        raise _damaged(path, f"it is of {record.version}")
    if not all(is_safe_path(entry.path) for entry in record.files):
        raise _damaged(path, "it names files elsewhere")
    if content_digest(record.files) != record.digest:
        raise _damaged(path, "its files' digests do not make its digest")
    return record


def _damaged(path: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is no record of a converted model: {why}",
        kind="derived-damaged",
        hint="delete its directory, and convert the version again",
    )
