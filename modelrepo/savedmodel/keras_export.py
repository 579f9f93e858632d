"""A Keras model becomes a SavedModel, by Keras's own export, with signatures that are said and answers to compare.

Used in the inspector's child, and in the process of whoever pushes a live model; it is given the modules `keras` and
`tensorflow`, and imports neither. What Keras answers to a few made-up requests is told with the export, as golden
requests are: an export whose answers differ is none.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from modelrepo.savedmodel.arrays import Refusal, to_json
from modelrepo.savedmodel.requests import DEFAULT

#: The signature of fixed size.
BATCH = "predict_batch"
#: Eager and compiled kernels add up in other orders.
TOLERANCE = 1e-4
#: What a dimension that is open could be, where the model takes not every size.
_SIZES = (8, 32, 64, 224)
_EXAMPLES = 2
_WORDS = (b"", b"a", b"the cat", b"1")
_MOST_WORDS = 50
#: How Keras names inputs that nobody named: by counting.
_MADE_UP = re.compile(r"keras_tensor(_\d+)?|input_layer(_\d+)?")
_MISSING = re.compile(r"Could not locate (?:class|function|module) '([^']*)'|Unknown (?:layer|object)[^']*'([^']*)'")


class Wishes(NamedTuple):
    """What the export shall be.

    Attributes:
        batch: The size of the batches of a second signature; None for none.
        serving: `FILE.py:FUNCTION` that makes the signatures; None for the model's own call.
        custom: `package.module:Name` of what the model's file names.
        unsafe: Whether the file may bring code.
        strip: Whether to leave out what no signature reads.
    """

    batch: int | None = None
    serving: str | None = None
    custom: tuple[str, ...] = ()
    unsafe: bool = False
    strip: bool = False


class _Endpoint(NamedTuple):
    """One signature: its function, what it takes, and how the same is asked of Keras."""

    function: Any
    specs: tuple[Any, ...]
    ask: Callable[..., Any]


def load(keras: Any, path: str, wishes: Wishes, place: str) -> Any:
    """Read a `.keras` or `.h5` file.

    Args:
        keras: The module.
        path: The file.
        wishes: What it needs.
        place: Where modules of custom objects may lie.

    Raises:
        Refusal: It cannot be read, names what is not known, or brings code.
    """
    known = dict(_custom(wishes.custom, place))
    keras.utils.set_random_seed(0)  # layers make up seeds that the export holds: the same file gives the same bytes
    try:
        return keras.models.load_model(path, custom_objects=known, compile=False, safe_mode=not wishes.unsafe)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises whatever a file makes it raise
        text = str(error)
        missing = _MISSING.search(text)
        if missing is not None:
            name = next(group for group in missing.groups() if group is not None)
            raise Refusal("keras-custom", f"the Keras model needs `{name}`, which Keras does not know") from error
        if "safe_mode" in text or "unsafe" in text.lower():
            raise Refusal("keras-unsafe", "the Keras file brings code of its own, in a Lambda layer") from error
        first = text.strip().splitlines()[0][:300] if text.strip() else ""
        raise Refusal("keras-unreadable", f"Keras cannot read it: {type(error).__name__}: {first}") from error


def _custom(words: tuple[str, ...], place: str) -> Iterator[tuple[str, Any]]:
    """The objects that `package.module:Name` says."""
    if words and place not in sys.path:
        sys.path.insert(0, place)
    for word in words:
        module, _, name = word.partition(":")
        try:
            yield name, getattr(importlib.import_module(module), name)
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:200]}"
            raise Refusal("keras-option", f"{word} cannot be imported: {text}", "package.module:Name") from error


def export(keras: Any, tensorflow: Any, model: Any, wishes: Wishes, directory: str, name: str) -> dict[str, Any]:
    """Export a model, and ask it what the export shall answer, too.

    Args:
        keras: The module.
        tensorflow: Likewise.
        model: The model.
        wishes: What the export shall be.
        directory: Where the SavedModel goes.
        name: What the export is called instead of a random number, in decimal digits, so that the same model gives the
            same bytes.

    Returns:
        `keras`: its version; `answers`: requests and Keras's own answers, as a document of golden requests;
            `fingerprint`: the bytes of TensorFlow's fingerprint with the name, in hex, None where there is none;
            `made_up`: names of inputs that Keras made up.

    Raises:
        Refusal: The model cannot be exported so.
    """
    if keras.backend.backend() != "tensorflow":
        raise Refusal("keras-backend", f"Keras runs on {keras.backend.backend()}", "KERAS_BACKEND=tensorflow")
    endpoints = _served(tensorflow, model, wishes) if wishes.serving else _own(keras, tensorflow, model, wishes)
    try:
        archive = keras.export.ExportArchive()
        if not wishes.strip:  # without it Keras keeps just what the signatures read
            archive.track(model)
        for name, endpoint in endpoints.items():
            archive.add_endpoint(name, endpoint.function, input_signature=list(endpoint.specs))
        archive.write_out(directory, verbose=False)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises whatever a model makes it raise
        text = f"{type(error).__name__}: {str(error)[:300]}"
        raise Refusal("keras-export", f"Keras could not export the model: {text}") from error
    requests = [_request(tensorflow, keras, model, key, endpoint) for key, endpoint in endpoints.items()]
    names = [spec.name for endpoint in endpoints.values() for spec in endpoint.specs]
    return {
        "keras": keras.__version__,
        "answers": {"requests": requests, "tolerance": {"absolute": TOLERANCE, "relative": TOLERANCE}},
        "fingerprint": _named(os.path.join(directory, "fingerprint.pb"), name),
        "made_up": sorted({name for name in names if _MADE_UP.fullmatch(name)}),
    }


def _named(path: str, name: str) -> str | None:
    """TensorFlow's fingerprint of the export with a name in place of its random number; None where there is none."""
    known = sys.modules.get("tensorflow.core.protobuf.fingerprint_pb2")  # the export has imported it
    if known is None or not os.path.exists(path):
        return None
    fingerprint = known.FingerprintDef.FromString(Path(path).read_bytes())
    fingerprint.uuid = name
    return bytes(fingerprint.SerializeToString(deterministic=True)).hex()


