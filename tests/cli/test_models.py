"""What the program says about models: what changes from one to another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

Run = Callable[..., Any]


@pytest.fixture
def contracts(repository: Repository, samples: Path) -> Path:
    """v1 and v2 with the same contract, v3 with another one."""
    for name in ("classifier_v1", "classifier_v2", "renamed_input"):
        repository.push(samples / name, load=False)
    return repository.root


def test_diff_fits_a_terminal_and_its_exit_code_says_whether_something_breaks(
    run: Run, terminal: Callable[..., tuple[int, str]], contracts: Path
) -> None:
    code, text = terminal("--repo", contracts, "diff", "v1", "v3")
    assert code == 0
    assert text.startswith("v1 -> v3\nbreaking:\n  signature `predict_batch`: input `image` is not taken any more\n")
    assert max(map(len, text.splitlines())) <= 80
    assert run("--repo", contracts, "diff", "v1", "v2", "--exit-code").code == 0
    done = run("--repo", contracts, "diff", "v1", "v3", "--exit-code", "--json")
    assert (done.code, done.json["error"]["kind"]) == (4, "breaking")
    assert len(done.json["signatures"]["breaking"]) == 4
    assert done.json["ops"]["Relu"]["to"] == 0
    assert len(run("--repo", contracts, "-q", "diff", "v1", "v3").out.splitlines()) == 4


def test_diff_asks_whether_a_directory_was_meant(run: Run, contracts: Path, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    done = run("--repo", contracts, "diff", "v1", "export")
    assert (done.code, "did you mean ./export?" in done.err) == (3, True)


@pytest.mark.tensorflow
def test_a_wrong_answer_is_exit_6_and_says_which(run: Run, samples: Path, tmp_path: Path) -> None:
    request = '{"requests": [{"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[4.5]]}}]}'
    (tmp_path / "golden.json").write_text(request)
    words = ("--repo", tmp_path / "r", "push", "--init", samples / "tf1_linear", "--golden", "golden.json")
    done = run(*words)
    assert (done.code, done.out) == (6, "")
    assert "golden request 1 (signature `serving_default`): output `y`[0,0] differs by 0.25" in done.err
    assert "  expected: 4.5\n  got: 4.75" in done.err
    (tmp_path / "golden.json").write_text(request.replace("4.5", "4.75"))
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert "TensorFlow loaded it, 1 golden request answered right; signatures: serving_default" in done.out
