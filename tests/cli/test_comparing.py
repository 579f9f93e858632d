"""`modelrepo compare`: what a person sees, what a program gets, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

Run = Callable[..., Any]
Terminal = Callable[..., tuple[int, str]]


@pytest.fixture
def classifiers(repository: Repository, samples: Path) -> Path:
    """v1 and v2 with the same contract."""
    for name in ("classifier_v1", "classifier_v2"):
        repository.push(samples / name, load=False)
    return repository.root


@pytest.mark.tensorflow
def test_the_figures_fit_a_terminal_of_80_columns(terminal: Terminal, classifiers: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps([7] * 512))
    words = ("compare", "v1", "v2", "--signature", "predict_batch", "--runs", "1", "--labels", tmp_path / "labels.json")
    code, text = terminal("--repo", classifiers, *words)
    assert code == 0, text
    shown = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert shown.startswith("v1 -> v2\nasked: 16 requests, generated from seed 0; signature `predict_batch`\n")
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("probabilities", "label", "TOP-1", "ACCURACY", "agreement: ", "MEDIAN", "MEMORY", "16 calls of each"):
        assert word in shown


@pytest.mark.tensorflow
def test_too_little_agreement_is_exit_4_with_all_figures_and_the_page(
    run: Run, classifiers: Path, tmp_path: Path
) -> None:
    words = ("--repo", classifiers, "compare", "v1", "v2", "--generate", "2", "--runs", "1")
    page = tmp_path / "page.html"
    done = run(*words, "--require-agreement", "0.99", "--html", page, "--json")
    assert (done.code, done.json["error"]["kind"]) == (4, "disagreement")
    assert done.json["agreement"] < 0.99
    assert done.json["html"] == str(page)
    assert page.read_text().endswith("</html>\n")
    assert "v2 does not agree with v1: output `probabilities`" in done.err
    again = run(*words, "--require-agreement", str(done.json["agreement"]), "-q")
    assert (again.code, float(again.out)) == (0, done.json["agreement"])


@pytest.mark.tensorflow
def test_an_output_that_is_gone_does_not_agree(run: Run, repository: Repository, samples: Path) -> None:
    repository.push(samples / "classifier_v1", load=False)
    done = run(
        "--repo", repository.root, "compare", "v1", samples / "classifier_v1", "--signature", "predict_batch",
        "--output", "label", "--runs", "1", "--require-agreement", "1",
    )  # fmt: skip
    assert (done.code, "probabilities" in done.out, "agreement: 100.00%" in done.out) == (0, False, True)


def test_requests_may_come_from_a_pipe_and_what_is_wrong_with_them_is_said(run: Run, classifiers: Path) -> None:
    done = run("--repo", classifiers, "compare", "v1", "v2", "--input", "-", stdin="[1]")
    assert (done.code, done.out) == (2, "")
    assert "the document is not an object" in done.err
    assert "  expected: an object of inputs" in done.err


def test_a_directory_may_have_been_meant(run: Run, classifiers: Path, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    done = run("--repo", classifiers, "compare", "v1", "export")
    assert (done.code, "did you mean ./export?" in done.err) == (3, True)


@pytest.mark.tensorflow
def test_interrupted_it_leaves_neither_processes_nor_a_page(
    started: Callable[..., subprocess.Popen[str]], classifiers: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    child = started("--repo", classifiers, "compare", "v1", "v2", "--runs", "100000", "--html", page)
    deadline = time.monotonic() + 60
    while len(sons := _sons(child.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, "interrupted" in err) == (130, "", True)
    assert not page.exists()
    assert not [son for son in sons if Path(f"/proc/{son}").exists()]
    assert not list(tmp_path.glob(".modelrepo-page*"))


def _sons(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
