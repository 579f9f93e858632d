"""What a SavedModel offers and what the scan finds in it: of a version, or of a directory that is no version yet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.core.refs import Version, looks_like_path, parse_ref
from modelrepo.errors import IntegrityError, ModelRepoError, SourceError
from modelrepo.fs import source
from modelrepo.fs.look import kind_at
from modelrepo.repository import admitting, golden
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import Inspection
from modelrepo.savedmodel.report import Report
from modelrepo.savedmodel.runner import LOAD_SECONDS, Inspector, default_memory
from modelrepo.savedmodel.trial import Trial


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a load may take, how many bytes of memory (None for the default), and which ops the scan lets in."""

    seconds: float
    memory: int | None
    allow: frozenset[str] = frozenset()


def inspect(layout: Layout, argument: str, load: Limits | None) -> Inspection:
    """Read and scan a SavedModel, and load it if asked and not refused; a version then answers its golden requests.

    Args:
        layout: The repository; it need not exist where a path is inspected.
        argument: A path (with a `/`, or `.` or `..`) or a ref.
        load: The limits within which TensorFlow must load it; None where it is only read.
    """
    version, requests = None, None
    allow = load.allow if load is not None else frozenset()
    if looks_like_path(argument):
        place = Path(os.path.realpath(argument))
    else:
        snapshot = reading.take(layout)
        version = snapshot.resolve(parse_ref(argument))
        place = layout.version(version)
        if load is not None:
            manifest = snapshot.manifest(version)
            requests = golden.load(snapshot, manifest)
            allow = allow.union(manifest.allowed_ops)
    if version is None:
        require_model(place, argument)
    memory = load.memory if load is not None and load.memory is not None else default_memory(size_of(place))
    with Inspector(memory=memory, seconds=load.seconds if load is not None else LOAD_SECONDS) as inspector:
        report = read(inspector, place, version)
        graph = report.served
        found = Inspection(
            path=str(place),
            version=version,
            signatures=graph.signatures,
            tags=tuple(each.tags for each in report.meta_graphs),
            tensorflow_version=graph.tensorflow_version,
            fingerprint=report.fingerprint,
            ops=graph.ops,
            training=graph.training,
            unfilled=graph.unfilled,
            findings=report.findings,
            scanned_by=report.scanned_by,
        )
        if load is None:
            return found
        try:
            loaded = admitting.load(inspector, place, report, allow, Trial(golden=requests))
        except ModelRepoError as error:
            error.partial = found
            raise
    done = {"load": "passed", "loaded_by": loaded.tensorflow_version, "cage": loaded.cage, "golden": loaded.golden}
    return found.replaced(**done)


def require_model(place: Path, argument: str) -> None:
    """Refuse what is no directory with a SavedModel.

    Raises:
        SourceError: It is missing, or something else.
    """
    if not place.exists():
        raise SourceError(f"{argument} does not exist", kind="source-missing", expected="a SavedModel directory")
    if not place.is_dir() or not any((place / name).is_file() for name in source.MODEL_FILES):
        raise SourceError(
            f"{argument} is not a SavedModel",
            kind="not-a-savedmodel",
            expected="a directory with one of " + ", ".join(source.MODEL_FILES),
        )


def read(inspector: Inspector, place: Path, version: Version | None) -> Report:
    """Read a model in the child process.

    Args:
        inspector: The child process.
        place: Where it is.
        version: Which version it is, if it is one: that is read by no link.

    Raises:
        SourceError: It is none.
        IntegrityError: It is a version, which was one when it was taken in.
    """
    if version is not None and not any(kind_at(place / name) == "file" for name in source.MODEL_FILES):
        raise _damaged(version, f"none of {', '.join(source.MODEL_FILES)} is a file there")
    try:
        return inspector.read(place)
    except SourceError as error:
        if version is None:
            raise
        raise _damaged(version, error.message) from error


def _damaged(version: Version, what: str) -> IntegrityError:
    hint = f"`modelrepo verify {version}` says all; push the model again"
    return IntegrityError(f"{version} is damaged: {what}", kind="version-damaged", hint=hint)


def size_of(place: Path) -> int:
    """Bytes of all files of a model."""
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
