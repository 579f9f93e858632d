"""The fork server: a process that has imported the program already, and forks a child for each command.

Each child waits until it is traced and then is what `modelrepo` is: its own environment, directory, umask and
streams, no inherited thread or descriptor. Or it becomes the real command line by `execve`. The tracer talks to the
server through a socket: one message and four descriptors (standard input, output, error, and a pipe that the child
waits at) for a command, the child's process id for an answer. When the socket is closed the server ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from .calls import stop_at_calls
from .forking import become, opened, take_streams
from .parents import die_with

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Serve until the other side closes the socket."""
    door = opened()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a killed command leaves running comes here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # and is not waited for
    gc.collect()
    gc.freeze()
    server = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(door, 1 << 20, 4)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            die_with(server)
            door.close()
            _become(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        door.send(str(pid).encode())


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    *streams, gate = descriptors
    take_streams(streams)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.read(gate, 1)
    os.close(gate)
    stop_at_calls(reads=request["reads"])
    words = request["words"]
    if request["whole"]:
        os.execve(sys.executable, [sys.executable, "-P", "-m", "modelrepo", *words], os.environ)  # noqa: S606
    become(words)


if __name__ == "__main__":
    main()
