"""What signatures use: what only training needs is found, and what nobody fills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.core.training import Training
from modelrepo.errors import ModelError
from modelrepo.savedmodel.report import SERVE
from modelrepo.savedmodel.runner import Inspector, default_memory
from modelrepo.savedmodel.trial import Trial

pytestmark = pytest.mark.tensorflow
#: A dense layer's kernel and bias, as floats.
WEIGHTS = (40 * 300 + 300) * 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model saved whole and exported, and one with a signature that trains."""
    place = tmp_path_factory.mktemp("training")
    script = Path(__file__).with_name("training_models.py")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, "-W", "ignore", str(script), str(place)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return place


def found(model: Path) -> Training | None:
    with Inspector(memory=default_memory(0)) as inspector:
        return inspector.read(model).served.training


def test_an_optimizers_slots_are_counted_and_an_export_for_serving_has_none(models: Path) -> None:
    saved = found(models / "saved")
    assert saved is not None
    assert saved.signatures == ()
    assert 2 * WEIGHTS <= saved.size < 2 * WEIGHTS + 100  # Adam keeps two numbers for each weight, and two of its own
    assert found(models / "exported") == Training()


def test_a_signature_that_moves_the_weights_is_known_and_uses_nothing_for_others(models: Path) -> None:
    assert found(models / "trainable") == Training(signatures=("train",), variables=1, size=400)


def test_signatures_that_read_what_nobody_fills_are_known_and_do_fail(models: Path) -> None:
    """Keras 3 and `tf.saved_model.save`: the checkpoint fills other variables than those that the signature reads."""
    for name, unfilled in (("saved", ("serving_default",)), ("exported", ()), ("trainable", ())):
        with Inspector(memory=default_memory(0)) as inspector:
            report = inspector.read(models / name)
            assert report.served.unfilled == unfilled
            if unfilled:
                with pytest.raises(ModelError, match="Could not find variable"):
                    inspector.load(models / name, SERVE, Trial(smoke=True))
            else:
                inspector.load(models / name, SERVE, Trial(smoke=True))


def test_the_samples_carry_nothing_of_that_kind(samples: Path) -> None:
    for model in sorted(samples.glob("*/saved_model.pb")):
        with Inspector(memory=default_memory(0)) as inspector:
            served = inspector.read(model.parent).served
        assert served.training is not None
        assert served.training.size < 100
        assert served.unfilled == ()


def test_a_push_says_what_it_costs(repository: Repository, models: Path) -> None:
    warned = repository.push(models / "saved", load=False).warnings
    assert any("only training needs" in each and "98.4 kB" in each for each in warned)
    assert any(each.startswith("serving_default: reads variables that neither") for each in warned)
    assert repository.push(models / "exported", load=False).warnings == ()
    training = repository.show("v1").training
    assert training is not None
    assert training.size > 2 * WEIGHTS - 1
