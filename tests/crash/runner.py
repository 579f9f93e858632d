"""Runs commands of modelrepo, each in a fork of a process that has imported the program already, and in bounded time.

The server gets one message and three descriptors (standard input, output, error) for a command, and answers with how
it ended. Where root runs the tests, the commands give up its right to pass over modes: else nothing were unreadable.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from modelrepo.core.moment import Moment
from modelrepo.fs import machine

from .forking import Server, become, opened, take_streams
from .parents import die_with

#: linux/capability.h: the rights that make modes mean nothing (CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER).
_RIGHTS = (0, 1, 2, 3)
_CAPABILITY_VERSION, _PR_CAPBSET_DROP = 0x20080522, 24
SECONDS = 60.0
#: What a hung command is known by.
HUNG = -1000


@dataclass(frozen=True)
class Ran:
    """What a command did.

    Attributes:
        code: Its exit code; of a signal the number, negative; `HUNG` where it had to be killed.
        out: Its standard output.
        err: Its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as its one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """What it says went wrong."""
        body = self.document["error"]
        assert isinstance(body, dict)
        return body


class Runner:
    """The server, started once for a process."""

    def __init__(self) -> None:
        self._server = Server("crash.runner")

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def run(self, place: Path, words: Sequence[str], *, seconds: float = SECONDS, skew: float = 0.0) -> Ran:
        """Run `modelrepo` with some words in a place.

        Args:
            place: Where it runs.
            words: The words behind the program's name.
            seconds: When it is killed, with all that it started.
            skew: How far its wall clock is set forward, in seconds.
        """
        request = {"words": list(words), "cwd": str(place), "seconds": seconds, "skew": skew}
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, open(os.devnull, "rb") as nothing:
            streams = [nothing.fileno(), output.fileno(), errors.fileno()]
            socket.send_fds(self._server.door, [json.dumps(request).encode()], streams)
            code = int(self._server.door.recv(100))
            output.seek(0)
            errors.seek(0)
            return Ran(code, output.read().decode(), errors.read().decode(errors="surrogateescape"))


@cache
def runner() -> Runner:
    """The one server of this process."""
    made = Runner()
    atexit.register(made.close)
    return made


def _give_up_rights() -> None:
    """Let modes mean for this process, and all that it starts, what they mean for their owner."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    done = all(libc.prctl(_PR_CAPBSET_DROP, right, 0, 0, 0) == 0 for right in _RIGHTS)
    done &= libc.capget(header, sets) == 0
    for index in range(3):  # effective, permitted, inheritable; the second half is of rights above 31
        sets[index] &= ~sum(1 << right for right in _RIGHTS)
    if not done or libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "the rights of root could not be given up")


def _serve() -> None:
    door = opened()
    server = os.getpid()
    while True:
        message, streams, _, _ = socket.recv_fds(door, 1 << 20, 3)
        if not message:
            return
        request = json.loads(message)
        pid = os.fork()
        if pid == 0:
            try:
                die_with(server)
                door.close()
                _become(request, streams)
            finally:
                os._exit(70)  # never back into the loop
        for descriptor in streams:
            os.close(descriptor)
        door.send(str(_ended(pid, request["seconds"])).encode())


def _ended(pid: int, seconds: float) -> int:
    """How a command ends; it and all that it started are gone then."""
    watched = os.pidfd_open(pid)
    try:
        in_time = bool(select.select([watched], [], [], seconds)[0])
    finally:
        os.close(watched)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if in_time else HUNG


def _become(request: dict[str, Any], streams: list[int]) -> None:
    os.setpgid(0, 0)
    take_streams(streams)
    os.umask(0o022)
    if os.geteuid() == 0:
        _give_up_rights()
    os.chdir(request["cwd"])
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "PYDANTIC_DISABLE_PLUGINS") if name in os.environ}
    os.environ.clear()
    os.environ.update({"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "MODELREPO_LOCK_TIMEOUT": "1", **kept})
    _set_clock(timedelta(seconds=request["skew"]))
    become(request["words"])


def _set_clock(skew: timedelta) -> None:
    """Set the wall clock forward as this process sees it, and nobody else; the clock that never jumps goes on."""
    right = machine.now

    def now() -> Moment:
        moment = right()
        return Moment(moment.time + skew, moment.boot, moment.uptime)

    vars(machine)["now"] = now


if __name__ == "__main__":
    _serve()
