"""The systemd units: systemd takes them, and what they start does its work in systemd's bare environment."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo import Repository

SCRIPTS = Path(__file__).parents[2] / "scripts"
SERVICE = SCRIPTS / "modelrepo-cleanup@.service"
TIMER = SCRIPTS / "modelrepo-cleanup@.timer"


class Unit(configparser.RawConfigParser):
    """A unit file whose keys stand once each; their case counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read_string(path.read_text())

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture
def start(program: Path) -> Callable[[Repository], subprocess.CompletedProcess[str]]:
    """Starts what the service starts for a repository; the program lies in the first place of the service's `PATH`."""

    def call(repository: Repository) -> subprocess.CompletedProcess[str]:
        service = Unit(SERVICE)["Service"]
        name, _, path = service["Environment"].partition("=")
        assert (name, path.split(":")[0]) == ("PATH", "/opt/modelrepo/bin")
        command = service["ExecStart"].replace("/models/%i", str(repository.root))
        assert "%" not in command
        return subprocess.run(
            shlex.split(command),
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": path.replace("/opt/modelrepo/bin", str(program.parent)), "LANG": "C.UTF-8"},
            timeout=120,
        )

    return call


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("instance", ["", "ranker", "fraud-score"])
def test_systemd_has_nothing_to_say_against_them(instance: str) -> None:
    units = [str(unit).replace("@", f"@{instance}") for unit in (SERVICE, TIMER)]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_deletes_what_should_go(
    start: Callable[[Repository], subprocess.CompletedProcess[str]], due: Repository
) -> None:
    done = start(due)
    assert done.returncode == 0, done.stderr
    assert [str(row.version) for row in due.list()] == ["v3", "v2"]
    again = start(due)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_held_lock_is_no_failure_of_the_service(
    start: Callable[[Repository], subprocess.CompletedProcess[str]], due: Repository
) -> None:
    lock = due.root / ".modelrepo" / "lock"
    holder = subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; read end"], stdin=-1, stdout=-1, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        done = start(due)
        holder.communicate("end\n")
    assert done.returncode == 11
    assert "11" in Unit(SERVICE)["Service"]["SuccessExitStatus"].split()
    assert len(due.list()) == 3


def test_a_missing_repository_is_a_failure_that_says_so(
    start: Callable[[Repository], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = start(Repository(tmp_path / "nothing"))
    assert done.returncode == 10
    assert "there is no repository" in done.stderr
    # systemd would fail before modelrepo could say it, were the directory not optional.
    assert Unit(SERVICE)["Service"]["ReadWritePaths"] == "-/models/%i"


def test_nothing_hides_other_processes_from_the_service() -> None:
    """What uses a version must be seen, or it would be deleted under its user."""
    service = Unit(SERVICE)["Service"]
    assert not {"ProtectProc", "ProcSubset", "PrivatePIDs", "PrivateUsers", "DynamicUser"} & set(service)
    assert "CAP_SYS_PTRACE" in service["CapabilityBoundingSet"].split()


def test_the_timer_starts_the_service_of_its_name_also_when_the_machine_was_off() -> None:
    timer = Unit(TIMER)
    assert "Unit" not in timer["Timer"]
    assert SERVICE.stem == TIMER.stem
    assert (timer["Timer"]["Persistent"], timer["Install"]["WantedBy"]) == ("yes", "timers.target")
