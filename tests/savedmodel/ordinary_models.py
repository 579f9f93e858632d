"""Makes SavedModels of many ordinary kinds, in one process: `python ordinary_models.py DIR`."""

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

v1 = tf.compat.v1
layers = keras.layers
TEXTS = ["the cat", "a dog", "the dog"]


def sequential(place: Path) -> None:
    keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dropout(0.5)]).export(
        str(place), verbose=False
    )


def trained(place: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    tf.saved_model.save(model, str(place))


def functional(place: Path) -> None:
    image, number = keras.Input((8, 8, 3), name="image"), keras.Input((2,), name="number")
    drawn = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="gelu")(layers.Rescaling(1 / 255)(image)))
    joined = layers.Concatenate()([drawn, layers.Normalization(mean=0.5, variance=2.0)(number)])
    heads = {"label": layers.Dense(3, activation="softmax")(joined), "box": layers.Dense(4)(joined)}
    keras.Model({"image": image, "number": number}, heads).export(str(place), verbose=False)


def augmented(place: Path) -> None:
    keras.Sequential(
        [keras.Input((8, 8, 3)), layers.RandomFlip(), layers.RandomRotation(0.1), layers.Flatten()]
    ).export(str(place), verbose=False)


def text(place: Path) -> None:
    vectors = layers.TextVectorization(output_sequence_length=4)
    vectors.adapt(TEXTS)
    said = keras.Input((1,), dtype="string")
    keras.Model(said, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 3)(vectors(said))))).export(
        str(place), verbose=False
    )


def vocabularies(place: Path) -> None:
    words = place.parent / "words.txt"
    words.write_text("red\ngreen\nblue")
    colour, age = keras.Input((1,), dtype="string"), keras.Input((1,), dtype="int64")
    found = layers.StringLookup(vocabulary=str(words), output_mode="one_hot")(colour)
    years = layers.IntegerLookup(vocabulary=[1, 2, 3], output_mode="one_hot")(age)
    hashed = layers.Hashing(num_bins=5, output_mode="one_hot")(colour)
    tf.saved_model.save(keras.Model([colour, age], layers.Concatenate()([found, years, hashed])), str(place))


def recurrent(place: Path) -> None:
    keras.Sequential(
        [keras.Input((5, 3)), layers.Bidirectional(layers.LSTM(4, return_sequences=True)), layers.GRU(3)]
    ).export(str(place), verbose=False)


def attention(place: Path) -> None:
    said = keras.Input((6, 4))
    keras.Model(said, layers.LayerNormalization()(layers.MultiHeadAttention(2, 2)(said, said))).export(
        str(place), verbose=False
    )


def module(*inputs: Any, **more: Any) -> Callable[[Callable[..., Any]], Callable[[Path], None]]:
    """Save one function as a module's signature."""

    def wrap(function: Callable[..., Any]) -> Callable[[Path], None]:
        def save(place: Path) -> None:
            kept = tf.Module()
            for name, make in more.items():
                setattr(kept, name, make(place))
            kept.run = tf.function(lambda *given: function(kept, *given), input_signature=inputs)
            tf.saved_model.save(kept, str(place), signatures=kept.run.get_concrete_function())

        return save

    return wrap


NUMBERS = tf.TensorSpec([None], tf.float32)
WORDS = tf.TensorSpec([None], tf.string)


@module(NUMBERS, weight=lambda _: tf.Variable(1.0))
def control_flow(kept: Any, numbers: Any) -> Any:
    total = kept.weight
    for step in tf.range(3):
        total = tf.cond(
            tf.reduce_sum(numbers) > 0.0, lambda now=total, s=step: now + tf.cast(s, tf.float32), lambda: 0.0
        )
    v1.assert_greater(total, -1.0)
    return {
        "total": tf.map_fn(lambda each: each * total, numbers),
        "switched": tf.switch_case(tf.size(numbers), [lambda: 1, lambda: 2]),
    }


@module(NUMBERS)
def speaking(_: Any, numbers: Any) -> Any:
    tf.print("numbers", numbers, output_stream=sys.stderr)
    tf.print("numbers", numbers, output_stream=sys.stdout)
    tf.debugging.assert_all_finite(numbers, "not finite")
    return {"numbers": v1.Print(numbers, [numbers])}


