"""A tracer: runs a command of modelrepo and stops it, its threads and children too, at each call on some files.

It counts the calls over all of them, tells a `Watcher` before and after each, and does what that says: let it be
done, kill everything before it, let it fail, let it be done and say that it failed, or cut it short. Needs nothing but
Linux, x86-64 and the right to trace one's own children (`why_not`).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import platform
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

from .calls import BY_NUMBER, Kind
from .forking import Server

# linux/ptrace.h
_CONT, _GETREGS, _SETREGS, _SYSCALL, _GETEVENTMSG, _SEIZE = 7, 12, 13, 24, 0x4201, 0x4206
_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE, _EVENT_EXEC, _EVENT_SECCOMP, _EVENT_STOP = 1, 2, 3, 4, 7, 128
_OPTIONS = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 7 | 1 << 20  # SYSGOOD, the events above, EXITKILL
# sys/wait.h: threads too, and of this thread's tracees alone.
_WAIT = 0x40000000 | 0x20000000
_AT_FDCWD = -100
_PATH_BYTES = 4096
_PAGE = 4096
_SWEEP_SECONDS = 60
#: user_regs_struct of x86-64: where the registers stand that a call uses.
_REGISTERS = 27
_RESULT, _NUMBER, _ARGUMENTS = 10, 15, (14, 13, 12, 7, 9, 8)


@dataclass(frozen=True)
class Go:
    """Do the call."""


@dataclass(frozen=True)
class Kill:
    """Kill every thread and process before the call is done."""


@dataclass(frozen=True)
class Fail:
    """Do not do the call; say that it failed. An interrupted call is `Fail(errno.EINTR)`."""

    number: int


@dataclass(frozen=True)
class Lie:
    """Do the call; say that it failed."""

    number: int


@dataclass(frozen=True)
class Shorten:
    """Do only so many bytes of the call, at least one; the whole call where it takes no number of bytes."""

    count: int


Action = Go | Kill | Fail | Lie | Shorten


class Call:
    """A call, as its thread is about to do it. What is read from the process is read when first asked: ask in `before`.

    Attributes:
        number: Its place among all calls of the command that count, from 1.
        thread: The thread's id.
        kind: Which call it is.
        arguments: Its arguments, unsigned.
        paths: What it touches, absolute, links resolved but for the last name.
    """

    def __init__(self, thread: int, kind: Kind, arguments: tuple[int, ...]) -> None:
        self.number = 0
        self.thread = thread
        self.kind = kind
        self.arguments = arguments
        self.paths = tuple(self._touched(where) for where in kind.touches)

    def __str__(self) -> str:
        return f"{self.number}: {self.kind.name} {' '.join(self.paths)}"

    @property
    def name(self) -> str:
        """The call's name."""
        return self.kind.name

    @property
    def count(self) -> int | None:
        """How many bytes it asks for, where fewer may be done."""
        return None if self.kind.count is None else self.arguments[self.kind.count]

    @cached_property
    def data(self) -> bytes:
        """The bytes that a write would write; empty for calls that name none (`copy_file_range`, `writev`, …)."""
        if self.kind.data is None:
            return b""
        return self.memory(self.arguments[self.kind.data], self.arguments[self.kind.data + 1])

    @cached_property
    def position(self) -> int:
        """Where in its file a write begins: as it says (`pwrite64`), else where the descriptor stands."""
        if self.name in {"pwrite64", "pwritev", "pwritev2"}:
            return self.arguments[3]
        text = Path(f"/proc/{self.thread}/fdinfo/{self.arguments[0]}").read_text(encoding="ascii")
        return int(text.split()[1])

    def memory(self, address: int, size: int) -> bytes:
        """Bytes of the process; fewer where it has no more there."""
        descriptor = os.open(f"/proc/{self.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        read = b""
        try:
            while len(read) < size and (part := os.pread(descriptor, size - len(read), address + len(read))):
                read += part
        except OSError:  # it has no more there
            pass
        finally:
            os.close(descriptor)
        return read

    def text(self, address: int) -> bytes:
        """A string of the process, without its end; read by pages, since the next one may not be there."""
        text = b""
        while len(text) < _PATH_BYTES:
            part = self.memory(address + len(text), _PAGE - (address + len(text)) % _PAGE)
            text += part.partition(b"\0")[0]
            if b"\0" in part or not part:
                break
        return text

    def _touched(self, where: str) -> str:
        index = int(where[1])
        if where[0] == "f":
            return self._descriptor(self.arguments[index])
        address = self.arguments[index if where[0] == "p" else index + 1]
        above = _AT_FDCWD if where[0] == "p" else ctypes.c_int32(self.arguments[index] & 0xFFFFFFFF).value
        text = os.fsdecode(self.text(address)) if address else ""
        if not os.path.isabs(text):
            base = self._descriptor(above)
            if not text:
                return base
            text = os.path.join(base, text)
        head, name = os.path.split(text.rstrip("/"))
        return os.path.normpath(text) if name in {"", ".", ".."} else os.path.join(os.path.realpath(head), name)

    def _descriptor(self, descriptor: int) -> str:
        number = ctypes.c_int32(descriptor & 0xFFFFFFFF).value
        try:
            return os.readlink(f"/proc/{self.thread}/{'cwd' if number == _AT_FDCWD else f'fd/{number}'}")
        except OSError:
            return ""


class Watcher(Protocol):
    """Who is told of the calls, in their order; between two of them at most other threads run."""

    def before(self, call: Call) -> Action:
        """Say what is to happen to a call."""
        ...

    def after(self, call: Call, result: int) -> None:
        """Hear what a call that was done has given, an error as its negative number; before a `Lie` hides it."""
        ...


@dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        code: Its exit code; `-9` where it was killed.
        output: What it printed.
        errors: What it said on standard error.
        calls: How many calls counted.
        hung: Whether it had to be killed because its time was over.
    """

    code: int
    output: str
    errors: str
    calls: int
    hung: bool


class Tracer:
    """A fork server, and the tracing of the commands that it runs, one at a time, in the thread that calls `run`."""

    def __init__(self) -> None:
        self._server = Server("crash.server")
        self._door = self._server.door

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def run(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        places: Sequence[Path],
        watcher: Watcher,
        environment: Mapping[str, str] | None = None,
        reads: bool = False,
        whole: bool = False,
        seconds: float = 60,
    ) -> Done:
        """Run `modelrepo` with some words.

        Args:
            words: The words behind the program's name.
            cwd: Where it runs.
            places: A call counts if it touches one of these, or something below.
            watcher: Who is told.
            environment: Its environment; None for this process's own, without coverage's.
            reads: Whether calls count that only read.
            whole: Whether to start the real command line rather than fork the server.
            seconds: When it is killed.
        """
        if environment is None:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        request = {
            "words": list(words),
            "cwd": str(cwd),
            "environment": {"PYTHONDONTWRITEBYTECODE": "1", **environment},
            "umask": 0o022,
            "reads": reads,
            "whole": whole,
        }
        with contextlib.ExitStack() as open_files:
            nothing = open_files.enter_context(open(os.devnull, "rb"))
            output = open_files.enter_context(tempfile.TemporaryFile())
            errors = open_files.enter_context(tempfile.TemporaryFile())
            gate, opener = os.pipe()
            streams = [nothing.fileno(), output.fileno(), errors.fileno(), gate]
            socket.send_fds(self._door, [json.dumps(request).encode()], streams)
            os.close(gate)
            pid = int(self._door.recv(100))
            trace = _Trace(pid, [os.path.realpath(place) for place in places], watcher)
            try:
                _ptrace(_SEIZE, pid, 0, _OPTIONS)
            finally:
                os.close(opener)
            timer = threading.Timer(seconds, trace.give_up)
            timer.start()
            try:
                code = trace.follow()
            finally:
                timer.cancel()
                trace.kill()
                self._sweep()
            output.seek(0)
            errors.seek(0)
            return Done(code, output.read().decode(), errors.read().decode(), trace.calls, trace.hung)

    def _sweep(self) -> None:
        """Wait until nothing is left of a command: what it had started, and what had no parent any more, is killed.

        Raises:
            TimeoutError: Something does not end: it waits for a device, say.
        """
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children")
        end = time.monotonic() + _SWEEP_SECONDS
        while left := children.read_text(encoding="ascii").split():
            if time.monotonic() > end:
                raise TimeoutError(f"killed {_SWEEP_SECONDS} s ago, and still there: {', '.join(left)}")
            for pid in left:
                _kill(int(pid))
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, _WAIT | os.WNOHANG) != (0, 0):
                    pass
            time.sleep(0.001)


class _Trace:
    """One command that is traced."""

    def __init__(self, pid: int, places: list[str], watcher: Watcher) -> None:
        self._pid = pid
        self._places = tuple(places)
        self._below = tuple(f"{place}/" for place in places)
        self._watcher = watcher
        self._running = {pid}
        self._seen = {pid}
        self._inside: dict[int, tuple[Call, Action]] = {}
        self._killed = False
        self.calls = 0
        self.hung = False

    def give_up(self) -> None:
        self.hung = True
        self.kill()

    def kill(self) -> None:
        self._killed = True
        for pid in tuple(self._running):
            _kill(pid)

    def follow(self) -> int:
        """Trace until the last of them has ended; return how the command itself did."""
        code = -signal.SIGKILL
        while self._running:
            pid, status = os.waitpid(-1, _WAIT)
            if not os.WIFSTOPPED(status):
                if pid in self._running and pid == self._pid:
                    code = os.waitstatus_to_exitcode(status)
                self._running.discard(pid)
                self._inside.pop(pid, None)
                continue
            self._seen.add(pid)
            self._running.add(pid)
            if self._killed:
                _kill(pid)
            with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)
        return code

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if event == _EVENT_SECCOMP:
            self._enter(pid)
            return
        if event in {_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE}:
            child = _message(pid)
            if child not in self._seen:  # else it has stopped already, and may even have ended
                self._seen.add(child)
                self._running.add(child)
        elif event == _EVENT_EXEC:
            former = _message(pid)
            if former != pid:  # a thread that takes the process over takes its number, too
                self._running.discard(former)
        if number == signal.SIGTRAP | 0x80:
            self._leave(pid)
            number = 0
        _ptrace(_CONT, pid, 0, 0 if event else number)

    def _enter(self, pid: int) -> None:
        registers = _registers(pid)
        kind = BY_NUMBER[registers[_NUMBER]]
        call = Call(pid, kind, tuple(registers[index] for index in _ARGUMENTS))
        if self._killed or not any(path in self._places or path.startswith(self._below) for path in call.paths):
            _ptrace(_CONT, pid, 0, 0)
            return
        self.calls += 1
        call.number = self.calls
        action = self._watcher.before(call)
        match action:
            case Kill():
                self.kill()
                return
            case Fail(error):
                registers[_NUMBER] = 2**64 - 1  # a call that there is not: nothing is done, the result stands
                registers[_RESULT] = 2**64 - error
                _ptrace(_SETREGS, pid, 0, registers)
                _ptrace(_CONT, pid, 0, 0)
                return
            case Shorten(count) if kind.count is not None:
                index = _ARGUMENTS[kind.count]
                registers[index] = max(1, min(registers[index], count))
                _ptrace(_SETREGS, pid, 0, registers)
        self._inside[pid] = call, action
        _ptrace(_SYSCALL, pid, 0, 0)

    def _leave(self, pid: int) -> None:
        call, action = self._inside.pop(pid)
        registers = _registers(pid)
        result = ctypes.c_int64(registers[_RESULT]).value
        self._watcher.after(call, result)
        if isinstance(action, Lie) and result >= 0:
            registers[_RESULT] = 2**64 - action.number
            _ptrace(_SETREGS, pid, 0, registers)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    return libc


def _ptrace(request: int, pid: int, address: int, data: object) -> None:
    if _libc().ptrace(request, pid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _registers(pid: int) -> ctypes.Array[ctypes.c_uint64]:
    registers = (ctypes.c_uint64 * _REGISTERS)()
    _ptrace(_GETREGS, pid, 0, registers)
    return registers


def _message(pid: int) -> int:
    message = ctypes.c_ulong()
    _ptrace(_GETEVENTMSG, pid, 0, ctypes.addressof(message))
    return message.value


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@cache
def tracer() -> Tracer:
    """The one tracer of this process."""
    made = Tracer()
    atexit.register(made.close)
    return made


class Onlooker:
    """A watcher that lets everything be done; others say what they do otherwise."""

    def before(self, call: Call) -> Action:  # noqa: ARG002
        """Let it be done."""
        return Go()

    def after(self, call: Call, result: int) -> None:
        """Nothing to hear."""


@cache
def why_not() -> str | None:
    """Why nothing can be traced here, or None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the tracer knows the calls of Linux on x86-64 alone"
    with tempfile.TemporaryDirectory() as place:
        try:
            done = tracer().run(["init", "-r", "r"], cwd=Path(place), places=[Path(place)], watcher=Onlooker())
        except OSError as error:
            return f"nothing can be traced here: {error}"
        return None if done.calls and done.code == 0 else f"nothing is stopped for a tracer here: {done}"
