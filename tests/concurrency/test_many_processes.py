"""Real programs at once, undisturbed: what they say, what is recorded. `tests/crash/races.py` disturbs them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from modelrepo import Repository

SAMPLES = Path(__file__).parents[2] / "sample_models"


def test_pushes_of_the_same_content_at_once_make_one_version(tmp_path: Path) -> None:
    root = tmp_path / "ranker"
    Repository(root).init()
    words = [sys.executable, "-m", "modelrepo", "-q", "-r", str(root), "push", "--no-load"]
    both = [
        subprocess.Popen([*words, str(SAMPLES / "tf1_linear")], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert {process.communicate(timeout=60)[0] for process in both} == {"v1\n"}
    assert sorted(entry.action for entry in Repository(root).history()) == [
        "push",
        "push-again",
        "push-again",
        "push-again",
    ]
    assert Repository(root).verify().findings == ()


def test_a_promote_waits_for_a_promote_and_both_are_in_the_history(tmp_path: Path) -> None:
    root = tmp_path / "ranker"
    repository = Repository(root)
    repository.init()
    repository.push(SAMPLES / "tf1_linear", load=False)
    repository.push(SAMPLES / "vocabulary", load=False)
    program = [sys.executable, "-m", "modelrepo", "-r", str(root), "promote", "--allow-breaking"]
    running = [subprocess.Popen([*program, f"v{1 + number % 2}", "--channel", f"c{number}"]) for number in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert {entry.channel for entry in repository.history() if entry.action == "promote"} == {
        f"c{number}" for number in range(6)
    }
    assert repository.verify().findings == ()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_promote_does_not_wait_for_a_push_that_copies(tmp_path: Path) -> None:
    """The push stands still in the middle of its copy; the promote does not even wait for a moment."""
    root, source = tmp_path / "ranker", tmp_path / "export"
    repository = Repository(root, lock_timeout=0)
    repository.init()
    repository.push(SAMPLES / "tf1_linear", load=False)
    shutil.copytree(SAMPLES / "tf1_linear", source)
    with (source / "large.bin").open("wb") as file:
        file.truncate(300_000_000)
    words = [sys.executable, "-m", "modelrepo", "-q", "-r", str(root), "push", "--no-load", str(source)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as push:
        until(lambda: any((root / ".modelrepo" / "staging").glob("push-*/large.bin")))
        push.send_signal(signal.SIGSTOP)
        assert repository.promote("v1").changed
        assert [str(row.version) for row in repository.list()] == ["v1"], "it had not come further"
        push.send_signal(signal.SIGCONT)
        assert push.communicate(timeout=120)[0] == "v2\n"
    assert repository.verify().findings == ()


def test_a_promote_waits_for_a_version_or_two_of_a_cleanup_not_for_all(tmp_path: Path) -> None:
    root, source, many = tmp_path / "ranker", tmp_path / "export", 24
    repository = Repository(root)
    repository.init()
    shutil.copytree(SAMPLES / "tf1_linear", source)
    for number in range(many):
        (source / "note.txt").write_text(str(number))
        repository.push(source, load=False)
    repository.promote("newest")
    ageless = ("--keep-last=2", "--min-age=0s", "--grace=0s")
    words = [sys.executable, "-m", "modelrepo", "-q", "-r", str(root), "cleanup", *ageless]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as cleanup:
        until(lambda: not (root / "v1").exists())
        before = len(list(root.glob("v*")))
        assert repository.promote(f"v{many - 1}").changed
        gone = before - len(list(root.glob("v*")))
        assert cleanup.wait(60) == 0
    assert gone <= many // 3, "it got its turn in between"
    actions = [entry.action for entry in reversed(repository.history())][many + 1 :]
    assert actions.count("cleanup") == many - 2
    assert 0 < actions.index("promote") < len(actions) - 1
    assert repository.verify().findings == ()