@module(WORDS, table=lambda _: tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), -1))
def table_of_values(kept: Any, words: Any) -> Any:
    return {"ids": kept.table.lookup(words)}


@module(WORDS, table=lambda _: tf.lookup.experimental.DenseHashTable(tf.string, tf.int64, -1, "", "-"))
def mutable_table(kept: Any, words: Any) -> Any:
    return {"ids": kept.table.lookup(words)}


def _file(place: Path) -> Any:
    words = place.parent / "many words.txt"
    words.write_text("the\nof\n")
    kind = tf.lookup.TextFileIndex
    return tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(str(words), tf.string, kind.WHOLE_LINE, tf.int64, kind.LINE_NUMBER), 2
    )


@module(WORDS, table=_file)
def table_of_a_file(kept: Any, words: Any) -> Any:
    return {"ids": kept.table.lookup(words)}


def _asset(place: Path) -> Any:
    words = place.parent / "stop words.txt"
    words.write_text("the of and")
    return tf.saved_model.Asset(str(words))


@module(WORDS, file=_asset)
def reads_its_asset(kept: Any, words: Any) -> Any:
    stop = tf.strings.split(tf.io.read_file(kept.file.asset_path))
    return {"kept": tf.reduce_all(words[:, None] != stop[None, :], axis=1)}


@module(tf.RaggedTensorSpec([None, None], tf.int64))
def ragged(_: Any, rows: Any) -> Any:
    return {"sums": tf.reduce_sum(rows, axis=1), "back": rows.to_tensor()}


@module(tf.SparseTensorSpec([None, 5], tf.float32))
def sparse(_: Any, rows: Any) -> Any:
    return {"dense": tf.sparse.to_dense(rows)}


@module(WORDS)
def examples(_: Any, serialized: Any) -> Any:
    kinds = {"a": tf.io.FixedLenFeature([2], tf.float32, [0.0, 1.0]), "b": tf.io.VarLenFeature(tf.string)}
    found = tf.io.parse_example(serialized, kinds)
    return {"a": found["a"], "b": tf.sparse.to_dense(found["b"])}


@module(WORDS)
def images(_: Any, encoded: Any) -> Any:
    def one(data: Any) -> Any:
        return tf.image.resize(tf.io.decode_jpeg(data, channels=3), [4, 4])

    return {"pixels": tf.map_fn(one, encoded, fn_output_signature=tf.float32)}


@module(tf.TensorSpec([], tf.int64))
def dataset(_: Any, count: Any) -> Any:
    numbers = tf.data.Dataset.range(count).map(lambda each: each * 2).filter(lambda each: each > 2).batch(2)
    return {"sum": numbers.reduce(np.int64(0), lambda total, each: total + tf.reduce_sum(each))}


@module(WORDS)
def strings(_: Any, words: Any) -> Any:
    clean = tf.strings.regex_replace(tf.strings.lower(words), "[^a-z]", "")
    return {"path": tf.strings.join(["/etc/", clean]), "hash": tf.strings.to_hash_bucket_fast(clean, 7)}


@module(NUMBERS)
def random(_: Any, numbers: Any) -> Any:
    return {"noisy": numbers + tf.random.normal(tf.shape(numbers)), "when": tf.timestamp()}


@module(NUMBERS, count=lambda _: tf.Variable(0, dtype=tf.int64))
def counting(kept: Any, numbers: Any) -> Any:
    return {"numbers": tf.cumsum(numbers), "count": kept.count.assign_add(1)}


@module(NUMBERS)
def compiled(_: Any, numbers: Any) -> Any:
    return {"numbers": tf.function(lambda given: given * 2, jit_compile=True)(numbers)}


@module(NUMBERS)
def own_gradient(_: Any, numbers: Any) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def clipped(given: Any) -> Any:
        return given, lambda grad: tf.clip_by_value(grad, -1.0, 1.0)

    return {"numbers": clipped(numbers)}


