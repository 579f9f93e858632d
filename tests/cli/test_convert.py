"""`convert` through the real program: what it prints, and how it ends where something is missing or broken."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def root(tmp_path: Path, samples: Path) -> Path:
    """A repository with a classifier."""
    repository = Repository(tmp_path / "ranker")
    repository.init()
    repository.push(samples / "classifier_v1", load=False)
    return repository.root


def test_it_says_what_was_made_how_far_it_is_off_and_where_it_is(
    run: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    done = run("-r", root, "convert", "v1", "--to", "tflite", "--output", "digits.tflite", "--keep", "--seed", 3)
    assert (done.code, done.err) == (0, "")
    first, answers, tools, at, kept = done.out.splitlines()
    assert first.startswith("converted v1 (serving_default) to tflite: 1 file, ")
    assert answers.startswith("  answers 4 made-up requests (seed 3) as the version does, off by at most ")
    assert tools.startswith("  by tensorflow ")
    assert at == f"  at {tmp_path / 'digits.tflite'}"
    assert kept.startswith(f"  kept: {root}/.modelrepo/derived/v1/tflite-")
    assert "derived:\n  tflite-" in run("-r", root, "show", "v1").out
    assert run("-q", "-r", root, "convert", "v1", "--to", "tflite", "--keep").out == "v1\n"
    assert "was kept already" in run("-r", root, "convert", "v1", "--to", "tflite", "--keep").out
    done = run("-r", root, "convert", "v1", "--to", "tflite", "--output", "digits.tflite")
    assert done.code == 4
    assert "nothing was overwritten" in done.err


def stub(place: Path, text: str) -> dict[str, str]:
    """An environment in which LiteRT is something else."""
    package = place / "stubs" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(place / "stubs"), os.environ.get("PYTHONPATH"))))}


ANSWERING = """
import numpy
class Interpreter:
    def __init__(self, **_): pass
    def get_signature_runner(self, _):
        return lambda image: {"probabilities": numpy.full((len(image), 10), %s, "float32")}
"""


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("raise ImportError('not here')", "converter-missing", "pip install 'modelrepo[tflite]'"),
        ("import os\nclass Interpreter:\n    def __init__(self, **_): os.abort()", "model-crash", "SIGABRT"),
        ("class Interpreter:\n    def __init__(self, **_): raise RuntimeError('no')", "convert-run", "no"),
        ("import time\nclass Interpreter:\n    def __init__(self, **_): time.sleep(99)", "model-timeout", "too long"),
        (ANSWERING % "0.5", "convert-mismatch", "answers otherwise than the version"),
        (ANSWERING % "numpy.nan", "convert-mismatch", "in shape, NaN or infinity"),
    ],
)
def test_where_what_converts_or_runs_is_missing_or_broken_nothing_is_stored(
    run: Callable[..., Any], root: Path, tmp_path: Path, text: str, kind: str, says: str
) -> None:
    words = ["convert", "v1", "--to", "tflite", "--output", "digits.tflite", "--keep", "--json"]
    limits = ["--load-timeout", "20s"] if kind == "model-timeout" else []
    done = run("-r", root, *words, *limits, env=stub(tmp_path, text))
    assert done.code == 6, done.err
    error = done.json["error"]
    assert error["kind"] == kind
    assert says in json.dumps(error)
    assert not (tmp_path / "digits.tflite").exists()
    assert not (root / ".modelrepo" / "derived").exists()
    assert os.listdir(root / ".modelrepo" / "staging") == []


def test_too_little_memory_ends_it_too(run: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    limits = ["--load-memory", "300MiB", "--load-timeout", "30s"]
    done = run("-r", root, "convert", "v1", "--to", "tflite", "--output", "digits.tflite", *limits, "--json")
    assert done.code == 6
    kinds = {"model-crash", "model-memory", "tensorflow-missing", "model-unloadable", "converter-missing"}
    assert done.json["error"]["kind"] in kinds | {"model-timeout"}  # without room for a thread TensorFlow may hang
    assert not (tmp_path / "digits.tflite").exists()
