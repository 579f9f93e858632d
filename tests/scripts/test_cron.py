"""The README's lines for cron do what it says, started as cron starts them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo import Repository

README = (Path(__file__).parents[2] / "README.md").read_text()
Cron = Callable[[str], subprocess.CompletedProcess[str]]


def lines() -> dict[str, str]:
    """The README's crontab: what stands behind the five fields, by the command of modelrepo."""
    block = re.search(r"```crontab\n(.*?)```", README, re.DOTALL)
    assert block
    commands = {}
    for line in block[1].splitlines():
        *fields, command = line.split(None, 5)
        assert len(fields) == 5
        assert all(re.fullmatch(r"[0-9*/,-]+", field) for field in fields)
        assert "%" not in command, "cron makes a newline of it"
        found = re.search(r"--repo \S+ (\S+)", command)
        assert found
        commands[found[1]] = command
    return commands


@pytest.fixture
def cron(program: Path, due: Repository, tmp_path: Path) -> Cron:
    """Runs one of the lines as cron does: by `sh`, in the home directory, with a short environment and no terminal."""

    def call(command: str) -> subprocess.CompletedProcess[str]:
        line = lines()[command]
        for said, here in (
            ("/opt/modelrepo/bin/modelrepo", program),
            ("/models/ranker", due.root),
            ("> /run", f"> {tmp_path}"),
        ):
            line = line.replace(said, str(here))
        return subprocess.run(
            ["/bin/sh", "-c", line],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "LOGNAME": "ada", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"},
            start_new_session=True,
            timeout=120,
        )

    return call


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_these_are_the_lines() -> None:
    assert list(lines()) == ["cleanup", "verify", "status"]


def test_cleanup_deletes_then_is_quiet(cron: Cron, due: Repository) -> None:
    first = cron("cleanup")
    assert first.returncode == 0, first.stderr
    assert "v1" in first.stdout
    assert [str(row.version) for row in due.list()] == ["v3", "v2"]
    assert said(cron("cleanup")) == (0, "", "")


def test_cleanup_is_11_while_somebody_holds_the_lock(cron: Cron, due: Repository) -> None:
    lock = due.root / ".modelrepo" / "lock"
    holder = subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; read end"], stdin=-1, stdout=-1, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        done = cron("cleanup")
        holder.communicate("end\n")
    assert done.returncode == 11
    assert "11 that somebody holds the lock" in " ".join(README.split())


def test_verify_and_status_are_quiet_until_something_is_wrong_then_5(
    cron: Cron, due: Repository, tmp_path: Path
) -> None:
    assert said(cron("verify")) == (0, "", "")
    assert said(cron("status")) == (0, "", "")
    report = tmp_path / "ranker-status.json"
    assert json.loads(report.read_text())["problems"] == []
    damaged = due.root / "v2" / "saved_model.pb"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes() + b"x")
    assert cron("verify").returncode == 5
    assert cron("status").returncode == 5
    assert json.loads(report.read_text())["problems"]
