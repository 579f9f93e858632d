"""What the two models of a comparison are, and what they are asked: requests given, golden or generated."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.core.manifest import Manifest
from modelrepo.core.refs import looks_like_path, parse_ref
from modelrepo.core.signatures import Signature, both_take
from modelrepo.errors import ModelRepoError, NotFoundError, RequestError
from modelrepo.repository import golden, inspecting, leasing
from modelrepo.repository import snapshot as reading
from modelrepo.repository.border import place, require
from modelrepo.repository.results import comparing as results
from modelrepo.repository.snapshot import Snapshot
from modelrepo.savedmodel.questions import MadeUp, Questions
from modelrepo.savedmodel.report import Report
from modelrepo.savedmodel.requests import DEFAULT

_GENERATED = 16
#: numpy takes no larger seed.
_SEEDS = 2**32
#: What to do where generated requests fit not both, or a model fails with them.
NO_FIT = "give requests that fit both with --input"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What shall be compared, and how.

    Attributes:
        requests: The bytes of a file of requests; None for golden ones, or generated ones.
        labels: The bytes of a file of right classes.
        signature: Which signature requests call that name none, and which one generated requests call.
        outputs: Which outputs; none for all.
        generate: How many requests to generate in place of golden ones; None for those, or 16.
        seed: What generated requests come from.
        runs: How often each request is timed.
        tolerance: By how much a float may differ, absolutely and relatively.
        html: Where to write a page; None for none.
    """

    requests: bytes | None = None
    labels: bytes | None = None
    signature: str | None = None
    outputs: tuple[str, ...] = ()
    generate: int | None = None
    seed: int = 0
    runs: int = 10
    tolerance: float = 1e-5
    html: Path | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What a repository says of a version.

    Attributes:
        snapshot: The repository, as it was seen.
        manifest: The version's.
    """

    snapshot: Snapshot
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models.

    Attributes:
        model: What is said of it.
        place: Where it is.
        stored: What its repository says of it; None for a path.
    """

    model: results.Model
    place: Path
    stored: Stored | None

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Let what goes wrong say which model it is about."""
        try:
            yield
        except ModelRepoError as error:
            error.message = f"{self.model.name}: {error.message}"
            raise


def model(layout: Layout, argument: str, leases: contextlib.ExitStack) -> Side:
    """One of the two models; a version is leased until `leases` ends."""
    if looks_like_path(argument):
        where = Path(os.path.realpath(argument))
        inspecting.require_model(where, argument)
        return Side(results.Model(path=str(where), version=None, size=inspecting.size_of(where)), where, None)
    lease = leases.enter_context(leasing.lease(layout, parse_ref(argument)))
    snapshot = reading.take(layout)
    manifest = snapshot.manifest(lease.version)
    about = snapshot.about(manifest)
    told = results.Model(
        path=str(lease.path),
        version=lease.version,
        digest=manifest.digest,
        size=manifest.size,
        message=about.message,
        labels=about.labels,
        metrics=about.metrics,
    )
    return Side(told, lease.path, Stored(snapshot, manifest))


def check(wishes: Wishes) -> None:
    """Refuse numbers that mean nothing, and options that exclude each other.

    Raises:
        RequestError: What, and what was expected.
    """
    if wishes.requests is not None and wishes.generate is not None:
        raise RequestError("requests are given or generated, not both", kind="options-exclude")
    require("the number of requests to generate", wishes.generate, 1)
    require("the number of runs", wishes.runs, 1)
    require("the seed", wishes.seed, 0)
    if wishes.seed >= _SEEDS:
        raise RequestError("the seed is too large", kind="number-malformed", expected=f"less than {_SEEDS}")
    if not 0 <= wishes.tolerance < math.inf:
        raise RequestError(
            "the tolerance is wrong",
            kind="number-malformed",
            expected="a finite number, not negative",
            got=wishes.tolerance,
        )


def given(path: str | os.PathLike[str] | bytes | None, *, labels: bool = False) -> bytes | None:
    """The bytes of a file of requests, or of labels, or those themselves.

    Raises:
        RequestError: It cannot be read, or is too large.
    """
    what = "the labels" if labels else "the input"
    if path is None:
        return None
    if isinstance(path, bytes):
        return golden.bounded(path, what)
    try:
        return golden.read_requests(Path(place(path, what)))
    except RequestError as error:
        if labels and error.kind == "requests-missing":
            expected = "a file of labels: JSON, .npy or .npz"
            raise RequestError(error.message, kind="labels-missing", expected=expected) from error
        raise


def questions(sides: Sequence[Side], reports: Sequence[Report], wishes: Wishes) -> tuple[results.Requests, Questions]:
    """The requests of the file, or the golden ones of the first version that has some, or generated ones.

    Raises:
        NotFoundError: A model has no such signature.
        RequestError: No request fits both.
        IntegrityError: The golden requests are gone or damaged.
    """
    given, version = wishes.requests, None
    if given is None and wishes.generate is None and wishes.signature is None:
        for side in sides:
            if given is None and side.stored is not None:
                given, version = golden.load(side.stored.snapshot, side.stored.manifest), side.model.version
    if given is not None:
        source = results.Requests(
            source="file" if wishes.requests is not None else "golden",
            version=None if wishes.requests is not None else version,
            digest=f"sha256:{hashlib.sha256(given).hexdigest()}",
            seed=None,
            requests=0,
            signatures=(),
        )
        return source, Questions(file=given, signature=wishes.signature, outputs=wishes.outputs)
    source = results.Requests(
        source="generated", version=None, digest=None, seed=wishes.seed, requests=0, signatures=()
    )
    return source, Questions(made_up=_made_up(sides, reports, wishes), outputs=wishes.outputs)


def _made_up(sides: Sequence[Side], reports: Sequence[Report], wishes: Wishes) -> MadeUp:
    contracts = [report.served.signatures for report in reports]
    name = wishes.signature
    if name is None:
        (only, *more) = contracts[0] or (DEFAULT,)
        name = DEFAULT if more else only
    one, two = (_signature(side, contract, name) for side, contract in zip(sides, contracts, strict=True))
    try:
        inputs = both_take(one, two)
    except RequestError as error:
        error.message = f"signature `{name}`: {error.message}"
        error.expected, error.got = (
            f"{side.model.name}: {said}" for side, said in zip(sides, (error.expected, error.got), strict=True)
        )
        error.hint = NO_FIT
        raise
    return MadeUp(
        signature=name,
        inputs={key: (tensor.dtype, tensor.shape) for key, tensor in inputs.items()},
        requests=wishes.generate or _GENERATED,
        seed=wishes.seed,
    )


def _signature(side: Side, contract: dict[str, Signature], name: str) -> Signature:
    if name not in contract:
        known = ", ".join(contract) or "none"
        raise NotFoundError(
            f"{side.model.name} has no signature `{name}`", kind="signature-missing", expected=f"one of {known}"
        )
    return contract[name]
