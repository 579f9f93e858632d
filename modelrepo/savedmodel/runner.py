"""The parent's side of the inspector: starts the child, asks it, and outlives whatever happens to it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modelrepo.errors import ModelError, ModelRepoError, SourceError
from modelrepo.fs import deletion, durable, scratch
from modelrepo.savedmodel import child
from modelrepo.savedmodel.keras_export import Wishes
from modelrepo.savedmodel.keras_made import KerasExport
from modelrepo.savedmodel.trial import NOTHING, Trial, handed, printable, refusal

if TYPE_CHECKING:  # they bring pydantic
    from modelrepo.core.documents import Document
    from modelrepo.savedmodel.report import Loaded, Report

    D = TypeVar("D", bound=Document)

#: Defaults of `--load-timeout` and `--load-memory`.
LOAD_SECONDS = 300.0
LOAD_MEMORY = 4 * 1024**3
MODEL_MEMORY_FACTOR = 3
#: Reading the model without loading it is bounded too.
_READ_SECONDS = 120.0
_ANSWER_LIMIT = 256 * 1024 * 1024
_KEPT_BYTES = 8 * 1024
_SHOWN_LINES = 5
_END_SECONDS = 5.0
#: Empty lines, and the stack of C++ that follows what TensorFlow says when it aborts.
_NOISE = re.compile(r"\s*|\s*(@\s+)?0x[0-9a-f]+.*|\*\*\*.*stack trace.*", re.IGNORECASE)
#: The system counts a wait in milliseconds, in 32 bits.
_LONGEST_WAIT = 3600.0


def default_memory(size: int) -> int:
    """How much memory a model of this many bytes may use while it loads, in bytes."""
    return LOAD_MEMORY + MODEL_MEMORY_FACTOR * size


class Inspector:
    """One child process that reads and loads models. Use it in a `with` statement; the child ends with it.

    Args:
        memory: How much data memory the child may use, in bytes (Linux).
        seconds: How long one load may take, TensorFlow's import included.
    """

    def __init__(self, *, memory: int, seconds: float = LOAD_SECONDS) -> None:
        self._seconds = seconds
        self._memory = memory
        self._said = b""
        self._pending = b""
        self._warming = False
        self._spent = 0.0
        self._handed = 0
        self._scratch = scratch.make()
        self._child = child.take()
        self._send({"memory": memory, "parent": os.getpid(), "scratch": str(self._scratch)})
        threading.Thread(target=_expect_answers, daemon=True).start()

    @property
    def scratch(self) -> Path:
        """The one directory that the child may write to; it goes with it."""
        return self._scratch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child and all that it started."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_END_SECONDS)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(OSError):
            deletion.delete_tree(self._scratch)

    def warm(self) -> None:
        """Let the child import TensorFlow while the caller does something else."""
        if not self._warming:
            self._warming = True
            self._send({"do": "warm"})

    def read(self, path: Path) -> Report:
        """Read a SavedModel without loading it.

        Raises:
            SourceError: It does not parse or holds nothing.
            ModelError: TensorFlow is not installed here, or the child failed.
            OSError: The system could not read it.
        """
        self._send_next({"do": "read", "path": str(path)})
        from modelrepo.savedmodel.report import Report  # while the child reads

        Report.model_rebuild()
        return self._valid(Report, self._answer("reading the model", _READ_SECONDS))

    def load(self, path: Path, tags: Iterable[str], trial: Trial = NOTHING) -> Loaded:
        """Load a SavedModel with the Session loader: graph built, variables restored, initialisers run.

        Args:
            path: Where it is.
            tags: Which meta graph.
            trial: What to run then.

        Raises:
            ModelError: TensorFlow refused it, died, hung or ran out of memory; or an answer was wrong.
            RequestError: What shall be run does not fit the model.
            NotFoundError: The model has no such signature.
        """
        request = {"do": "load", "path": str(path), "tags": list(tags), **trial.request(self.hand)}
        from modelrepo.savedmodel.report import Loaded

        return self.ask(request, trial.doing, Loaded)

    def ask(self, request: dict[str, Any], doing: str, answer: type[D]) -> D:
        """Ask for something that may take as long as a load.

        Args:
            request: What, as the child understands it.
            doing: The same for messages.
            answer: What is answered.

        Raises:
            ModelError: It failed, died, hung or ran out of memory, or answered something else.
            ModelRepoError: What the child says of the request.
        """
        return self._valid(answer, self._ask(request, doing, self._seconds - self._spent))

    def _valid(self, kind: type[D], answer: dict[str, Any]) -> D:
        from pydantic import ValidationError

        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            raise self._rubbish() from error

    def count(self, golden: bytes) -> int:
        """How many golden requests a file holds.

        Raises:
            RequestError: It holds something else.
        """
        answer = self._ask({"do": "requests", "path": self.hand(golden)}, "reading", _READ_SECONDS)
        from modelrepo.savedmodel.report import Looked

        return self._valid(Looked, answer).requests

    def export(self, path: Path, wishes: Wishes, name: str) -> KerasExport:
        """Make a SavedModel of a Keras file, and keep it until this ends.

        Args:
            path: The file.
            wishes: What the export shall be.
            name: What the export is called, in decimal digits.

        Raises:
            SourceError: It is no Keras file.
            ModelError: It needs something, or cannot be exported.
            RequestError: What was wished for cannot be found.
        """
        directory = self._scratch / "export"
        request = {
            "do": "export",
            "path": str(path),
            "wishes": wishes._asdict(),
            "place": os.getcwd(),
            "directory": str(directory),
            "name": name,
        }
        said = self._ask(request, "exporting the Keras model", self._seconds)
        try:
            return KerasExport.of(directory, said)
        except (KeyError, ValueError) as error:
            raise self._rubbish() from error

    def step(self, name: str, doing: str, answer: type[D], **more: object) -> D:
        """Take a step of a comparison (`comparing.STEPS`); what goes with it, bytes as files. Otherwise as `ask`."""
        request = {"do": "compare", "step": name, **handed(more, self.hand)}
        return self._valid(answer, self._ask(request, doing, self._seconds))

    def hand(self, data: bytes) -> str:
        """Give the child a file."""
        self._handed += 1
        path = self._scratch / f"requests-{self._handed}"
        durable.write_new(path, data, None)
        return str(path)

    def _ask(self, request: dict[str, Any], doing: str, seconds: float) -> dict[str, Any]:
        self._send_next(request)
        return self._answer(doing, seconds)

    def _send_next(self, request: dict[str, Any]) -> None:
        """Ask something, once TensorFlow is there if it was to be warmed."""
        if self._warming:
            self._warming = False
            from modelrepo.savedmodel.report import Warmed

            self._spent = self._valid(Warmed, self._answer("starting TensorFlow", self._seconds)).seconds
        self._send(request)

    def _send(self, request: dict[str, Any]) -> None:
        pipe = self._child.stdin
        if pipe is None or pipe.closed:
            raise ModelError("the process that reads models has ended", kind="model-crash")
        with contextlib.suppress(BrokenPipeError):  # it died: the missing answer says so
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()

    def _answer(self, doing: str, seconds: float) -> dict[str, Any]:
        line = self._line(doing, seconds)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._rubbish() from None
        if not isinstance(answer, dict):
            raise self._rubbish()
        if isinstance(answer.get("ok"), dict):
            return dict(answer["ok"])
        if isinstance(number := answer.get("errno"), int):
            raise OSError(number, os.strerror(number), str(answer.get("file")))
        kind = str(answer.get("kind"))
        if kind == "model-chunked":
            raise SourceError(
                printable(str(answer.get("error"))),
                kind=kind,
                expected="saved_model.pb or saved_model.pbtxt",
                got="saved_model.cpb",
                hint="export the model again without experimental_image_format",
            )
        if kind in {"model-unparsable", "model-empty"}:
            raise SourceError(
                f"this is not a SavedModel: {printable(str(answer.get('error')))}",
                kind=kind,
                hint="export the model again: the file is damaged or was only half copied",
            )
        if kind == "unexpected":
            hint = "this is a defect of modelrepo; please report it"
            raise ModelRepoError(f"{doing} failed: {printable(str(answer.get('error')))}", kind=kind, hint=hint)
        refused = refusal(answer, printable)
        if refused is not None:
            raise refused
        hints = {
            "tensorflow-missing": "install tensorflow, or push with --no-load",
            "model-memory": "allow more with --load-memory",
            "model-rubbish": None,
        }
        raise ModelError(
            f"{doing} failed: {printable(str(answer.get('error')))}",
            kind=kind,
            hint=hints.get(kind, "export the model again; `saved_model_cli show --all --dir DIR` shows what is in it"),
        )

    def _line(self, doing: str, seconds: float) -> bytes:
        """Wait for one line of the child, and keep the last that it says on standard error."""
        out, err = self._child.stdout, self._child.stderr
        if out is None or err is None:
            raise AssertionError
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = deadline - time.monotonic()
                if left <= 0:
                    self.close()
                    raise ModelError(
                        f"{doing} took too long{self._last_lines()}",
                        kind="model-timeout",
                        expected=f"an end within {seconds:g} s",
                        hint="allow more with --load-timeout" if seconds != _READ_SECONDS else None,
                    )
                for key, _ in selector.select(min(left, _LONGEST_WAIT)):
                    data = os.read(key.fd, 64 * 1024)
                    if key.fileobj is err:
                        self._said = (self._said + data)[-_KEPT_BYTES:]
                        if not data:
                            selector.unregister(err)
                    elif not data:
                        raise self._died(doing)
                    else:
                        self._pending += data
                        if len(self._pending) > _ANSWER_LIMIT:
                            self.close()
                            raise self._rubbish()
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _died(self, doing: str) -> ModelError:
        try:
            status = self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            status = 0
        err = self._child.stderr
        if err is not None:
            os.set_blocking(err.fileno(), False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(err.fileno(), 64 * 1024):
                    self._said = (self._said + data)[-_KEPT_BYTES:]
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return ModelError(
            f"{doing} ended TensorFlow's process ({how}){self._last_lines()}",
            kind="model-crash",
            got=how,
            hint=f"it may use {self._memory // 1024**2} MiB of memory; --load-memory allows more",
        )

    def _rubbish(self) -> ModelError:
        return ModelError(
            f"the process that reads the model answered rubbish{self._last_lines()}", kind="model-rubbish"
        )

    def _last_lines(self) -> str:
        lines = [line for line in self._said.decode(errors="replace").splitlines() if not _NOISE.fullmatch(line)]
        shown = "; ".join(printable(line)[:300] for line in lines[-_SHOWN_LINES:])
        return f"; it said last: {shown}" if shown else ""


def _expect_answers() -> None:
    """Import what answers are read with, pydantic above all, while the caller copies files or waits for the child."""
    with contextlib.suppress(ImportError):  # that is said where an answer is read
        importlib.import_module("modelrepo.savedmodel.report")
