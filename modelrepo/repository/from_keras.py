"""The step before a SavedModel: a Keras file or a live Keras model is exported, and what it answers kept to compare.

A file is read and exported in a child process with the limits of a load. A live model is exported where it lives, by
the same code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelrepo.core.units import format_size
from modelrepo.errors import ModelError, RequestError, SourceError, SystemRefusedError, from_os
from modelrepo.fs import copying, deletion, durable, scratch, source
from modelrepo.fs.files import file_digest
from modelrepo.repository.border import place
from modelrepo.savedmodel import keras_export
from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.keras_export import Wishes
from modelrepo.savedmodel.keras_made import KerasExport
from modelrepo.savedmodel.runner import Inspector, default_memory
from modelrepo.savedmodel.trial import refusal

if TYPE_CHECKING:  # it brings pydantic
    from modelrepo.core.manifest import Keras

#: How Keras's files are called, and what they begin with: a zip archive's or HDF5's mark.
SUFFIXES = {".keras": b"PK\x03\x04", ".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n"}
#: Where TensorFlow's own convention puts files that a SavedModel only carries along.
_KEPT = "assets.extra"


@dataclass(frozen=True)
class Source:
    """A Keras model, exported.

    Attributes:
        directory: The SavedModel.
        place: What was pushed.
        facts: What the manifest says of it.
        answers: Requests, and what Keras answers.
        warnings: What somebody should know.
        inspector: The process that shall load it, which has imported TensorFlow meanwhile. It is another one than that
            which exported it: the file may bring code, and who has run that is no judge of what came out.
    """

    directory: Path
    place: Path
    facts: Keras
    answers: bytes
    warnings: tuple[str, ...]
    inspector: Inspector | None = None


def is_file(path: Path) -> bool:
    """Whether a source is a Keras file by its name, and no directory."""
    return path.suffix in SUFFIXES and not path.is_dir()


def is_live(source: object) -> bool:
    """Whether a source is a live Keras model: of a Keras that is imported."""
    keras: Any = sys.modules.get("keras")
    return keras is not None and isinstance(source, keras.Model)


@contextlib.contextmanager
def opened(
    what: object, wishes: Wishes, *, keep: bool, load: bool, memory: int | None, seconds: float
) -> Iterator[tuple[Path, Source | None]]:
    """What a push shall take: a directory as it is, or a Keras model that is exported into one.

    Args:
        what: A path, or a live model.
        wishes: What the export shall be.
        keep: Whether the version shall carry the Keras file.
        load: Whether models may be loaded at all.
        memory: Bytes of memory for the export; None for the default.
        seconds: How long it may take.

    Yields:
        The SavedModel's directory, and of what Keras model it is.

    Raises:
        RequestError: It is neither, or the wishes are for Keras models.
    """
    live = is_live(what)
    path = None if live or not isinstance(what, str | os.PathLike) else Path(place(what, "the source"))
    if path is None and not live:
        raise RequestError(
            "the source is neither a path nor a Keras model", kind="source-malformed", got=type(what).__name__
        )
    if path is not None and not is_file(path):
        if keep or wishes != Wishes():
            raise RequestError(
                f"{path} is no Keras file",
                kind="options-exclude",
                expected=f"a file that ends in {', '.join(SUFFIXES)}, for what is said of Keras models",
            )
        yield path, None
        return
    if not load:
        raise RequestError(
            "a Keras model is loaded to be exported",
            kind="options-exclude",
            got="a push without the load",
            hint="push it with the load, or export it yourself and push the directory with --no-load",
        )
    if path is None:
        if keep or wishes.unsafe or wishes.custom:
            got = "keep_source, unsafe_deserialization or custom_objects"
            raise RequestError("a live Keras model has no file", kind="options-exclude", got=got)
        with exported_live(what, wishes) as made:
            yield made.directory, made
    else:
        with exported(path, wishes, keep=keep, memory=memory, seconds=seconds) as made:
            yield made.directory, made


@contextlib.contextmanager
def exported(path: Path, wishes: Wishes, *, keep: bool, memory: int | None, seconds: float) -> Iterator[Source]:
    """Export a Keras file in a child process; gone afterwards.

    Raises:
        SourceError: It is missing, or no Keras file.
        ModelError: It needs something that it does not get, or cannot be exported.
    """
    from modelrepo.core.manifest import Keras

    wanted = _findable(wishes)
    data_size, digest = _digested(path)
    mark = SUFFIXES[path.suffix]
    if not source.begins_with(path.resolve(), mark):
        raise SourceError(
            f"{path} is no Keras file: it does not begin like one",
            kind="keras-unreadable",
            expected=f"a {path.suffix} file that model.save() wrote",
            got=format_size(data_size),
            hint="save it again: it is damaged, or was only half copied",
        )
    allowed = memory or default_memory(data_size)
    with Inspector(memory=allowed, seconds=seconds) as inspector, Inspector(memory=allowed, seconds=seconds) as judge:
        judge.warm()
        made = inspector.export(path.resolve(), wanted, _name(digest))
        if _digested(path) != (data_size, digest):
            raise SourceError(f"{path} changed while it was read", kind="source-changed", hint="push it again")
        if keep:
            _keep(path, made.directory / _KEPT)
        facts = Keras(
            file=path.name,
            digest=digest,
            size=data_size,
            version=made.keras,
            serving=wishes.serving,
            custom_objects=wishes.custom,
            unsafe_deserialization=wishes.unsafe,
            kept=keep,
        )
        yield Source(made.directory, path.resolve(), facts, made.answers, _warnings(made.made_up), judge)


@contextlib.contextmanager
def exported_live(model: Any, wishes: Wishes) -> Iterator[Source]:
    """Export a live model, in this process; gone afterwards."""
    keras: Any = sys.modules["keras"]
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is None:
        raise ModelError(
            f"Keras runs on {keras.backend.backend()} here",
            kind="keras-backend",
            expected="KERAS_BACKEND=tensorflow",
            hint="save the model and push the file: it is exported in a process of its own",
        )
    from modelrepo.core.manifest import Keras

    temporary = scratch.make()
    try:
        directory = temporary / "export"
        weights = hashlib.sha256()
        for weight in model.weights:
            weights.update(weight.numpy().tobytes())
        name = _name(f"sha256:{weights.hexdigest()}")
        try:
            said = keras_export.export(keras, tensorflow, model, _findable(wishes), str(directory), name)
        except Refusal as refused:
            raise refusal(refused.answer(), str) or refused from None
        made = KerasExport.of(directory, said)
        facts = Keras(version=made.keras, serving=wishes.serving)
        yield Source(directory, Path.cwd() / model.name, facts, made.answers, _warnings(made.made_up))
    finally:
        deletion.delete_tree(temporary)


def _keep(path: Path, directory: Path) -> None:
    """Lay the file beside the model that was made of it."""
    real = path.resolve()
    file = source.SourceFile(path.name, str(real), source.identity(os.stat(real)))
    durable.make_directory(directory, None)
    copying.copy(source.Listing((file,), ()), directory, None)


def _digested(path: Path) -> tuple[int, str]:
    try:
        return file_digest(path.resolve())
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(
            f"{path} does not exist", kind="source-missing", expected="a SavedModel directory, or a .keras or .h5 file"
        ) from None
    except PermissionError as error:
        refused = from_os(error, "read the source")
        raise SystemRefusedError(refused.message, kind="permission", hint="let this user read it") from error


def _name(digest: str) -> str:
    """A number from a digest, as the random one that TensorFlow would take: 128 bits, decimal."""
    return str(int(digest.removeprefix("sha256:")[:32], 16))


def _findable(wishes: Wishes) -> Wishes:
    """The same, with the serving function's file named from any directory."""
    if wishes.serving is None:
        return wishes
    file, colon, name = wishes.serving.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise RequestError(
            "--serving is malformed", kind="keras-option", expected="FILE.py:FUNCTION", got=wishes.serving
        )
    return wishes._replace(serving=f"{os.path.abspath(file)}:{name}")


def _warnings(made_up: Sequence[str]) -> tuple[str, ...]:
    if not made_up:
        return ()
    named = ", ".join(made_up)
    return (f"Keras made up the input's name ({named}); another training may give another: keras.Input(…, name=…)",)
