"""Real programs at once, undisturbed: what they say, what is recorded. `tests/crash/races.py` disturbs them."""

from __future__ import annotations

import subprocess
import sys
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
