"""A Keras model becomes a version: exported in a process of its own, and compared with what Keras answers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.core.training import Training
from modelrepo.errors import ModelError, RequestError, SourceError
from modelrepo.repository import from_keras

pytestmark = pytest.mark.tensorflow

SCRIPT = Path(__file__).parents[1] / "savedmodel" / "keras_models.py"
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def python(*words: object) -> str:
    """Run Python; what it says."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keras files of many kinds."""
    place = tmp_path_factory.mktemp("keras")
    python(SCRIPT, place)
    return place


#: Exports each in one process, as the child does, and asks TensorFlow what it exported.
MANY = """
import json, sys
sys.path.insert(0, sys.argv[2])
import keras, tensorflow as tf
from modelrepo.savedmodel import keras_export
own = tuple(f"keras_models:{name}" for name in ("Doubled", "Averaged", "Sub"))
wishes = keras_export.Wishes(batch=3, custom=own, unsafe=True)
told = {}
for name in sys.argv[3:]:
    model = keras_export.load(keras, f"{sys.argv[1]}/{name}.keras", wishes, sys.argv[2])
    said = keras_export.export(keras, tf, model, wishes, f"{sys.argv[1]}/{name}", "7")
    loaded = tf.saved_model.load(f"{sys.argv[1]}/{name}")
    told[name] = {"made_up": said["made_up"]}
    for key, run in loaded.signatures.items():
        specs = run.structured_input_signature[1].values()
        takes = {each.name: [each.shape.as_list(), each.dtype.name] for each in specs}
        told[name][key] = [takes, sorted(run.structured_outputs)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def exported(files: Path) -> Any:
    """What the exports of all kinds take and give."""
    names = [path.stem for path in sorted(files.glob("*.keras"))]
    return json.loads(python("-c", MANY, files, SCRIPT.parent, *names))


def test_inputs_are_called_as_the_model_calls_them(exported: Any) -> None:
    takes = {
        name: {key: kind for key, (_, kind) in said["serving_default"][0].items()} for name, said in exported.items()
    }
    assert takes == {
        "sequential": {"image": "float32"},
        "several": {"price": "float32", "kind": "int64"},
        "by_key": {"left": "float32", "right": "float32"},
        "text": {"said": "string"},
        "any_size": {"picture": "float32"},
        "unnamed": {"input_layer": "float32"},
        "custom": {"x": "float32"},
        "averaged": {"x": "float32"},
        "subclassed": {"inputs": "float32"},
        "with_code": {"x": "float32"},
    }
    assert [name for name, said in exported.items() if said["made_up"]] == ["unnamed"]


def test_batches_are_of_any_size_and_beside_it_of_a_fixed_one(exported: Any) -> None:
    for said in exported.values():
        for key, (shape, _) in said["serving_default"][0].items():
            assert shape[0] is None
            assert said["predict_batch"][0][key][0] == [3, *shape[1:]]
    assert exported["by_key"]["serving_default"][1] == ["both"]
    assert exported["several"]["serving_default"][1] == ["output_0", "output_1"]


@pytest.mark.parametrize("name", ["sequential.keras", "sequential.h5"])
def test_a_file_becomes_a_version_that_says_where_it_came_from(repository: Repository, files: Path, name: str) -> None:
    pushed = repository.push(files / name, batch_size=4)
    assert pushed.load == "passed"
    assert sorted(pushed.signatures or {}) == ["predict_batch", "serving_default"]
    manifest = repository.show(pushed.version)
    assert manifest.source.path == str(files / name)
    assert manifest.keras is not None
    digest = subprocess.run(["sha256sum", files / name], check=True, capture_output=True, text=True).stdout.split()[0]
    assert (manifest.keras.file, manifest.keras.digest) == (name, f"sha256:{digest}")
    assert not manifest.keras.kept
    assert not manifest.keras.unsafe_deserialization
    again = repository.push(files / name, batch_size=4)
    assert again.version == pushed.version  # the same model gives the same bytes


def test_what_the_export_answers_otherwise_is_not_stored(
    repository: Repository, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(from_keras.Source):
        def __init__(self, *arguments: Any) -> None:
            directory, place, facts, answers, *more = arguments
            document = json.loads(answers)
            document["requests"][0]["outputs"]["output_0"][0][0] += 0.5
            super().__init__(directory, place, facts, json.dumps(document).encode(), *more)

    monkeypatch.setattr(from_keras, "Source", Wrong)
    with pytest.raises(ModelError, match=r"the export does not answer as Keras does: request 1 .* differs by 0\.5"):
        repository.push(files / "sequential.keras")
    assert repository.list() == ()


def test_a_class_that_keras_does_not_know_is_named_and_can_be_said(
    repository: Repository, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SCRIPT.parent)  # where the module lies
    with pytest.raises(ModelError, match="needs `Doubled`") as caught:
        repository.push(files / "custom.keras")
    assert caught.value.kind == "keras-custom"
    assert "--custom-objects" in str(caught.value.hint)
    with pytest.raises(RequestError, match="keras_models:Tripled cannot be imported"):
        repository.push(files / "custom.keras", custom_objects=["keras_models:Tripled"])
    pushed = repository.push(files / "custom.keras", custom_objects=["keras_models:Doubled"])
    assert repository.show(pushed.version).keras.custom_objects == ("keras_models:Doubled",)  # type: ignore[union-attr]


def test_what_only_training_needs_is_told_and_left_out_on_request(
    repository: Repository, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SCRIPT.parent)
    custom = ["keras_models:Averaged"]
    whole = repository.push(files / "averaged.keras", custom_objects=custom)
    assert any("only training needs 2 variables of 8.0 kB" in warning for warning in whole.warnings)
    stripped = repository.push(files / "averaged.keras", custom_objects=custom, strip=True)
    assert stripped.warnings == ()
    assert repository.show(stripped.version).training == Training()
    assert whole.size - stripped.size > 8000
    with pytest.raises(RequestError, match="is no Keras file"):
        repository.push(files, strip=True)


def test_code_in_a_file_is_run_only_where_somebody_says_so(repository: Repository, files: Path) -> None:
    with pytest.raises(ModelError, match="brings code of its own") as caught:
        repository.push(files / "with_code.keras")
    assert caught.value.kind == "keras-unsafe"
    pushed = repository.push(files / "with_code.keras", unsafe_deserialization=True, keep_source=True)
    keras = repository.show(pushed.version).keras
    assert keras is not None
    assert keras.unsafe_deserialization
    assert keras.kept
    kept = repository.root / str(pushed.version) / "assets.extra" / "with_code.keras"
    assert kept.read_bytes() == (files / "with_code.keras").read_bytes()


def test_a_function_of_the_users_says_what_is_served(repository: Repository, files: Path) -> None:
    pushed = repository.push(files / "sequential.keras", serving=f"{SCRIPT}:serve")
    assert {name: sorted(each.inputs) for name, each in (pushed.signatures or {}).items()} == {
        "serving_default": ["raw"],
        "plain": ["x"],
    }
    with pytest.raises(RequestError, match="failed: AttributeError"):
        repository.push(files / "sequential.keras", serving=f"{SCRIPT}:missing")
    with pytest.raises(RequestError, match="without an input_signature"):
        repository.push(files / "sequential.keras", serving=f"{SCRIPT}:itself")


LIVE = """
import sys
sys.path.insert(0, sys.argv[2])
import keras_models
from modelrepo import Repository
repository = Repository(sys.argv[1])
repository.init()
pushed = repository.push(keras_models.custom(), batch_size=2)
print(pushed.version, sorted(pushed.signatures), repository.show("v1").keras.file, sep=";")
try:
    repository.push(keras_models.custom(), load=False)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_live_model_is_pushed_as_it_is_with_its_own_classes(tmp_path: Path) -> None:
    said = python("-c", LIVE, tmp_path / "live", SCRIPT.parent).splitlines()
    assert said[0] == "v1;['predict_batch', 'serving_default'];None"
    assert said[1].startswith("RequestError a Keras model is loaded to be exported")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("garbage.keras", b"PK\x03\x04garbage", "Keras cannot read it"),
        ("garbage.h5", b"\x89HDF\r\n\x1a\ngarbage", "Keras cannot read it"),
        ("empty.h5", b"", "it does not begin like one"),
        ("text.keras", b"model", "it does not begin like one"),
    ],
)
def test_what_is_no_keras_file_is_a_source_error(
    repository: Repository, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=said) as caught:
        repository.push(tmp_path / name)
    assert caught.value.kind == "keras-unreadable"


def test_what_is_missing_or_asked_for_in_vain_is_said_before_anything_is_started(
    repository: Repository, tmp_path: Path, samples: Path
) -> None:
    with pytest.raises(SourceError, match=r"none\.keras does not exist"):
        repository.push(tmp_path / "none.keras")
    with pytest.raises(RequestError, match="is no Keras file"):
        repository.push(samples / "tf1_linear", batch_size=4)
    with pytest.raises(RequestError, match="neither a path nor a Keras model"):
        repository.push(dataclasses)
    (tmp_path / "x.keras").write_bytes(b"x")
    with pytest.raises(RequestError, match="--serving is malformed"):
        repository.push(tmp_path / "x.keras", serving="serve")
