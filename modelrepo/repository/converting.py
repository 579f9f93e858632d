"""`convert`: a signature of a version as a model for phones or browsers, which answers as the version does.

Version leased → scanned, converted, run and compared in the inspector's child → copied to a directory beside the goal,
or into staging, and synced → renamed to its place (commit) → directory above synced. Where anything is wrong before
that, nothing is stored.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from modelrepo import __version__
from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.derived import Compared, Record
from modelrepo.core.layout import Layout
from modelrepo.core.manifest import Manifest
from modelrepo.core.refs import Ref
from modelrepo.core.signatures import Signature, describe
from modelrepo.errors import (
    IntegrityError,
    ModelError,
    ModelRepoError,
    NotFoundError,
    RequestError,
    UnconfirmedError,
)
from modelrepo.fs import copying, look, machine, source
from modelrepo.fs.files import file_digest
from modelrepo.repository import admitting, checking, golden, inspecting, keeping, leasing, placing, staging
from modelrepo.repository import snapshot as reading
from modelrepo.repository.border import border
from modelrepo.repository.inspecting import Limits
from modelrepo.repository.results import Conversion
from modelrepo.repository.writing import check_file_system, lock_seconds
from modelrepo.savedmodel.conversion import QUANTIZES, Made, Requests, Wishes
from modelrepo.savedmodel.report import MetaGraph
from modelrepo.savedmodel.runner import Inspector, default_memory

_USUAL = "serving_default"
#: The files that are made.
_FILES = {"tflite": re.compile(r"model\.tflite"), "tfjs": re.compile(r"model\.json|group1-shard\d+of\d+\.bin")}
#: What no converter takes.
_UNFIT = {"string", "resource", "variant"}


@dataclass(frozen=True, slots=True)
class Goal:
    """Where what is made goes.

    Attributes:
        output: A file, of TensorFlow.js a directory, outside any repository; None for none.
        keep: Whether the repository keeps it.
    """

    output: Path | None
    keep: bool


def convert(
    layout: Layout, ref: Ref, wishes: Wishes, requests: Requests, goal: Goal, limits: Limits, timeout: float | None
) -> Conversion:
    """Convert a signature of a version, leased meanwhile.

    Args:
        layout: Where.
        ref: Which version.
        wishes: What shall be made.
        requests: What it is compared by, and calibrated with.
        goal: Where it goes.
        limits: Of the child process.
        timeout: Seconds to wait for the lock, where it is kept.

    Raises:
        NotFoundError: There is no such version, or it has no such signature.
        RequestError: What is asked for does not go together, or requests do not fit.
        RefusedError: Something is at the goal.
        IntegrityError: The version is damaged, or its golden requests are.
        ModelError: The scan refuses the version, it cannot be converted, or what came out answers otherwise.
    """
    _require_sense(wishes, requests, goal)
    lock_seconds(timeout)  # what cannot be understood is said before the work, not after
    output = None if goal.output is None else _place(layout, goal.output, wishes)
    with leasing.lease(layout, ref) as lease:
        snapshot = reading.take(layout)
        manifest = snapshot.manifest(lease.version)
        if goal.keep:
            check_file_system(layout.root, snapshot.config.storage)
        _require_sound(snapshot, manifest)
        if requests.given is None:
            requests = requests._replace(golden=golden.load(snapshot, manifest))
        memory = limits.memory if limits.memory is not None else default_memory(manifest.size)
        with Inspector(memory=memory, seconds=limits.seconds) as inspector:
            report = inspecting.read(inspector, lease.path, lease.version)
            name = _require_fit(report.served, wishes.signature)
            allow = limits.allow.union(manifest.allowed_ops)
            objects = name in (report.served.unfilled or ())
            wishes = wishes._replace(signature=name)
            made = admitting.convert(inspector, lease.path, report, allow, wishes, requests, objects=objects)
            listing = _listing(made[0], wishes)
            record = _record(manifest, wishes, requests, made[1], listing)
            result = Conversion(
                **dict(record), path=None, kept=None, created=False, warnings=tuple(_warnings(wishes, made[1]))
            )
            return _store(snapshot, listing, record, result, output, goal, timeout)


def _require_sense(wishes: Wishes, requests: Requests, goal: Goal) -> None:
    """Refuse what does not go together, before anything is done."""
    if goal.output is None and not goal.keep:
        raise RequestError("there is no place for what comes out", kind="usage", expected="--output FILE, or --keep")
    if wishes.quantize not in QUANTIZES[wishes.to]:
        raise RequestError(
            f"{wishes.to} has no {wishes.quantize}",
            kind="options-exclude",
            expected=f"--quantize {', '.join(QUANTIZES[wishes.to])}",
        )
    if (wishes.quantize == "int8") is (requests.calibration is None):
        raise RequestError(
            "--calibration FILE and --quantize int8 go together",
            kind="options-exclude",
            expected="typical requests, which say how large the numbers inside get, where those become 8 bits",
        )


def _require_sound(snapshot: reading.Snapshot, manifest: Manifest) -> None:
    """Refuse a version whose bytes are not what was pushed: the record would say that it was made of those."""
    found = checking.damage(snapshot, manifest.version)
    if found:
        raise IntegrityError(
            f"{manifest.version} is damaged: {found[0].path}: {found[0].detail}",
            kind="version-damaged",
            hint=f"`modelrepo verify {manifest.version}` says all; push the model again",
        )


def _place(layout: Layout, output: Path, wishes: Wishes) -> Path:
    return placing.goal_of_file(layout, output) if wishes.to == "tflite" else placing.goal(layout, output)


def _require_fit(graph: MetaGraph, wanted: str | None) -> str:
    """The signature that is meant, if a converter could take it."""
    name = wanted or (next(iter(graph.signatures)) if len(graph.signatures) == 1 else _USUAL)
    signature = graph.signatures.get(name)
    if signature is None:
        raise NotFoundError(
            f"the model has no signature `{name}`",
            kind="signature-missing",
            expected=f"one of {', '.join(graph.signatures) or 'none'}",
        )
    unfit = _unfit(signature)
    if unfit:
        raise ModelError(
            f"signature `{name}` cannot be converted: no converter takes its {unfit[0]}",
            kind="convert-unsupported",
            expected="dense tensors of numbers or truths",
            got="; ".join(unfit),
            hint="serve numbers: let a signature begin behind what reads texts, and name it with --signature",
        )
    return name


def _unfit(signature: Signature) -> list[str]:
    both = (("input", signature.inputs), ("output", signature.outputs))
    return [
        f"{side} `{key}`: {describe(tensor)}"
        for side, tensors in both
        for key, tensor in tensors.items()
        if tensor.dtype in _UNFIT or tensor.encoding != "dense"
    ]


def _warnings(wishes: Wishes, made: Made) -> list[str]:
    if made.loader == "session":
        return []
    what = f"signature `{wishes.signature}` reads variables that neither the checkpoint nor the start fills"
    return [f"{what}: TensorFlow Serving cannot answer it; what was converted is what tf.saved_model.load makes of it"]


def _listing(directory: Path, wishes: Wishes) -> source.Listing:
    """The files that came out. The child that made them has run the model: it is not believed in what it left there."""
    names = sorted(os.listdir(directory))
    right = all(_FILES[wishes.to].fullmatch(name) and look.kind_at(directory / name) == "file" for name in names)
    if not names or not right:
        raise ModelError("the process that converts left something else than a model", kind="model-rubbish")
    return keeping.listing_of(directory)


def _record(manifest: Manifest, wishes: Wishes, requests: Requests, made: Made, listing: source.Listing) -> Record:
    digests = {file.path: file_digest(Path(file.real)) for file in listing.files}
    files = tuple(FileEntry(path=path, size=size, digest=digest) for path, (size, digest) in sorted(digests.items()))
    measured = requests.calibration
    return Record(
        version=manifest.version,
        version_digest=manifest.digest,
        signature=made.signature,
        loader=made.loader,
        to=wishes.to,
        quantize=wishes.quantize,
        calibration=None if measured is None else f"sha256:{hashlib.sha256(measured).hexdigest()}",
        batch_size=wishes.batch,
        tools=made.tools,
        compared=Compared(
            source=made.source,
            requests=made.requests,
            seed=wishes.seed if made.source == "generated" else None,
            tolerance=wishes.tolerance,
            differences=made.differences,
        ),
        files=files,
        digest=content_digest(files),
        size=listing.size,
        created_at=machine.now().time,
        created_by=machine.actor(),
        modelrepo_version=__version__,
    )


def _store(
    snapshot: reading.Snapshot,
    listing: source.Listing,
    record: Record,
    result: Conversion,
    output: Path | None,
    goal: Goal,
    timeout: float | None,
) -> Conversion:
    """Keep it, and put it where it was asked for."""
    if goal.keep:
        place = snapshot.layout.derived_of(record.version) / record.name
        kept = result.model_copy(update={"kept": str(place), "created": True})
        try:
            _, created = keeping.keep(snapshot, listing, record, timeout)
        except UnconfirmedError as error:
            error.partial = kept
            raise
        result = kept.model_copy(update={"created": created})
    if output is None:
        return result
    try:
        staging.require_room(output.parent, listing)
        with border("convert the version", outside=True), placing.beside(output) as copy:
            copying.copy(listing, copy, None)
            copying.sync_directories(copy, listing)
            if record.to == "tflite":
                placing.put_file(copy / listing.files[0].path, output)
            else:
                placing.put(copy, output, listing.files[-1].path)
        result = result.model_copy(update={"path": str(output)})
        placing.confirm(output, result)
    except ModelRepoError as error:
        error.partial = error.partial or (result if goal.keep else None)
        raise
    return result