@module(NUMBERS, span=lambda _: tf.Variable([-3.0, 3.0]))
def quantized_in_training(kept: Any, numbers: Any) -> Any:
    """What quantization-aware training leaves: ranges that were learned, and operations that act as if they held."""
    narrow = tf.quantization.fake_quant_with_min_max_vars(numbers, kept.span[0], kept.span[1], num_bits=8)
    return {
        "narrow": narrow,
        "plain": tf.quantization.fake_quant_with_min_max_args(numbers, -6.0, 6.0),
        "there_and_back": tf.quantization.quantize_and_dequantize_v2(numbers, -1.0, 1.0, range_given=True),
    }


def reusable(place: Path) -> None:
    """As model hubs publish them: a callable with variables, losses and a switch for training; then one built on it."""
    inner = place.parent / "hub" / "inner"
    words = inner.parent / "words.txt"
    inner.parent.mkdir()
    words.write_text("cat\ndog\n")

    class Encoder(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            kind = tf.lookup.TextFileIndex
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(str(words), tf.string, kind.WHOLE_LINE, tf.int64, kind.LINE_NUMBER), 2
            )
            self.embedding = tf.Variable(tf.random.stateless_normal([3, 4], seed=[1, 2]))
            self.variables_ = [self.embedding]
            self.trainable_variables_ = [self.embedding]
            self.regularization_losses = [self.penalty]

        @tf.function(input_signature=[])  # type: ignore[untyped-decorator]
        def penalty(self) -> Any:
            return 0.01 * tf.reduce_sum(self.embedding**2)

        @tf.function(input_signature=[WORDS, tf.TensorSpec([], tf.bool)])  # type: ignore[untyped-decorator]
        def __call__(self, texts: Any, training: Any = False) -> Any:  # noqa: FBT002
            found = tf.strings.split(tf.strings.lower(texts))
            ids = tf.ragged.map_flat_values(self.table.lookup, found)
            mean = tf.reduce_mean(tf.gather(self.embedding, ids), axis=1)
            return tf.cond(training, lambda: tf.nn.dropout(mean, 0.1), lambda: mean)

    tf.saved_model.save(Encoder(), str(inner))
    loaded = tf.saved_model.load(str(inner))
    outer = tf.Module()
    outer.encoder = loaded
    outer.head = tf.Variable(tf.ones([4, 2]))
    run = tf.function(lambda texts: {"score": tf.matmul(loaded(texts, False), outer.head)}, input_signature=[WORDS])
    outer.run = run
    tf.saved_model.save(outer, str(place), signatures=run.get_concrete_function())


def estimator_style(place: Path) -> None:
    """As estimators exported: serialized examples in, three ways to ask, local tables and a scaffold's own saver."""
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], name="input_example_tensor")
        kinds = {"age": tf.io.FixedLenFeature([1], tf.float32), "job": tf.io.VarLenFeature(tf.string)}
        found = v1.parse_example(serialized, kinds)
        keys = tf.constant(["cook", "smith"])
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, tf.constant([0, 1])), -1)
        jobs = tf.cast(table.lookup(tf.sparse.to_dense(found["job"], "")), tf.float32)
        total = found["age"] + tf.reduce_sum(jobs, axis=1, keepdims=True)
        step = v1.train.get_or_create_global_step()
        logits = tf.matmul(total, v1.get_variable("linear/weights", [1, 1], use_resource=False))
        odds = tf.sigmoid(logits)
        classes = tf.as_string(tf.range(2))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        utils = v1.saved_model
        scores = tf.concat([1 - odds, odds], 1)
        signatures = {
            "serving_default": utils.classification_signature_def(
                serialized, tf.tile(classes[None, :], [tf.shape(scores)[0], 1]), scores
            ),
            "regression": utils.regression_signature_def(serialized, odds),
            "predict": utils.predict_signature_def({"examples": serialized}, {"logits": logits, "step": step}),
        }
        builder = utils.Builder(str(place))
        saver = v1.train.Saver(sharded=True)
        builder.add_meta_graph_and_variables(
            session, ["serve"], signatures, main_op=v1.tables_initializer(), saver=saver, strip_default_attrs=True
        )
        builder.save()


