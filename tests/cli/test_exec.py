"""`exec` becomes the command, the lease held, and answers for itself as `env` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.fs import locks

Run = Callable[..., Any]


@pytest.mark.parametrize("dashes", [("--",), ()])
def test_the_command_gets_path_and_version_and_its_own_options(run: Run, root: Path, dashes: tuple[str, ...]) -> None:
    script = 'echo "$MODELREPO_PATH $MODELREPO_VERSION $*"'
    done = run("exec", "-r", root, "latest", *dashes, "sh", "-c", script, "sh", "--json", "-q", "--", "x")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{root}/v2 v2 --json -q -- x\n"


def test_exit_codes_are_the_commands_own_also_of_signals(run: Run, root: Path) -> None:
    assert run("-r", root, "exec", "v1", "--", "sh", "-c", "exit 42").code == 42
    assert run("-r", root, "exec", "v1", "--", "sh", "-c", "kill -9 $$").code == -9


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("v9", "--", "true"), 125, "there is no v9"),
        (("LATEST", "--", "true"), 125, "is not a ref"),
        (("v1",), 125, "Missing argument"),
        (("v1", "--"), 125, "there is no command to run"),
        (("v1", "--", ""), 125, "there is no command to run"),
        (("--frob", "v1", "--", "true"), 125, "No such option"),
        (("v1", "--", "/etc/passwd"), 126, "cannot be run"),
        (("v1", "--", "no-such-program"), 127, "there is no program no-such-program"),
        (("v1", "--", "/etc/passwd/x"), 127, "there is no program"),
    ],
)
def test_what_does_not_start_says_why_with_its_own_code(
    run: Run, root: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = run("-r", root, "exec", *words)
    assert done.code == code
    assert said in done.err
    assert done.out == ""


def test_where_there_is_no_repository_it_failed_itself(run: Run, tmp_path: Path) -> None:
    assert run("-r", tmp_path, "exec", "latest", "--", "true").code == 125


def test_the_version_is_held_as_long_as_any_process_of_the_command_lives(root: Path) -> None:
    """Also one that outlives the command itself: it has inherited the lease."""
    words = [sys.executable, "-m", "modelrepo", "-r", str(root), "exec", "v1", "--"]
    script = "(read line <&0; sleep 0) <&3 3<&- & exit 0"
    ours, theirs = os.pipe()
    done = subprocess.run(
        [*words, "bash", "-c", f"exec 3<&{ours}; {script}"], check=False, pass_fds=[ours], timeout=60, close_fds=True
    )
    os.close(ours)
    assert done.returncode == 0
    assert locks.take(root / "v1", exclusive=True) is None
    repository = Repository(root)
    assert any("leased" in kept.reasons for kept in repository.cleanup(dry_run=True).kept)
    os.write(theirs, b"go\n")
    os.close(theirs)
    for _ in range(500):
        hold = locks.take(root / "v1", exclusive=True)
        if hold is not None:
            hold.close()
            break
        signal.sigtimedwait([], 0.02)
    else:
        pytest.fail("the lease outlived its last process")


def test_the_command_inherits_the_users_environment_and_signals(run: Run, root: Path) -> None:
    done = run("-r", root, "exec", "v1", "--", "env", env={"PYDANTIC_DISABLE_PLUGINS": "mine"})
    assert "PYDANTIC_DISABLE_PLUGINS=mine\n" in done.out
    done = run("-r", root, "exec", "v1", "--", "env")
    assert "PYDANTIC" not in done.out
    ignored = run("-r", root, "exec", "v1", "--", "grep", "SigIgn", "/proc/self/status").out.split()[1]
    plain = subprocess.run(["grep", "SigIgn", "/proc/self/status"], check=True, capture_output=True, text=True)
    assert int(ignored, 16) == int(plain.stdout.split()[1], 16)


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="this system does not show the environment given")
@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C.UTF-8"}, {"LC_CTYPE": "C"}, {"LC_CTYPE": ""}], ids=str)
def test_a_locale_that_python_has_set_for_itself_is_not_the_commands(root: Path, given: dict[str, str]) -> None:
    """In the locale C, Python takes another one for characters and says so in its environment (PEP 538)."""
    words = [sys.executable, "-m", "modelrepo", "-r", str(root), "exec", "v1", "--", "env"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={**clean, **given})
    assert [line for line in done.stdout.splitlines() if line.startswith("LC_CTYPE")] == [
        f"{name}={value}" for name, value in given.items()
    ]


def test_a_reader_that_went_away_ends_the_command_as_it_would_without_us(root: Path) -> None:
    words = [sys.executable, "-m", "modelrepo", "-r", str(root), "exec", "v1", "--", "yes"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(60) == -signal.SIGPIPE


def test_a_program_passes_the_lease_on_to_its_children_by_the_descriptor_that_it_is_told(run: Run, root: Path) -> None:
    script = (
        "import os, subprocess, sys; lease = int(os.environ['MODELREPO_LEASE']);"
        "subprocess.Popen(['sleep', '60'], pass_fds=[lease], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    )
    assert run("-r", root, "exec", "v1", "--", sys.executable, "-c", script).code == 0
    hold = locks.take(root / "v1", exclusive=True)
    named = locks.holders(root / "v1")
    subprocess.run(["pkill", "-f", "^sleep 60$"], check=False)
    assert hold is None
    assert ["sleep 60" in name for name in named] == [True]