def _own(keras: Any, tensorflow: Any, model: Any, wishes: Wishes) -> dict[str, _Endpoint]:
    """The model's own call: with batches of any size, and with batches of one."""
    structure, specs = _inputs(keras, tensorflow, model)

    def ask(*tensors: Any) -> Any:
        given = keras.tree.pack_sequence_as(structure, list(tensors))
        return model(**given, training=False) if _by_name(keras, model) else model(given, training=False)

    found = {DEFAULT: _Endpoint(ask, specs, ask)}
    if wishes.batch is not None:
        fixed = tuple(
            tensorflow.TensorSpec([wishes.batch, *spec.shape.as_list()[1:]], spec.dtype, spec.name) for spec in specs
        )
        found[BATCH] = _Endpoint(ask, fixed, ask)
    return found


def _by_name(keras: Any, model: Any) -> bool:
    """Whether a subclassed model takes several arguments."""
    return not isinstance(model, keras.Sequential) and not _is_functional(model) and len(_shapes(model)) > 1


def _is_functional(model: Any) -> bool:
    return bool(getattr(model, "inputs", None))


def _shapes(model: Any) -> dict[str, Any]:
    """What a subclassed model was built for: shapes by argument."""
    built = model.get_build_config() or {}
    shapes = built.get("shapes_dict", built)
    return {name.removesuffix("_shape"): shape for name, shape in shapes.items() if shape is not None}


def _inputs(keras: Any, tensorflow: Any, model: Any) -> tuple[Any, tuple[Any, ...]]:
    """The structure of what a model takes, and what each tensor of it is called, may be and holds."""
    if _is_functional(model):
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        names = _names(keras, structure)
        tensors = keras.tree.flatten(structure)
        shapes = [list(tensor.shape) for tensor in tensors]
        types = [keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors]
    else:
        built = _shapes(model)
        if not built or not model.built:
            raise Refusal(
                "keras-unbuilt",
                "the Keras model was never called, so that nobody knows what it takes",
                "a model that was called once, or has an Input",
            )
        structure = built if len(built) > 1 else next(iter(built.values()))
        names = list(built) if len(built) > 1 else ["inputs"]
        shapes = [[None, *list(shape)[1:]] for shape in built.values()]
        types = [model.input_dtype] * len(shapes)
        if any(
            isinstance(shape, dict) or (shape and isinstance(shape[0], list | tuple | dict)) for shape in built.values()
        ):
            raise Refusal("keras-unbuilt", "the Keras model takes nested inputs", "--serving FILE.py:FUNCTION")
        structure = dict.fromkeys(built, 0) if len(built) > 1 else 0
    return structure, tuple(
        tensorflow.TensorSpec(shape, dtype, name) for name, shape, dtype in zip(names, shapes, types, strict=True)
    )


