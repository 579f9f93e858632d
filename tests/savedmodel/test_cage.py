"""What the inspector's child gives up, tried out in real processes: as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Enters the cage, then tries to get out.
TRY = """
import json, os, signal, socket, sys
from modelrepo.savedmodel import cage
user, scratch, elsewhere, tcp, udp = int(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), int(sys.argv[5])
if "landlock" in sys.argv[6:]:
    cage._landlock = lambda *_: ()
import encodings.idna
if user:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
held = cage.enter(memory=1 << 30, scratch=scratch)


def can(act):
    try:
        act()
    except OSError:
        return False
    return True


def connect():
    with socket.create_connection(("127.0.0.1", tcp), 5):
        pass


def send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"out", ("127.0.0.1", udp))


def write(place):
    with open(os.path.join(place, "written"), "w") as file:
        file.write("x")


print(json.dumps({
    "held": held, "tcp": can(connect), "udp": can(send), "scratch": can(lambda: write(scratch)),
    "elsewhere": can(lambda: write(elsewhere)), "itself": can(lambda: open("/proc/self/maps").close()),
}))
"""


@pytest.fixture(
    params=[(0,), (65534,), (0, "landlock"), (65534, "landlock")],
    ids=["as it is", "as nobody", "without Landlock", "as nobody, without Landlock"],
)
def tried(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What a process in the cage could do; also on a kernel without Landlock."""
    user, *without = request.param
    if user and os.geteuid() != 0:
        pytest.skip("only root may become another user")
    places = [tmp_path / "scratch", tmp_path / "elsewhere"]
    for place in places:
        place.mkdir()
        place.chmod(0o777)
    opened = [parent for parent in tmp_path.parents if parent != Path("/") and not parent.stat().st_mode & 1]
    modes = {parent: parent.stat().st_mode & 0o7777 for parent in [tmp_path, *opened]}
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.2)
        try:
            for parent, mode in modes.items():
                parent.chmod(mode | 0o011)
            done = subprocess.run(
                [sys.executable, "-c", TRY, str(user), *map(str, places)]
                + [str(server.getsockname()[1]) for server in (tcp, udp)]
                + without,
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
                # Coverage writes its data when a process ends, which this one may not.
                env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
            )
        finally:
            for parent, mode in modes.items():
                parent.chmod(mode)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        try:
            answer["arrived"] = udp.recv(10) == b"out"
        except TimeoutError:
            answer["arrived"] = False
    (places[1] / "still").write_text("writable for others")
    return answer


def test_what_the_cage_says_that_it_holds_it_holds(tried: Any) -> None:
    held = tried["held"]
    assert {"nice", "gpu"} <= set(held) <= {"nice", "gpu", "memory", "files", "tcp", "network"}
    assert tried["tcp"] == (not {"tcp", "network"} & set(held))
    assert tried["arrived"] == ("network" not in held)
    assert tried["elsewhere"] == ("files" not in held)


def test_where_namespaces_are_there_nothing_is_written_elsewhere_also_without_landlock(tried: Any) -> None:
    """Linux 5.12 and newer; the mounts of everybody else stay as they are."""
    if "network" not in tried["held"]:
        pytest.skip("this user may not make namespaces here")
    assert "files" in tried["held"]
    assert not tried["elsewhere"]


def test_in_the_cage_a_process_still_has_its_scratch_directory_and_sees_itself(tried: Any) -> None:
    assert tried["scratch"]
    assert tried["itself"] or sys.platform != "linux"
