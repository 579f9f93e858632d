"""What a comparison of two models on the same requests gives.

All but what stands in `Measured` is the same whenever the same models get the same requests.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelrepo.core.documents import Document, VersionField


class Model(Document):
    """One of the two models.

    Attributes:
        path: Where it is.
        version: Which version it is; None for a path.
        digest: Of its content; None for a path.
        size: Bytes of its files.
        message: What is said of it now.
        labels: Words about it, by key.
        metrics: Numbers about it, by key.
    """

    path: str
    version: VersionField | None
    digest: str | None = None
    size: int
    message: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it."""
        return str(self.version) if self.version is not None else self.path


class Requests(Document):
    """What both models answered.

    Attributes:
        source: Where they came from: a `file`, the `golden` requests of a version, or `generated` from a seed.
        version: Whose golden requests they are.
        digest: Of the file that holds them; None where they were generated.
        seed: What they were generated from; None where they were not.
        requests: How many.
        signatures: Which signatures they call.
    """

    source: Literal["file", "golden", "generated"]
    version: VersionField | None
    digest: str | None
    seed: int | None
    requests: int
    signatures: tuple[str, ...]

    @property
    def text(self) -> str:
        """The same in words."""
        many = f"{self.requests} request{'' if self.requests == 1 else 's'}"
        said = {
            "generated": f"{many}, generated from seed {self.seed}",
            "golden": f"{many}, the golden ones of {self.version}",
            "file": f"{many} of the file",
        }[self.source]
        names = " and ".join(f"`{name}`" for name in self.signatures)
        return f"{said}; signature{'s' if len(self.signatures) > 1 else ''} {names}"


class Shares(Document):
    """A share of both models (`from` and `to` in JSON), from 0 to 1; None where a model has none."""

    before: float | None = Field(serialization_alias="from")
    after: float | None = Field(serialization_alias="to")


class Counts(Document):
    """A count of both models (`from` and `to` in JSON)."""

    before: int = Field(serialization_alias="from")
    after: int = Field(serialization_alias="to")


class Kinds(Document):
    """A type of both models (`from` and `to` in JSON)."""

    before: str = Field(serialization_alias="from")
    after: str = Field(serialization_alias="to")


class Place(Document):
    """One value of an output: of which request, counted from 1, and where in it, counted from 0."""

    request: int
    index: tuple[int, ...]


class Decade(Document):
    """How many values differ by so much: at least 10 to the `exponent`, less than ten times that; None: not at all."""

    exponent: int | None
    values: int


class Example(Document):
    """A row whose class has changed.

    Attributes:
        request: Of which request, counted from 1.
        row: Which one of it, counted from 0.
        before: The class of the first model (`from` in JSON); None where its scores hold a NaN.
        after: That of the second (`to` in JSON).
        label: The right class, where labels were given.
    """

    request: int
    row: int
    before: int | None = Field(serialization_alias="from")
    after: int | None = Field(serialization_alias="to")
    label: int | str | None


class Unlike(Document):
    """Answers of different shapes, or of types that nobody can compare.

    Attributes:
        requests: To how many requests.
        before: Type and shape of the first such (`from` in JSON).
        after: What the other model gave (`to` in JSON).
    """

    requests: int
    before: str = Field(serialization_alias="from")
    after: str = Field(serialization_alias="to")