def _names(keras: Any, structure: Any) -> list[str]:
    """What a model's inputs are called: by their keys, else by their own names."""
    if isinstance(structure, Mapping):
        # The order of `flatten`: by key.
        return (
            [str(key) for key in sorted(structure)]
            if len(keras.tree.flatten(structure)) == len(structure)
            else [tensor.name for tensor in keras.tree.flatten(structure)]
        )
    return [tensor.name for tensor in keras.tree.flatten(structure)]


def _served(tensorflow: Any, model: Any, wishes: Wishes) -> dict[str, _Endpoint]:
    """What a function of the user's makes of the model: one `tf.function`, or several by name."""
    file, _, name = str(wishes.serving).rpartition(":")
    wanted = "FILE.py:FUNCTION, a function that takes the model and returns a tf.function with an input_signature"
    try:
        spec = importlib.util.spec_from_file_location("modelrepo_serving", file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no Python file")  # noqa: TRY301
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made = getattr(module, name)(model)
    except Exception as error:
        text = f"{type(error).__name__}: {str(error)[:200]}"
        raise Refusal("keras-option", f"--serving {wishes.serving} failed: {text}", wanted) from error
    functions = dict(made) if isinstance(made, Mapping) else {DEFAULT: made}
    found = {}
    for key, function in functions.items():
        signature = getattr(function, "input_signature", None)
        if not signature:
            raise Refusal("keras-option", f"--serving made `{key}` without an input_signature", wanted)
        specs = tuple(tensorflow.nest.flatten(signature))
        if any(spec.name is None for spec in specs):
            raise Refusal(
                "keras-option", f"--serving made `{key}` with inputs that have no names", "tf.TensorSpec(…, name=…)"
            )
        found[str(key)] = _Endpoint(function, specs, function)
    return found


def _request(tensorflow: Any, keras: Any, model: Any, key: str, endpoint: _Endpoint) -> dict[str, Any]:
    """A made-up request, and what Keras answers."""
    tried: Exception | None = None
    for size in _SIZES:
        arrays = [_example(tensorflow, keras, model, spec, size) for spec in endpoint.specs]
        try:
            types = [spec.dtype for spec in endpoint.specs]
            tensors = [tensorflow.constant(array, dtype) for array, dtype in zip(arrays, types, strict=True)]
            outputs = endpoint.ask(*tensors)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - it takes not every size
            tried = error
            continue
        inputs = {
            spec.name: to_json(array, "a made-up input") for spec, array in zip(endpoint.specs, arrays, strict=True)
        }
        return {"signature": key, "inputs": inputs, "outputs": dict(_outputs(keras, outputs))}
    text = f"{type(tried).__name__}: {str(tried)[:300]}"
    raise Refusal("keras-run", f"the Keras model could not be asked anything (signature `{key}`): {text}")


def _outputs(keras: Any, outputs: Any) -> Iterator[tuple[str, Any]]:
    named = (
        sorted(outputs.items())
        if isinstance(outputs, Mapping)
        else [(f"output_{number}", tensor) for number, tensor in enumerate(keras.tree.flatten(outputs))]
    )
    for name, tensor in named:
        yield str(name), to_json(tensor.numpy(), f"output `{name}`")


def _example(tensorflow: Any, keras: Any, model: Any, spec: Any, size: int) -> Any:
    """Values of one input, always the same: numbers between 0 and 1, zeros and ones, words that the model knows."""
    import numpy as np

    rng = np.random.default_rng(sum(spec.name.encode()))
    shape = [
        (_EXAMPLES if not index else size) if length is None else length
        for index, length in enumerate(spec.shape.as_list())
    ]
    if spec.dtype == tensorflow.string:
        words = np.array([*_WORDS, *_vocabulary(keras, model)], object)
        return words[rng.integers(0, len(words), shape)]
    if spec.dtype.is_integer or spec.dtype.is_bool:
        return rng.integers(0, 2, shape).astype(spec.dtype.as_numpy_dtype)
    return rng.random(shape).astype(spec.dtype.as_numpy_dtype)


def _vocabulary(keras: Any, model: Any) -> list[bytes]:
    """Words that its layers know."""
    words: list[bytes] = []
    for layer in getattr(model, "_flatten_layers", list)():
        if isinstance(layer, keras.layers.StringLookup | keras.layers.TextVectorization):
            words += [str(word).encode() for word in layer.get_vocabulary()[:_MOST_WORDS]]
    return words
