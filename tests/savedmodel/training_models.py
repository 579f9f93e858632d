"""Models that carry what only training needs: `python training_models.py DIR`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

SPEC = tf.TensorSpec([None, 10], tf.float32, name="x")


def trained(place: Path) -> None:
    """A compiled Keras model, saved in the way that keeps its optimizer."""
    model = keras.Sequential([keras.Input((40,), name="x"), keras.layers.Dense(300)])
    model.compile("adam", "mse")
    model.fit(np.zeros((8, 40)), np.zeros((8, 300)), verbose=0)
    tf.saved_model.save(model, str(place / "saved"))
    model.export(str(place / "exported"), verbose=False)


def trainable(place: Path) -> None:
    """A model that is trained through a signature, whose function calls the one that moves the weights."""
    kept = tf.Module()
    kept.weight, kept.slot = tf.Variable(tf.ones([10, 10])), tf.Variable(tf.zeros([10, 10]))

    @tf.function  # type: ignore[untyped-decorator]
    def move(loss: Any) -> Any:
        tf.raw_ops.ResourceApplyMomentum(
            var=kept.weight.handle, accum=kept.slot.handle, lr=0.1, grad=tf.ones([10, 10]) * loss, momentum=0.9
        )
        return loss

    kept.infer = tf.function(lambda x: {"y": x @ kept.weight}, input_signature=[SPEC])
    kept.train = tf.function(lambda x: {"loss": move(tf.reduce_sum(x @ kept.weight))}, input_signature=[SPEC])
    tf.saved_model.save(kept, str(place / "trainable"), signatures={"serving_default": kept.infer, "train": kept.train})


if __name__ == "__main__":
    trained(Path(sys.argv[1]))
    trainable(Path(sys.argv[1]))
