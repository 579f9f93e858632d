"""The fork server: a process that has imported the program already, and forks a child for each command.

Each child waits until it is traced and then is what `modelrepo` is: its own environment, directory, umask and
streams, no inherited thread or descriptor. Or it becomes the real command line by `execve`. The tracer talks to the
server through a socket: one message and four descriptors (standard input, output, error, and a pipe that the child
waits at) for a command, the child's process id for an answer. When the socket is closed the server ends.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from typing import Any

from .calls import stop_at_calls
from .parents import die_with

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Serve until the other side closes the socket."""
    die_with(int(sys.argv[2]))
    door = socket.socket(fileno=int(sys.argv[1]))
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a killed command leaves running comes here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # and is not waited for
    import_everything()
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


def import_everything() -> None:
    """What a command imports, also late, so that no child has to; of the inspector's child nothing runs here."""
    import modelrepo

    for module in pkgutil.walk_packages(modelrepo.__path__, "modelrepo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    *streams, gate = descriptors
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
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
    sys.argv = ["modelrepo", *words]
    code: object = 70
    try:
        importlib.import_module("modelrepo.cli.main").main()
    except SystemExit as done:
        code = done.code
    except BaseException:  # noqa: BLE001 - as Python does, whose last words these are
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
