"""SavedModels that can be converted, and some that cannot: `python convertible_models.py DIR`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers
NUMBERS = tf.TensorSpec([None, 4], tf.float32, name="x")


def dense() -> Any:
    return keras.Sequential(
        [keras.Input((16,), name="image"), layers.Dense(128, activation="relu"), layers.Dense(5, activation="softmax")]
    )


def pictures() -> Any:
    image = keras.Input((None, None, 3), name="picture")
    kept = layers.BatchNormalization()(layers.Conv2D(4, 5, strides=2, activation="relu")(image))
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(kept))))


def transformer() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(3)(layers.Dense(8, activation="gelu")(x)))


def several() -> Any:
    one, two = keras.Input((4,), name="price"), keras.Input((3,), dtype="int64", name="kind")
    return keras.Model([one, two], [layers.Dense(2)(one), layers.Flatten()(layers.Embedding(5, 2)(two))])


def recurrent() -> Any:
    words = keras.Input((None,), dtype="int32", name="words")
    return keras.Model(words, layers.Dense(3)(layers.LSTM(6)(layers.Embedding(20, 4)(words))))


def attention() -> Any:
    x = keras.Input((6, 8), name="x")
    return keras.Model(x, layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x)))


KERAS = (dense, pictures, transformer, several, recurrent, attention)


def ranked(kept: Any, x: Any) -> Any:
    scores = x @ kept.weight
    return {"best": tf.argmax(scores, 1), "any": tf.reduce_any(scores > 2.0, 1), "half": tf.cast(scores, tf.float16)}


def never(_: Any, x: Any) -> Any:
    return {"y": x / 0.0 * 0.0}


def counting(kept: Any, x: Any) -> Any:
    return {"y": x + kept.count.assign_add(1.0)}


def special(_: Any, x: Any) -> Any:
    return {"y": tf.math.igamma(tf.abs(x) + 1.0, tf.abs(x))}


def chance(_: Any, x: Any) -> Any:
    return {"y": x + tf.random.normal(tf.shape(x))}


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _compiled(x: Any) -> Any:
    return tf.nn.relu(x) + 1.0


def fast(_: Any, x: Any) -> Any:
    """Calls what is to be compiled."""
    return {"y": _compiled(x)}


def speaking(_: Any, x: Any) -> Any:
    with tf.control_dependencies([tf.print("said by a model")]):
        return {"y": x * 2.0}


def picky(_: Any, x: Any) -> Any:
    """Takes 11 values a row, and does not say so."""
    return {"y": tf.reshape(x, [-1, 11]) * 2.0}


def spoken(_: Any, said: Any) -> Any:
    return {"y": tf.strings.length(said)}


FUNCTIONS: tuple[tuple[Callable[..., Any], Any], ...] = (
    (ranked, NUMBERS),
    (never, NUMBERS),
    (counting, NUMBERS),
    (special, NUMBERS),
    (chance, NUMBERS),
    (fast, NUMBERS),
    (speaking, NUMBERS),
    (picky, tf.TensorSpec([None, None], tf.float32, name="x")),
    (spoken, tf.TensorSpec([None], tf.string, name="said")),
)


def export(function: Callable[..., Any], spec: Any, place: Path) -> None:
    """Save a function as a module's one signature, with another beside it."""
    kept = tf.Module()
    kept.weight = tf.Variable(np.arange(12, dtype="float32").reshape(4, 3) / 7.0)
    kept.count = tf.Variable(0.0)
    kept.serve = tf.function(lambda given: function(kept, given), input_signature=[spec])
    kept.other = tf.function(lambda x: {"z": x @ kept.weight}, input_signature=[NUMBERS])
    tf.saved_model.save(kept, str(place), signatures={"serving_default": kept.serve, "other": kept.other})


def middle(place: Path) -> None:
    """Of TensorFlow 1: a signature that begins behind what reads texts, with an input that may be left out."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = tf.identity(v1.string_to_number(v1.placeholder(tf.string, [None], name="raw")), name="numbers")
        scale = v1.placeholder_with_default(tf.constant(2.0), [], name="scale")
        weight = v1.get_variable("weight", initializer=3.0, use_resource=False)
        y = tf.identity(x * weight * scale, name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(place), {"x": x, "scale": scale}, {"y": y, "again": x})


def main() -> None:
    """Save them all, and one in the ways that Keras 3 leaves variables unfilled."""
    place = Path(sys.argv[1])
    for make in KERAS:
        keras.utils.set_random_seed(1)
        make().export(str(place / make.__name__), verbose=False)
    keras.utils.set_random_seed(1)
    model = dense()
    tf.saved_model.save(model, str(place / "saved"))
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 16)), np.zeros((4, 5)), verbose=0)
    tf.saved_model.save(model, str(place / "compiled"))
    middle(place / "middle")
    for function, spec in FUNCTIONS:
        export(function, spec, place / function.__name__)


if __name__ == "__main__":
    main()
