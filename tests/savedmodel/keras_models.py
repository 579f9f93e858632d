"""Keras models of many kinds, saved: `python keras_models.py DIR`. What they need of their own is here, too."""

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

layers = keras.layers


class Doubled(keras.layers.Layer):  # type: ignore[misc]
    """A layer that Keras does not know."""

    def call(self, given: Any) -> Any:
        return given * 2.0


class Averaged(keras.layers.Layer):  # type: ignore[misc]
    """Weights, and what training keeps of their average, which no answer needs."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 50))
        self.average = self.add_weight(shape=(shape[-1], 50), trainable=False)

    def call(self, given: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 - Keras calls it so
        if training:
            self.average.assign(0.99 * self.average + 0.01 * self.kernel)
        return given @ self.kernel


class Sub(keras.Model):  # type: ignore[misc]
    """A subclassed model."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.dense = layers.Dense(2)

    def call(self, given: Any) -> Any:
        return {"sum": self.dense(given)}


def sequential() -> Any:
    model = keras.Sequential([keras.Input((6,), name="image"), layers.Dense(4, activation="relu"), layers.Dropout(0.5)])
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 6)), np.zeros((4, 4)), verbose=0)
    return model


def several() -> Any:
    one, two = keras.Input((4,), name="price"), keras.Input((3,), dtype="int64", name="kind")
    return keras.Model([one, two], [layers.Dense(2)(one), layers.Flatten()(layers.Embedding(5, 2)(two))])


def by_key() -> Any:
    one, two = keras.Input((4,), name="zz"), keras.Input((3,), name="aa")
    return keras.Model({"left": one, "right": two}, {"both": layers.Concatenate()([one, two])})


def text() -> Any:
    words = layers.TextVectorization(output_sequence_length=4)
    words.adapt(["the cat", "a dog"])
    said = keras.Input((1,), dtype="string", name="said")
    return keras.Model(said, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 3)(words(said)))))


def any_size() -> Any:
    image = keras.Input((None, None, 3), name="picture")
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 9, strides=4)(image)))


def unnamed() -> Any:
    return keras.Sequential([keras.Input((2,)), layers.Normalization(mean=0.5, variance=2.0)])


def custom() -> Any:
    return keras.Sequential([keras.Input((3,), name="x"), Doubled()])


def averaged() -> Any:
    return keras.Sequential([keras.Input((40,), name="x"), Averaged(), layers.Dropout(0.5)])


def subclassed() -> Any:
    model = Sub()
    model(np.zeros((1, 4), "float32"))
    return model


def with_code() -> Any:
    return keras.Sequential([keras.Input((2,), name="x"), layers.Lambda(lambda given: given + 1)])


def serve(model: Any) -> Any:
    """Two signatures that somebody wrote himself: bytes in, and the plain one."""
    size = model.inputs[0].shape[1]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="raw")])  # type: ignore[untyped-decorator]
    def from_bytes(raw: Any) -> Any:
        numbers = tf.cast(tf.strings.length(raw), tf.float32)
        return {"answer": model(tf.tile(numbers[:, None], [1, size]), training=False)}

    @tf.function(input_signature=[tf.TensorSpec([None, size], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def plain(x: Any) -> Any:
        return {"answer": model(x, training=False)}

    return {"serving_default": from_bytes, "plain": plain}


def itself(model: Any) -> Any:
    """Nothing that could be served."""
    return model


MODELS = (sequential, several, by_key, text, any_size, unnamed, custom, averaged, subclassed, with_code)


def main() -> None:
    """Save them all, and one in the older format."""
    place = Path(sys.argv[1])
    for make in MODELS:
        make().save(place / f"{make.__name__}.keras")
    sequential().save(place / "sequential.h5")


if __name__ == "__main__":
    main()
