#!/usr/bin/env python3
"""Make the small SavedModels in sample_models/ from fixed seeds.

Run it as `python scripts/make_samples.py [--output DIR]`. It needs TensorFlow with Keras, but no network and no GPU.
sample_models/README.md says what each model is; it is written by hand and this script leaves it alone.

All models are made and checked in a hidden directory inside DIR and renamed at the end, so a model's directory is
complete or absent (a killed run may leave the hidden one). An older model is replaced, anything else is left alone.

The same seeds give the same weights on the same machine. The bytes of saved_model.pb may differ between TensorFlow
versions, which write their version, their operator definitions and their own node names into it. Measured with
TensorFlow 2.21 and Keras 3.15: runs on one machine, to different directories, gave byte-identical files. Left alone,
TensorFlow orders variables by memory address (see `export_classifier`), names a table after the path of its file (see
`export_vocabulary`) and draws a random UUID (see `settle`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any, TypeAlias

# TensorFlow reads these when it is imported. GPU and oneDNN kernels may round otherwise than the plain ones.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # without a GPU it logs errors that mean nothing here

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

SEED = 20240517
SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10
BATCH = 32
TRAIN_IMAGES = 2000
TEST_IMAGES = 2000
V1_EPOCHS = 1
V2_MORE_EPOCHS = 11
MAX_TOTAL_BYTES = 1_000_000
WORDS = ("the", "of", "and", "model", "version", "serve", "tensor", "graph", "input", "output", "naïve", "数字")

ROOT = Path(__file__).resolve().parent.parent

Images: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]
# TensorFlow and Keras have no types.
KerasModel: TypeAlias = Any
Tensor: TypeAlias = Any


def draw_images(rng: np.random.Generator, prototypes: Images, count: int) -> tuple[Images, Labels]:
    """Draw noisy, shifted copies of the prototypes.

    Args:
        rng: The source of all randomness.
        prototypes: One image per class, shape [CLASSES, SIDE, SIDE].
        count: How many images to draw.

    Returns:
        The flat images, with values from 0 to 1, and the class of each.
    """
    labels = rng.integers(CLASSES, size=count)
    images: Images = np.empty((count, PIXELS), np.float32)
    for row, label in enumerate(labels):
        # Shifts, faint ink and noise make one epoch too little.
        shifted = np.roll(prototypes[label], tuple(rng.integers(-3, 4, size=2)), axis=(0, 1))
        noisy = shifted * rng.uniform(0.4, 1.0) + rng.normal(0.0, 0.7, size=(SIDE, SIDE))
        images[row] = np.clip(noisy, 0.0, 1.0).ravel()
    return images, labels


def build_model(hidden: int) -> KerasModel:
    """Build a classifier, compiled for training.

    Args:
        hidden: The width of the hidden layer; 0 for a linear model.

    Returns:
        A model from [None, PIXELS] to [None, CLASSES].
    """
    layers = [keras.layers.Dense(hidden, activation="relu", name="hidden")] if hidden else []
    layers.append(keras.layers.Dense(CLASSES, activation="softmax", name="scores"))
    model = keras.Sequential([keras.Input((PIXELS,)), *layers], name="classifier")
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def export_classifier(model: KerasModel, directory: Path, input_key: str) -> None:
    """Write a classifier with the signatures `serving_default` and `predict_batch`.

    Args:
        model: The model.
        directory: Where to write; must not exist.
        input_key: The key of the input in both signatures.
    """

    def classify(images: Tensor) -> dict[str, Tensor]:
        return {"probabilities": model(images, training=False)}

    def classify_batch(images: Tensor) -> dict[str, Tensor]:
        probabilities = model(images, training=False)
        return {"probabilities": probabilities, "label": tf.argmax(probabilities, axis=1, output_type=tf.int64)}

    # Without archive.track(model) it saves each variable that the endpoints read once, and no optimizer slots.
    archive = keras.export.ExportArchive()
    for name, function, batch in (("serving_default", classify, None), ("predict_batch", classify_batch, BATCH)):
        spec = tf.TensorSpec((batch, PIXELS), tf.float32, name=input_key)
        graph = archive.add_endpoint(name, function, [spec]).get_concrete_function().graph
        # They come from a set ordered by memory address, and checkpoint keys are numbered in their order.
        graph.variables = sorted(graph.variables, key=lambda variable: str(variable.name))
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(str(directory), options=options, verbose=False)


def make_classifiers(staging: Path) -> None:
    """Train and write classifier_v1, classifier_v2 and renamed_input, and print their accuracies.

    Args:
        staging: The directory to write them into.
    """
    rng = np.random.default_rng(SEED)
    # Blocks of 4 by 4 pixels, so that a shifted copy still resembles its prototype.
    coarse = rng.integers(2, size=(CLASSES, SIDE // 4, SIDE // 4)).astype(np.float32)
    prototypes = np.kron(coarse, np.ones((1, 4, 4), np.float32))
    train_x, train_y = draw_images(rng, prototypes, TRAIN_IMAGES)
    test_x, test_y = draw_images(rng, prototypes, TEST_IMAGES)

    def train(name: str, model: KerasModel, epochs: int, input_key: str) -> None:
        model.fit(train_x, train_y, batch_size=BATCH, epochs=epochs, verbose=0)
        accuracy = model.evaluate(test_x, test_y, batch_size=BATCH, verbose=0, return_dict=True)["accuracy"]
        print(f"{name}: accuracy {accuracy:.4f} on {TEST_IMAGES} held-out images")
        export_classifier(model, staging / name, input_key)

    classifier = build_model(hidden=128)
    train("classifier_v1", classifier, V1_EPOCHS, "image")
    train("classifier_v2", classifier, V2_MORE_EPOCHS, "image")  # version 1, trained further
    # Only its signatures matter, so a linear model does, with a thirteenth of the weights.
    train("renamed_input", build_model(hidden=0), V1_EPOCHS, "pixels")


def export_vocabulary(staging: Path) -> None:
    """Write a model that maps tokens to ids, with its vocabulary as an asset.

    Args:
        staging: The directory to write it into.
    """
    (staging / "vocabulary.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    # TensorFlow names the table after the path it is given, so only a relative one keeps this machine's out.
    with contextlib.chdir(staging):
        kind = tf.lookup.TextFileIndex
        file = tf.lookup.TextFileInitializer("vocabulary.txt", tf.string, kind.WHOLE_LINE, tf.int64, kind.LINE_NUMBER)
        module = tf.Module()
        module.table = tf.lookup.StaticVocabularyTable(file, num_oov_buckets=1)
        spec = tf.TensorSpec((None,), tf.string, name="tokens")
        module.look_up = tf.function(lambda tokens: {"ids": module.table.lookup(tokens)}, input_signature=[spec])
        tf.saved_model.save(module, "vocabulary", signatures={"serving_default": module.look_up})


def export_tf1_linear(staging: Path) -> None:
    """Write a linear model as TensorFlow 1 did: a graph, a session, reference variables, no object graph.

    Args:
        staging: The directory to write it into.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        weights = v1.Variable([[0.5], [-1.0], [2.0]], name="weights", use_resource=False)
        bias = v1.Variable([0.25], name="bias", use_resource=False)
        y = tf.add(tf.matmul(x, weights), bias, name="y")
        session.run(v1.global_variables_initializer())
        signatures = {"serving_default": v1.saved_model.predict_signature_def(inputs={"x": x}, outputs={"y": y})}
        builder = v1.saved_model.Builder(str(staging / "tf1_linear"))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures, strip_default_attrs=True)
        builder.save()


