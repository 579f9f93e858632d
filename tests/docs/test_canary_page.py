"""What docs/canary.md shows works: with the real nginx, and no request fails on the way there, forth or back."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .callers import CLIENTS
from .console import TOP, Stage, files, run, sections, steps

PAGE = (TOP / "docs" / "canary.md").read_text()
SECTIONS = sections(PAGE)[1]
#: The ways on: only one of them is gone.
ENDS = [heading for heading in SECTIONS if heading.startswith(("Forth", "Back"))]
PORTS = ("8080", "8501")
PATH = f"{os.environ['PATH']}:/usr/sbin"
(TEMPORARY,) = re.findall(r".*_temp_path .*\n", PAGE)


def missing() -> list[str]:
    found = [name for name in ("curl", "jq", "pgrep") if shutil.which(name) is None]
    found += ["tensorflow_serving"] if importlib.util.find_spec("tensorflow_serving") is None else []
    return found if shutil.which("nginx", path=PATH) else ["nginx", *found]


def ports() -> dict[str, str]:
    """The page's ports, each with one that is free here."""
    with contextlib.ExitStack() as open_:
        sockets = [open_.enter_context(socket.socket()) for _ in PORTS]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {port: str(each.getsockname()[1]) for port, each in zip(PORTS, sockets, strict=True)}


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def canaries(port: int) -> set[str]:
    """Which of 2,000 callers have the canary."""
    deadline = time.monotonic() + 20
    while not answers(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:

        def side(client: str) -> str:
            connection.request("GET", "/", headers={"X-Client": client})
            return connection.getresponse().read().decode()

        return {client for client in CLIENTS if side(client) == "ranker_canary"}


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Path]:
    """Where the page's nginx works: it is a daemon, and is ended by its own file."""
    place = tmp_path / "srv" / "front"
    yield place
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((place / "nginx.pid").read_text()), signal.SIGTERM)


@pytest.mark.tensorflow
@pytest.mark.parametrize("end", ENDS)
def test_the_page_shows_what_happens_and_no_request_fails(end: str, tmp_path: Path, front: Path) -> None:
    if missing():
        pytest.skip(f"not installed here: {', '.join(missing())}")
    way = [step for heading, text in SECTIONS.items() if heading == end or heading not in ENDS for step in steps(text)]
    programs = {"tensorflow_model_server": "model_server.py", "callers": "callers.py"}
    run(way, tmp_path, cwd=TOP, stage=Stage(files(PAGE), programs, ports()))

    asked = [line.split() for line in (front / "access.log").read_text().splitlines()]
    assert {status for _, _, status, *_ in asked} == {"200"}
    sides: dict[str, list[str]] = defaultdict(list)
    for _, model, _, _, _, client in asked:
        sides[client].append(model)
    turns = {client: tuple(side for side, _ in itertools.groupby(each)) for client, each in sides.items()}
    there = ("ranker", "ranker_canary")
    assert set(turns.values()) <= {there[:1], there, there[1:], (*there, "ranker"), ("ranker_canary", "ranker")}
    assert len(turns) == 2001  # the clients, and who has no name
    log = (tmp_path / "srv" / "serving" / "log").read_text()
    assert "access error" not in log
    assert ("name: ranker version: 3" in log) == end.startswith("Forth")


def test_the_times_of_each_side_are_read_from_the_log(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```sh\n(for .*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "srv" / "front").mkdir(parents=True)
    lines = [f"TIME ranker 200 {number / 1000:.3f} 127.0.0.1:8501 client" for number in range(200, 0, -1)]
    lines += ["TIME ranker_canary 200 0.500 127.0.0.1:8501 client"]
    (tmp_path / "srv" / "front" / "access.log").write_text("\n".join([*lines, ""]))
    script = Stage().here(script, tmp_path)
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "ranker: half within, and 99 % within, of 200 requests: 0.100 s, 0.198 s",
        "ranker_canary: half within, and 99 % within, of 1 requests: 0.500 s, 0.500 s",
    ]


def test_both_ends_take_the_same_steps_in_the_same_order() -> None:
    assert len(ENDS) == 2
    forth, back = ([step.command.split()[0] for step in steps(SECTIONS[end])] for end in ENDS)
    assert back[:5] == forth[-6:-1] == ["sed", "sh", "modelrepo", "while", "modelrepo"]


def test_who_has_the_canary_keeps_it_when_its_share_grows(front: Path) -> None:
    """A server of nginx's own answers here with the name of the side."""
    program = shutil.which("nginx", path=PATH)
    if program is None:
        pytest.skip("not installed here: nginx")
    front.mkdir(parents=True)
    free = ports()["8080"]
    share = files(PAGE)["/srv/front/share.conf"].replace("# 10%", "10%")
    side: dict[str, set[str]] = {}
    for percent in ("10%", "25%"):
        (front / "nginx.conf").write_text(
            "pid nginx.pid; error_log error.log; daemon off; events {} http { access_log off;\n"
            + TEMPORARY
            + "map $http_x_client $client { default $http_x_client; }\n"
            + share.replace("10%", percent)
            + f"server {{ listen 127.0.0.1:{free}; location / {{ return 200 $model; }} }} }}"
        )
        nginx = subprocess.Popen([program, "-p", str(front), "-e", "error.log", "-c", "nginx.conf"])
        try:
            side[percent] = canaries(int(free))
        finally:
            nginx.terminate()
            nginx.wait(20)
    assert side["10%"] < side["25%"]
    assert 150 < len(side["10%"]) < 250
    assert 430 < len(side["25%"]) < 570
