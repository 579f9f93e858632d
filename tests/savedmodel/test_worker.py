"""The inspector's child, spoken to directly: JSON lines in, JSON lines out."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelrepo.savedmodel import child
from modelrepo.savedmodel.runner import Inspector, default_memory


def limits(**changes: int) -> str:
    return json.dumps({"memory": 1 << 32, "parent": os.getpid(), "scratch": tempfile.gettempdir(), **changes})


class Worker:
    """A child process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, **request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A fresh child."""
    with subprocess.Popen(
        [sys.executable, "-m", "modelrepo.savedmodel.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(f"{limits()}\n")
        yield Worker(process)
        process.kill()


def test_it_answers_in_order_and_ends_with_its_input(worker: Worker, samples: Path) -> None:
    first = worker.ask(do="read", path=str(samples / "tf1_linear"))
    second = worker.ask(do="read", path=str(samples / "vocabulary"))
    assert list(first["ok"]["meta_graphs"][0]["signatures"]["serving_default"]["inputs"]) == ["x"]
    assert list(second["ok"]["meta_graphs"][0]["signatures"]["serving_default"]["inputs"]) == ["tokens"]
    assert worker.end() == 0


def test_tensorflows_own_signature_is_hidden(worker: Worker, samples: Path) -> None:
    answer = worker.ask(do="read", path=str(samples / "classifier_v1"))
    assert b"__saved_model_init_op" in (samples / "classifier_v1" / "saved_model.pb").read_bytes()
    assert sorted(answer["ok"]["meta_graphs"][0]["signatures"]) == ["predict_batch", "serving_default"]


@pytest.mark.parametrize("request_", [{"do": "explode"}, {}, {"do": "read"}, {"do": []}])
def test_a_request_that_it_does_not_understand_is_answered_and_ends_nothing(
    worker: Worker, samples: Path, request_: dict[str, Any]
) -> None:
    assert worker.ask(**request_)["kind"] == "model-unloadable"
    assert "ok" in worker.ask(do="read", path=str(samples / "tf1_linear"))


@pytest.mark.parametrize("step", ["look", "judge"])
def test_an_error_that_nobody_foresaw_is_no_models_fault_where_none_is_loaded(
    worker: Worker, tmp_path: Path, step: str
) -> None:
    """The requests lack what modelrepo itself should have said."""
    answer = worker.ask(do="compare", step=step)
    assert (answer["kind"], "KeyError" in answer["error"]) == ("unexpected", True)
    assert worker.ask(do="requests")["kind"] == "unexpected"
    gone = worker.ask(do="requests", path=str(tmp_path / "gone"))
    assert (gone["errno"], gone["file"]) == (errno.ENOENT, str(tmp_path / "gone"))
    assert worker.ask(do="compare", step="explode")["kind"] == "model-unloadable"


@pytest.mark.tensorflow
def test_a_read_leaves_the_real_import_of_tensorflow_possible(worker: Worker, samples: Path) -> None:
    """The protocol buffers are borrowed from the package without importing it."""
    before = worker.ask(do="read", path=str(samples / "classifier_v1"))
    assert "libtensorflow" not in Path(f"/proc/{worker.process.pid}/maps").read_text()
    assert worker.ask(do="warm")["ok"]["tensorflow_version"]
    assert worker.ask(do="read", path=str(samples / "classifier_v1")) == before
    loaded = worker.ask(do="load", path=str(samples / "classifier_v1"), tags=["serve"])
    assert loaded["ok"]["seconds"] > 0


def test_a_child_whose_parent_died_before_it_could_be_watched_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelrepo.savedmodel.worker"],
        check=False,
        input=limits(parent=1 if os.getpid() != 1 else 2).encode() + b"\n",
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 1


def test_a_child_that_nobody_needs_ends_with_its_input_or_with_its_parent() -> None:
    words = [sys.executable, "-m", "modelrepo.savedmodel.worker"]
    done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    script = "import sys; from modelrepo.savedmodel import child; child.start(); print(child._waiting[0].pid)"
    for end in ("", "; sys.stdout.flush(); import os; os.kill(os.getpid(), 9)"):
        said = subprocess.run(
            [sys.executable, "-c", script + end], check=False, capture_output=True, text=True, timeout=20
        )
        deadline = time.monotonic() + 10
        while lives(int(said.stdout)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def lives(process: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_who_asks_gets_the_child_that_waits_already(samples: Path) -> None:
    child.start()
    waiting = child._waiting[0]
    with Inspector(memory=default_memory(0)) as one, Inspector(memory=default_memory(0)) as other:
        assert one._child is waiting
        assert other._child is not waiting
        assert one.read(samples / "tf1_linear") == other.read(samples / "tf1_linear")
    assert child._waiting == []


def test_what_the_child_prints_itself_goes_to_standard_error() -> None:
    script = """
import os, sys
from modelrepo.savedmodel import worker
answers = worker._take_output()
print("noise")
sys.stdout.flush()
os.write(1, b"more noise")
answers.write("answer")
answers.flush()
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=20)
    assert done.stdout == "answer"
    assert done.stderr == "noise\nmore noise"


def test_no_gpu_is_seen_and_the_users_log_level_is_kept() -> None:
    script = """
import os
from modelrepo.savedmodel import cage
cage.enter(memory=1 << 32, scratch="/tmp")
print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ["TF_CPP_MIN_LOG_LEVEL"], os.nice(0))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.stdout == "-1 3 10\n"
