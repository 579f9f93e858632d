"""Library calls that are stopped, killed or failed at a chosen step, in a child forked from this process.

A step is what the call does to the repository through the interpreter: it opens, lists, makes, renames, links, locks,
writes, syncs or deletes something. The interpreter's audit events say when; writing, syncing and the rename that
refuses an existing name have none, and are announced from hooks in the child.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from modelrepo.cli import exits
from modelrepo.errors import ModelRepoError
from modelrepo.fs import durable, native

from .parents import die_with

_EVENTS = {
    "open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink",
    "os.truncate", "os.chmod", "fcntl.flock", "races.sync", "races.write", "races.rename_new",
}  # fmt: skip

#: What happens at the step: the child stops, dies as by SIGKILL, or is told that the disk is broken.
Fate = Literal["stop", "die", "fail"]
#: What takes longer hangs; a command waits 30 s for the lock.
_SECONDS = 120.0
_PAUSE_SECONDS = 0.001


@dataclass(frozen=True)
class Outcome:
    """How a call ended: its exit code, the error's kind and words; the code is None where the child died."""

    code: int | None
    kind: str = ""
    message: str = ""


class Child:
    """A call in a process of its own: whoever lets it stop lets it go on or kills it, and waits for its end.

    Its fate comes at each of the steps, from 1.
    """

    def __init__(self, call: Callable[[], object], root: Path, *steps: int, fate: Fate = "stop") -> None:
        ours, theirs = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            die_with(parent)
            _run(call, _Steps(root, steps, fate), theirs)
        os.close(theirs)
        self._pipe = ours
        self._ended = False
        self._heard: dict[str, Any] | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._pid

    def is_stopped(self) -> bool:
        """Wait until it has stopped (True) or ended (False).

        Raises:
            AssertionError: It did neither for too long; it is killed.
        """
        end = time.monotonic() + _SECONDS
        pid = 0
        while not pid:
            pid, status = os.waitpid(self._pid, os.WUNTRACED | os.WNOHANG)
            if not pid:
                self._limit(end)
                time.sleep(_PAUSE_SECONDS)
        self._ended = not os.WIFSTOPPED(status)
        return not self._ended

    def _limit(self, end: float) -> None:
        if time.monotonic() > end:
            self.kill()
            raise AssertionError(f"the call neither stops nor ends within {_SECONDS} s")

    def go_on(self) -> None:
        """Let it run again."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as SIGKILL does, also while it is stopped."""
        if not self._ended:
            os.kill(self._pid, signal.SIGKILL)

    def outcome(self) -> Outcome:
        """Wait for its end."""
        return Outcome(**self._said()["outcome"])

    def steps(self) -> list[str]:
        """Wait for its end; what it did, step by step."""
        return list(self._said()["steps"])

    def _said(self) -> dict[str, Any]:
        if self._heard is None:
            self._heard = {"outcome": {"code": None}, "steps": []}
            try:
                data = self._read()
            finally:
                while not self._ended:
                    self.is_stopped()
            self._heard = json.loads(data) if data else self._heard
            assert self._heard["outcome"].get("kind") != "traceback", self._heard["outcome"]["message"]
        return self._heard

    def _read(self) -> bytes:
        """All that it says until it ends."""
        end = time.monotonic() + _SECONDS
        data = b""
        try:
            while True:
                ready, _, _ = select.select([self._pipe], [], [], max(0, end - time.monotonic()))
                part = os.read(self._pipe, 1 << 16) if ready else None
                if part == b"":
                    return data
                data += part or b""
                self._limit(end)
        finally:
            os.close(self._pipe)


class _Steps:
    """Counts the steps in the child, and lets its fate come at some of them."""

    def __init__(self, root: Path, steps: tuple[int, ...], fate: Fate) -> None:
        self.names: list[str] = []
        self._root = str(root)
        self._steps = steps
        self._fate = fate
        self._busy = False

    def watch(self) -> None:
        """Count from now on, in this process."""
        for module, name, event in (
            (durable, "sync", "races.sync"),
            (durable, "write_all", "races.write"),
            (native, "rename_noreplace", "races.rename_new"),
        ):
            setattr(module, name, _announced(getattr(module, name), event))
        sys.addaudithook(self._see)

    def _see(self, event: str, words: tuple[Any, ...]) -> None:
        if event not in _EVENTS or self._busy or not self._concerns(words):
            return
        self.names.append(f"{event} {os.path.basename(str(words[0])) if words else ''}".strip())
        if len(self.names) not in self._steps:
            return
        self._busy = True
        if self._fate == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self._fate == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        self._busy = False
        if self._fate == "fail":
            raise OSError(errno.EIO, os.strerror(errno.EIO), "injected")

    def _concerns(self, words: tuple[Any, ...]) -> bool:
        """Paths in the repository, or relative to a directory that is open; of `/proc`, where the look at it begins."""
        path = words[0] if words else ""
        if not isinstance(path, str | os.PathLike):
            return True
        text = os.fspath(path)
        return not os.path.isabs(text) or text.startswith(self._root) or text == "/proc"


def _announced(function: Callable[..., Any], event: str) -> Callable[..., Any]:
    def announcing(*words: Any, **options: Any) -> Any:
        sys.audit(event)
        return function(*words, **options)

    return announcing


def _run(call: Callable[[], object], steps: _Steps, pipe: int) -> NoReturn:
    """The child's life."""
    outcome = Outcome(0)
    try:
        steps.watch()
        try:
            call()
        except ModelRepoError as error:
            outcome = Outcome(exits.code_of(error), error.kind, error.message)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent shall see it, and pytest's stack shall not
        outcome = Outcome(1, "traceback", traceback.format_exc())
    said = json.dumps({"outcome": vars(outcome), "steps": steps.names}).encode()
    while said:
        said = said[os.write(pipe, said) :]
    os._exit(0)