class OutputComparison(Document):
    """One output of one signature.

    Attributes:
        signature: Of which signature.
        output: Its key.
        dtype: Its type in both models.
        rows: How many rows all answers have.
        values: How many values were compared.
        largest: The largest difference of two numbers; None where none could be taken.
        largest_at: Where; None where nothing differs.
        mean: The mean difference.
        changed: The share of values that differ by more than the tolerance; of integers, texts and truths, at all.
        non_finite: How many values are NaN or infinite, or not in the other's place.
        incomparable: How many pairs have no difference: one is NaN or infinite and the other is not the same.
        top1_changed: The share of rows whose largest score stands at another place; None where there are no scores.
        agreement: The share of rows that agree: in the place of the largest score, or else in all values.
        accuracy: The share of rows with the right class; None without labels for this output.
        differences: How many values differ by how much.
        examples: The first rows whose class has changed.
        unlike: Answers that could not be compared; their rows do not agree. None where all could.
    """

    signature: str
    output: str
    dtype: Kinds
    rows: int
    values: int
    largest: float | None
    largest_at: Place | None
    mean: float | None
    changed: float | None
    non_finite: Counts
    incomparable: int
    top1_changed: float | None
    agreement: float | None
    accuracy: Shares | None
    differences: tuple[Decade, ...]
    examples: tuple[Example, ...]
    unlike: Unlike | None

    @property
    def notes(self) -> list[str]:
        """What its other figures do not say."""
        name = f"output `{self.output}`"
        lines = []
        if self.unlike is not None:
            many = f"{self.unlike.requests} request{'' if self.unlike.requests == 1 else 's'}"
            lines.append(f"{name} could not be compared in {many}: {self.unlike.before} -> {self.unlike.after}")
        if self.non_finite.before or self.non_finite.after:
            counts = f"{self.non_finite.before} -> {self.non_finite.after}"
            lines.append(f"{name} has NaN or infinite values: {counts}; {self.incomparable} pairs have no difference")
        if self.dtype.before != self.dtype.after:
            lines.append(f"{name} has another type: {self.dtype.before} -> {self.dtype.after}")
        return lines


class Missing(Document):
    """An output that one model gives and the other does not.

    Attributes:
        signature: Of which signature.
        output: Its key.
        missing_in: Which model lacks it: `from` or `to`.
    """

    signature: str
    output: str
    missing_in: Literal["from", "to"]


class Latency(Document):
    """How long calls took, in seconds.

    Attributes:
        calls: How many were timed.
        median: The middle.
        p95: What 95 of 100 did not exceed.
        least: The quickest.
        most: The slowest.
        quantiles: From the quickest to the slowest, in steps of 5 of 100.
    """

    calls: int
    median: float
    p95: float
    least: float
    most: float
    quantiles: tuple[float, ...]


class Memory(Document):
    """The most memory that the model's process had resident, in bytes.

    Attributes:
        peak: At all: Python, TensorFlow, the model, requests and answers.
        before: Before the model was loaded.
    """

    peak: int
    before: int


class Measured(Document):
    """What was measured of one model: it differs from run to run.

    Attributes:
        loaded_by: Which TensorFlow loaded it.
        load_seconds: How long the load took.
        latency: How long calls took.
        memory: What it needed.
        cage: What its process had given up.
    """

    loaded_by: str
    load_seconds: float
    latency: Latency
    memory: Memory
    cage: tuple[str, ...]


class MeasuredPair(Document):
    """The same of both models (`from` and `to` in JSON)."""

    before: Measured = Field(serialization_alias="from")
    after: Measured = Field(serialization_alias="to")


class CompareResult(Document):
    """How two models answer the same requests.

    Attributes:
        before: The model that callers know (`from` in JSON).
        after: The one that it is compared with (`to` in JSON).
        requests: What they answered.
        tolerance: By how much a float may differ, absolutely and relative to the first model's.
        agreement: The smallest agreement of the outputs that the first model gives, 0 where the second lacks one; None
            where they have no rows.
        outputs: Each that both give.
        missing: Outputs that one of them lacks.
        runs: How often each request was timed.
        measured: What was measured.
        html: The page that was written; None where none was wished for.
        warnings: What a reader of the figures should know.
    """

    before: Model = Field(serialization_alias="from")
    after: Model = Field(serialization_alias="to")
    requests: Requests
    tolerance: float
    agreement: float | None
    outputs: tuple[OutputComparison, ...]
    missing: tuple[Missing, ...]
    runs: int
    measured: MeasuredPair
    html: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What the figures of the outputs do not say."""
        missing = [
            f"output `{each.output}` of signature `{each.signature}` is missing in "
            + (self.after if each.missing_in == "to" else self.before).name
            for each in self.missing
        ]
        return [*missing, *(note for each in self.outputs for note in each.notes)]

    @property
    def models(self) -> tuple[tuple[Model, Measured], tuple[Model, Measured]]:
        """Both, each with what was measured of it."""
        return (self.before, self.measured.before), (self.after, self.measured.after)
