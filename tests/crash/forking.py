"""What the fork servers share: how one is started and talked to, and how a fork of it becomes the program.

A server is a process that has imported the program already. It ends when its socket is closed, or with its parent.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .parents import die_with


class Server:
    """A server, started from here.

    Args:
        module: What it runs.

    Attributes:
        door: The socket to it.
        pid: Its process id.
    """

    def __init__(self, module: str) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(its.fileno()), str(os.getpid())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[1],
                env={**environment, "PYTHONDONTWRITEBYTECODE": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"},
                start_new_session=True,
            )
        self.door = mine
        self.pid = self._process.pid

    def close(self) -> None:
        """End it."""
        self.door.close()
        self._process.wait()


def opened() -> socket.socket:
    """In a server: the socket to who has started it, with everything imported that a fork could need."""
    die_with(int(sys.argv[2]))
    door = socket.socket(fileno=int(sys.argv[1]))
    import_everything()
    return door


def import_everything() -> None:
    """What a command imports, also late, so that no child has to; of the inspector's child nothing runs here."""
    import modelrepo

    for module in pkgutil.walk_packages(modelrepo.__path__, "modelrepo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def take_streams(streams: Sequence[int]) -> None:
    """In a fork: its standard input, output and error."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)


def become(words: Sequence[str]) -> NoReturn:
    """In a fork: be `modelrepo` with these words, and end as it does."""
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