def frozen(place: Path) -> None:
    """A graph whose variables have become constants, imported again and saved: no variables at all."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    weight = tf.Variable(tf.ones([2, 3]))
    run = tf.function(lambda x: {"y": tf.matmul(x, weight)}, input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    graph = convert_variables_to_constants_v2(run.get_concrete_function()).graph.as_graph_def()
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph, name="")
        x, y = session.graph.get_tensor_by_name("x:0"), session.graph.get_operations()[-1].outputs[0]
        v1.saved_model.simple_save(session, str(place), {"x": x}, {"y": y})


@module(tf.TensorSpec([None, None], tf.int32))
def decoding(_: Any, prompt: Any) -> Any:
    """A loop that writes one more token each time, with arrays of tensors and a search for the best of several."""
    length = tf.shape(prompt)[1]
    said = tf.TensorArray(tf.int32, size=0, dynamic_size=True).unstack(tf.transpose(prompt))

    def step(at: Any, so_far: Any) -> Any:
        last = so_far.read(at - 1)
        scores = tf.one_hot((last + 1) % 7, 7)
        return at + 1, so_far.write(at, tf.cast(tf.math.top_k(scores, 1).indices[:, 0], tf.int32))

    _, said = tf.while_loop(lambda at, _: at < length + 4, step, [length, said], maximum_iterations=8)
    return {"tokens": tf.transpose(said.stack())}


@module(tf.TensorSpec([None, None], tf.float32))
def sound(_: Any, samples: Any) -> Any:
    spectrum = tf.abs(tf.signal.stft(samples, 64, 32))
    mel = tf.tensordot(spectrum, tf.signal.linear_to_mel_weight_matrix(8, 33, 8000), 1)
    return {"mfcc": tf.signal.mfccs_from_log_mel_spectrograms(tf.math.log(mel + 1e-6))}


@module(tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([None], tf.float32))
def boxes(_: Any, places: Any, scores: Any) -> Any:
    kept = tf.image.non_max_suppression(places, scores, 5)
    best = tf.math.top_k(scores, k=1)
    return {"boxes": tf.gather(places, kept), "best": best.values, "sorted": tf.sort(scores)}


def without_signatures(place: Path) -> None:
    kept = tf.Module()
    kept.weight = tf.Variable([1.0])
    tf.saved_model.save(kept, str(place))


def sharded(place: Path) -> None:
    kept = tf.Module()
    kept.weight = tf.Variable(tf.zeros([8]))
    options = tf.saved_model.SaveOptions(experimental_variable_policy="save_variable_devices")
    tf.saved_model.save(kept, str(place), options=options)


def first_style(place: Path) -> None:
    """As TensorFlow 1 did: placeholders, a saver with a constant default name, tables, while loops of the old kind."""
    words = place.parent / "old words.txt"
    words.write_text("one\ntwo\n")
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_control_flow_v2()
        given = v1.placeholder(tf.string, [None], name="given")
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
            ),
            -1,
        )
        weight = v1.get_variable("weight", [3], use_resource=False, partitioner=v1.fixed_size_partitioner(2))
        looped = v1.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
        ids = tf.add(table.lookup(given), tf.cast(looped, tf.int64) + tf.cast(tf.reduce_sum(weight), tf.int64))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(place))
        made = {"serving_default": v1.saved_model.predict_signature_def({"given": given}, {"ids": ids})}
        files = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
        start = v1.tables_initializer()
        builder.add_meta_graph_and_variables(session, ["serve"], made, assets_collection=files, main_op=start)
        builder.add_meta_graph(["serve", "gpu"], made, assets_collection=files)
        builder.save()
        v1.enable_control_flow_v2()


def simple_saved(place: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2])
        y = tf.matmul(x, v1.get_variable("w", [2, 2]))
        v1.summary.histogram("y", y)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(place), {"x": x}, {"y": y})


MODELS = (
    sequential, trained, functional, augmented, text, vocabularies, recurrent, attention, control_flow, speaking,
    table_of_values, mutable_table, table_of_a_file, reads_its_asset, ragged, sparse, examples, images, dataset,
    strings, random, counting, compiled, own_gradient, without_signatures, sharded, first_style, simple_saved,
    quantized_in_training, reusable, estimator_style, frozen, decoding, sound, boxes,
)  # fmt: skip
NAMES = {function: name for name, function in list(globals().items()) if callable(function)}


def main() -> None:
    """Make them all."""
    for make in MODELS:
        make(Path(sys.argv[1]) / NAMES[make])


if __name__ == "__main__":
    main()
