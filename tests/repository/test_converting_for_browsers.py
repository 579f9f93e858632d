"""A version becomes a TensorFlow.js model: compared in Node before anybody gets it, and here in a real browser, too."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelrepo import Repository
from modelrepo.errors import ModelError, RequestError

pytestmark = pytest.mark.tensorflow

FLOAT, HALF = 1e-4, 5e-3
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def _node(monkeypatch: pytest.MonkeyPatch, node_modules: Path) -> None:
    """Node finds TensorFlow.js."""
    monkeypatch.setenv("NODE_PATH", str(node_modules))


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize(
    "name",
    ["dense", "saved", "pictures", "several", "recurrent", "attention", "ranked", "transformer", "fast", "speaking"],
)
def test_what_comes_out_answers_in_node_as_the_version_does(
    models: Repository, named: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    done = models.convert(named(name), "tfjs", output=tmp_path / "web")
    assert max(done.compared.differences.values()) <= FLOAT
    assert done.tools.keys() == {"tensorflow", "@tensorflow/tfjs", "node"}
    assert sorted(os.listdir(tmp_path / "web")) == [file.path for file in done.files]
    model = json.loads((tmp_path / "web" / "model.json").read_text())
    assert model["format"] == "graph-model"
    assert model["signature"]["outputs"].keys() == done.compared.differences.keys()
    assert {node["op"] for node in model["modelTopology"]["node"]}.isdisjoint({"VarHandleOp", "ReadVariableOp", "NoOp"})


@pytest.mark.usefixtures("_node")
def test_weights_of_sixteen_bits_halve_it_within_their_tolerance(
    models: Repository, named: Callable[[str], str]
) -> None:
    plain, done = (models.convert(named("dense"), "tfjs", keep=True, quantize=each) for each in ("none", "float16"))
    weights = [sum(file.size for file in each.files if file.path.endswith(".bin")) for each in (plain, done)]
    assert weights[1] < 0.6 * weights[0]
    assert 0 < max(done.compared.differences.values()) <= HALF
    assert models.verify([named("dense")]).ok


@pytest.mark.usefixtures("_node")
def test_large_weights_come_in_pieces_of_four_mebibytes(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "kept = tf.Module()\n"
        "kept.weight = tf.Variable(np.random.default_rng(1).normal(size=(1500, 1500)).astype('float32'))\n"
        "kept.serve = tf.function(lambda x: {'y': x @ kept.weight},\n"
        "    input_signature=[tf.TensorSpec([None, 1500], tf.float32, name='x')])\n"
        "tf.saved_model.save(kept, sys.argv[1], signatures={'serving_default': kept.serve})\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "large")]
    subprocess.run(words, check=True, capture_output=True, timeout=300)
    repository = Repository(tmp_path / "models")
    repository.init()
    repository.push(tmp_path / "large", load=False)
    repository.convert("v1", "tfjs", output=tmp_path / "web")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "web").glob("*.bin")}
    assert sorted(sizes) == [f"group1-shard{number}of3.bin" for number in (1, 2, 3)]
    assert sorted(sizes.values())[1:] == [4 * 1024**2] * 2


@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("special", {}, "convert-unsupported"),
        ("chance", {}, "convert-mismatch"),
        ("dense", {"tolerance": 0.0}, "convert-mismatch"),
    ],
)
def test_what_a_browser_could_not_answer_is_refused_and_nothing_is_stored(
    models: Repository, named: Callable[[str], str], tmp_path: Path, name: str, options: Any, kind: str
) -> None:
    with pytest.raises(ModelError) as caught:
        models.convert(named(name), "tfjs", output=tmp_path / "web", keep=True, **options)
    assert caught.value.kind == kind
    assert os.listdir(tmp_path) == []
    assert models.show(named(name)).derived == () or name == "dense"


def test_what_tensorflow_js_does_not_have_is_told_before_anything_is_done(models: Repository, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        models.convert("v1", "tfjs", output=tmp_path / "web", quantize="dynamic")
    assert (caught.value.kind, caught.value.expected) == ("options-exclude", "--quantize none, float16")


def test_where_node_is_missing_it_is_named(
    models: Repository, named: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match="Node, which runs what comes out, is not installed here") as caught:
        models.convert(named("dense"), "tfjs", keep=True)
    assert caught.value.kind == "converter-missing"


def _program(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("""echo '{"kind": "missing", "error": "Cannot find module"}'""", "converter-missing", "@tensorflow/tfjs"),
        ("kill -SEGV $$", "convert-run", "Node ended without an answer"),
        ("echo rubbish", "convert-run", "Node ended without an answer"),
    ],
)
def test_what_node_says_instead_of_an_answer_is_told(
    models: Repository,
    named: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    kind: str,
    says: str,
) -> None:
    _program(tmp_path / "node", text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ModelError, match=says) as caught:
        models.convert(named("dense"), "tfjs", keep=True)
    assert caught.value.kind == kind


PAGE = """<!doctype html><meta charset="utf-8"><script src="/tf.js"></script><script>
(async () => {
  const asked = await (await fetch('/asked')).json();
  const answer = {};
  try {
    await tf.setBackend('cpu');
    const model = await tf.loadGraphModel('/model/model.json');
    const inputs = {};
    for (const [key, given] of Object.entries(asked)) {
      inputs[model.modelSignature.inputs[key].name] = tf.tensor(given.values, given.shape, given.dtype);
    }
    const named = Object.entries(model.modelSignature.outputs);
    const got = await model.executeAsync(inputs, named.map(([, info]) => info.name));
    const list = Array.isArray(got) ? got : [got];
    named.forEach(([key], index) => { answer[key] = list[index].arraySync(); });
  } catch (error) {
    answer.error = String(error);
  }
  await fetch('/answer', {method: 'POST', body: JSON.stringify(answer)});
})();
</script>"""


@contextlib.contextmanager
def served(model: Path, node_modules: Path, asked: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A server on this host alone, with a page that asks the model; its address, and what waits for the answer."""
    answers: list[Any] = []
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plain = {"/": PAGE.encode(), "/asked": json.dumps(asked).encode()}
            files = {f"/model/{path.name}": path for path in model.iterdir()}
            files["/tf.js"] = node_modules / "@tensorflow" / "tfjs" / "dist" / "tf.min.js"
            data = plain.get(self.path) or (files[self.path].read_bytes() if self.path in files else None)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "application/octet-stream")
            self.end_headers()
            self.wfile.write(data or b"")

        def do_POST(self) -> None:
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            done.set()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def answer() -> Any:
            assert done.wait(90), "the browser has not answered"
            return answers[0]

        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", answer
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.usefixtures("_node")
@pytest.mark.parametrize(
    ("name", "quantize", "most"),
    [("several", "none", FLOAT), ("recurrent", "none", FLOAT), ("dense", "float16", HALF)],
)
def test_a_browser_loads_it_and_answers_as_the_version_does(
    models: Repository,
    named: Callable[[str], str],
    tmp_path: Path,
    node_modules: Path,
    name: str,
    quantize: Any,
    most: float,
) -> None:
    given: dict[str, Any] = {
        "several": {"price": np.array([[1, -2, 3, 0.5]]), "kind": np.array([[1, 4, 0]])},
        "recurrent": {"words": np.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])},
        "dense": {"image": np.linspace(-1, 1, 48).reshape(3, 16)},
    }[name]
    models.convert(named(name), "tfjs", output=tmp_path / "web", quantize=quantize)
    right = models.predict(named(name), {key: array.tolist() for key, array in given.items()}).outputs
    asked = {
        key: {
            "values": array.ravel().tolist(),
            "shape": list(array.shape),
            "dtype": "int32" if array.dtype.kind == "i" else "float32",
        }
        for key, array in given.items()
    }
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    with served(tmp_path / "web", node_modules, asked) as (address, answer):
        words = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", address]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            try:
                got = answer()
            finally:
                browser.terminate()
    assert got.keys() == right.keys(), got
    for key, value in right.items():
        want, have = np.array(value, float), np.array(got[key], float)
        assert want.shape == have.shape
        assert np.max(np.abs(want - have)) / np.max(np.abs(want)) <= most