def settle(directory: Path) -> None:
    """Take out of a SavedModel what differs from run to run or would not survive git.

    Args:
        directory: The SavedModel.
    """
    path = directory / "fingerprint.pb"
    if path.exists():  # the TensorFlow 1 builder writes none
        fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
        # The UUID is random, written as a decimal number. One made from the other fields is as good a name.
        content = f"{fingerprint.saved_model_checksum} {fingerprint.checkpoint_hash}"
        fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, content).int)
        path.write_bytes(fingerprint.SerializeToString(deterministic=True))
    assets = directory / "assets"
    if assets.is_dir() and not any(assets.iterdir()):
        assets.rmdir()  # git keeps no empty directories, and TensorFlow needs none


def main() -> None:
    """Make all samples, check them and put them in their place."""
    parser = argparse.ArgumentParser(description="Make the sample SavedModels.")
    parser.add_argument("--output", type=Path, default=ROOT / "sample_models", help="default: %(default)s")
    output = parser.parse_args().output.resolve()

    # One thread: a sum split among more may round otherwise.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(SEED)
    tf.get_logger().setLevel("ERROR")  # the TensorFlow 1 calls warn that they are old

    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".make_samples-", dir=output) as name:
        staging = Path(name)
        make_classifiers(staging)
        export_vocabulary(staging)
        export_tf1_linear(staging)

        total = 0
        models = sorted(path for path in staging.iterdir() if path.is_dir())
        for model in models:
            settle(model)
            contents = [path.read_bytes() for path in model.rglob("*") if path.is_file()]
            if any(place.encode() in content for content in contents for place in (name, str(ROOT), sys.prefix)):
                sys.exit(f"{model.name} holds a path of this machine")
            target = output / model.name
            if target.exists() and not (target / "saved_model.pb").is_file():
                sys.exit(f"{target} is there but is not a SavedModel")
            total += sum(map(len, contents))
            print(f"{model.name}: {sum(map(len, contents))} bytes")
        print(f"total: {total} bytes")
        if total > MAX_TOTAL_BYTES:
            sys.exit(f"the samples are larger than {MAX_TOTAL_BYTES} bytes")
        for model in models:
            target = output / model.name
            if target.exists():
                target.rename(staging / f"old-{model.name}")
            model.rename(target)


if __name__ == "__main__":
    main()
