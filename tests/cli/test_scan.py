"""What the program says about a scan: exit codes, text that harms no terminal, JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODEL = """
meta_graphs {
  meta_info_def { tags: "serve" }
  graph_def {
    node { name: "evil\\033[31m\\n" op: "WriteFile" input: "name" }
    node { name: "module" op: "XlaCallModule" }
  }
}
"""


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A model that writes, with a name that would act on a terminal."""
    place = tmp_path / "evil"
    place.mkdir()
    (place / "saved_model.pbtxt").write_text(MODEL)
    return place


def test_a_refused_push_exits_with_6_and_names_the_op(run: Callable[..., Any], root: Path, evil: Path) -> None:
    done = run("--repo", root, "push", evil, "--no-load")
    assert (done.code, done.out) == (6, "")
    assert "WriteFile writes files (node evil\\x1b[31m\\n, meta graph serve) [write-file]" in done.err
    assert "\x1b" not in done.err
    assert "--allow-op WriteFile" in done.err


def test_a_refused_push_answers_in_json(run: Callable[..., Any], root: Path, evil: Path) -> None:
    done = run("--repo", root, "push", evil, "--no-load", "--json")
    assert (done.code, done.json["error"]["kind"], done.json["error"]["got"]) == (6, "model-refused", "WriteFile")
    assert len(done.json["error"]["items"]) == 1


def test_an_op_is_let_in_by_name_and_shown_as_allowed(run: Callable[..., Any], root: Path, evil: Path) -> None:
    done = run("--repo", root, "push", evil, "--no-load", "--allow-op", "WriteFile")
    assert done.code == 0
    assert "1 refused, 1 noted by the rules for TensorFlow 2.21.0" in done.out
    assert "allowed: WriteFile" in done.out
    assert "allowed: WriteFile" in run("--repo", root, "show", "v4").out
    assert "allowed: WriteFile" in run("--repo", root, "history").out


def test_inspect_shows_findings_and_exits_with_0(run: Callable[..., Any], evil: Path) -> None:
    done = run("inspect", evil, "--json")
    assert done.code == 0
    assert done.json["findings"] == [
        {
            "op": "WriteFile",
            "severity": "refused",
            "rule": "write-file",
            "reason": "writes files",
            "node": "evil\x1b[31m\n",
            "within": "meta graph serve",
        },
        {
            "op": "XlaCallModule",
            "severity": "noted",
            "rule": "compiled",
            "reason": "holds compiled code, which is not scanned",
            "node": "module",
            "within": "meta graph serve",
        },
    ]
    assert done.json["scanned_by"] == "2.21.0"


def test_inspect_with_load_refuses_a_refused_model_and_still_answers(run: Callable[..., Any], evil: Path) -> None:
    done = run("inspect", evil, "--load", "--json")
    assert (done.code, done.json["error"]["kind"], done.json["load"]) == (6, "model-refused", None)
    assert done.json["findings"][0]["op"] == "WriteFile"


def test_findings_fold_on_a_terminal(terminal: Callable[..., tuple[int, str]], evil: Path) -> None:
    code, shown = terminal("inspect", str(evil))
    assert code == 0
    assert all(len(line) <= 80 for line in shown.splitlines() if "WriteFile" in line or "write-file" in line)
    assert "\x1b[31m" not in shown


def test_none_found_is_not_called_safe(run: Callable[..., Any], samples: Path) -> None:
    done = run("inspect", samples / "tf1_linear")
    assert "none by the rules for TensorFlow 2.21.0" in done.out
    assert "safe" not in done.out.lower()
