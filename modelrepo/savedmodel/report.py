"""What the inspector reports, as values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from modelrepo.core.documents import Document
from modelrepo.core.findings import Finding
from modelrepo.core.signatures import Signature
from modelrepo.core.training import Training

#: The tag set that TensorFlow Serving loads unless it is told otherwise.
SERVE = ("serve",)


#: A child of modelrepo's may be in the hands of a model: what it says was measured is read as something measurable.
Seconds = Annotated[float, Field(ge=0, le=2**31, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]


class MetaGraph(Document):
    """One meta graph of a SavedModel.

    Attributes:
        tags: Its tag set.
        signatures: Its contract, without TensorFlow's own `__saved_model_init_op`.
        ops: How often each op stands in its graph and function library.
        tensorflow_version: Which TensorFlow wrote it, as it says itself.
        training: What only training needs of it; None where nobody can say.
        unfilled: Signatures that read variables which nothing fills: they fail when they are called. None where nobody
            can say.
    """

    tags: tuple[str, ...]
    signatures: dict[str, Signature]
    ops: dict[str, int]
    tensorflow_version: str | None
    training: Training | None = None
    unfilled: tuple[str, ...] | None = None


class Report(Document):
    """What reading a SavedModel gave.

    Attributes:
        meta_graphs: All of them, in the file's order; at least one.
        fingerprint: TensorFlow's own fingerprint, numbers as decimal text; None where there is none.
        findings: What the scan found in all meta graphs.
        scanned_by: Which TensorFlow's ops the scan knows.
    """

    meta_graphs: tuple[MetaGraph, ...]
    fingerprint: dict[str, str] | None
    findings: tuple[Finding, ...]
    scanned_by: str

    @property
    def served(self) -> MetaGraph:
        """The meta graph that serving means: the one tagged `serve`, else one that has the tag, else the first."""
        exact = [graph for graph in self.meta_graphs if graph.tags == SERVE]
        tagged = [graph for graph in self.meta_graphs if SERVE[0] in graph.tags]
        return (exact or tagged or list(self.meta_graphs))[0]


class Answering(Document):
    """What a model said that was loaded to be compared.

    Attributes:
        signatures: Which signature each request called.
        left_out: Outputs that are no dense tensors of values, with their signatures.
        unsteady: Outputs that differed between two calls with one request.
        memory: The most memory that the process had before the load, in bytes.
    """

    signatures: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    unsteady: tuple[tuple[str, str], ...]
    memory: Bytes


class Warmed(Document):
    """What importing TensorFlow gave: which one, and how long it took."""

    tensorflow_version: str
    seconds: Seconds


class Looked(Document):
    """How many requests a file holds, or were made up."""

    requests: Annotated[int, Field(ge=1, lt=2**63)]


class Ready(Document):
    """Whatever was asked before is done."""


class Round(Document):
    """One round of timing.

    Attributes:
        seconds: How long the call of each request took.
        memory: The most memory that the process has had, in bytes.
    """

    seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    memory: Bytes


class Loaded(Document):
    """What loading a SavedModel gave.

    Attributes:
        tensorflow_version: Which TensorFlow loaded it.
        seconds: How long the load took, without TensorFlow's own import.
        cage: What the process had given up by then; see `cage.enter`.
        golden: How many golden requests were answered right; None where there were none.
        untried: Why signatures were not tried with zeros.
        signature: Of a prediction, which signature ran.
        outputs: Of a prediction, what it gave, as JSON has it.
        answering: Of a comparison, what the model said.
    """

    tensorflow_version: str
    seconds: Seconds
    cage: tuple[str, ...]
    golden: int | None = None
    untried: tuple[str, ...] = ()
    signature: str | None = None
    outputs: dict[str, Any] | None = None
    answering: Answering | None = None
