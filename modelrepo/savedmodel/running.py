"""Running a loaded model's signatures, in the inspector's child: golden requests, trials with zeros, one prediction.

It is given the session and TensorFlow itself, and imported once TensorFlow is, whose dependency numpy is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelrepo.savedmodel import closeness
from modelrepo.savedmodel.arrays import Refusal, dtype_name, malformed, to_array, to_json
from modelrepo.savedmodel.requests import DEFAULT, Golden, Trial

_INIT_OP = "__saved_model_init_op"
#: Types that nobody can send.
_HANDLES = {"resource", "variant"}
#: Types whose values numpy has as records.
_QUANTIZED = {"qint8", "quint8", "qint16", "quint16", "qint32"}
_TEXT = 1000


class Runner:
    """A loaded model.

    Args:
        tensorflow: The module.
        session: The session that the model was loaded into.
        graph: Its MetaGraphDef.
    """

    def __init__(self, tensorflow: Any, session: Any, graph: Any) -> None:
        self._tensorflow = tensorflow
        self._session = session
        self._signatures = {name: each for name, each in sorted(graph.signature_def.items()) if name != _INIT_OP}

    def run(self, trial: Trial) -> dict[str, Any]:
        """Run all that is wanted.

        Returns:
            How many golden requests were answered right; the signatures that could not be tried with zeros, and why;
            and of a prediction the signature and the outputs.

        Raises:
            Refusal: A request does not fit the model, the model fails, or an answer is wrong.
        """
        done: dict[str, Any] = {}
        if trial.answers is not None:
            try:
                self._golden(trial.answers)
            except Refusal as refusal:
                if refusal.kind != "golden-mismatch":
                    raise
                raise Refusal("keras-mismatch", _as_keras(str(refusal)), refusal.expected, refusal.got) from None
        if trial.golden is not None:
            self._golden(trial.golden)
            done["golden"] = len(trial.golden.requests)
        if trial.smoke:
            done["untried"] = self._smoke()
        if trial.inputs is not None:
            name = self.named(trial.signature)
            outputs = self.call(name, self.feeds(name, trial.inputs.inputs, ""), None, "the request")
            where = f"of signature `{name}`"
            done["signature"] = name
            done["outputs"] = {key: to_json(array, f"output `{key}` {where}") for key, array in outputs.items()}
        return done

    def named(self, name: str | None) -> str:
        """The signature that is meant: None for the usual one.

        Raises:
            Refusal: There is none of that name.
        """
        if name is None and len(self._signatures) == 1:
            return str(next(iter(self._signatures)))
        name = DEFAULT if name is None else name
        if name not in self._signatures:
            known = ", ".join(self._signatures) or "none"
            raise Refusal("signature-missing", f"the model has no signature `{name}`", f"one of {known}")
        return name

    def outputs(self, name: str) -> tuple[list[str], list[str]]:
        """The outputs of a signature that are dense tensors of values, and the others."""
        infos = self._signatures[name].outputs
        dense = [
            key
            for key in sorted(infos)
            if infos[key].WhichOneof("encoding") == "name" and self._dtype(infos[key]).name not in _HANDLES | _QUANTIZED
        ]
        return dense, sorted(set(infos) - set(dense))

    def _golden(self, golden: Golden) -> None:
        worst: tuple[float, Refusal] | None = None
        for number, request in enumerate(golden.requests, 1):
            name = self.named(request.signature)
            where = f"golden request {number} (signature `{name}`)"
            unknown = request.outputs.keys() - self._signatures[name].outputs.keys()
            if unknown:
                known = ", ".join(self._signatures[name].outputs)
                raise malformed(f"{where} names outputs that there are not", known, ", ".join(sorted(unknown)))
            feeds = self.feeds(name, request.inputs, f"{where}: ")
            outputs = self.call(name, feeds, list(request.outputs), where)
            for key, right in request.outputs.items():
                found = self._difference(f"{where}: output `{key}`", right, outputs[key], golden)
                if found is not None and (worst is None or found[0] > worst[0]):
                    worst = found
        if worst is not None:
            raise worst[1]

    def _difference(self, where: str, right: Any, got: Any, golden: Golden) -> tuple[float, Refusal] | None:
        """The largest difference of one output, and what to say of it; None where the answer is right."""
        want = to_array(right, got.dtype, where)
        if want.shape != got.shape:
            shapes = (list(want.shape), list(got.shape))
            return math.inf, Refusal("golden-mismatch", f"{where} has another shape", *shapes)
        if got.dtype.kind in "fcV":
            right_enough = closeness.near(want, got, golden.absolute, golden.relative)
            size = closeness.apart(want, got)
        else:
            right_enough = want == got
            size = closeness.apart(want, got) if got.dtype.kind in "iu" else np.full(got.shape, math.inf)
        if bool(np.all(right_enough)):
            return None
        wrong = np.where(right_enough, -1.0, size).ravel()
        index = int(np.argmax(wrong))
        most = float(wrong[index])
        place = f"[{','.join(map(str, np.unravel_index(index, got.shape)))}]" if got.shape else ""
        many = int(np.sum(wrong >= 0))
        off = f" by {most:.6g}" if math.isfinite(most) else ""
        counted = f"; {many} of {got.size} values are wrong" if got.size > 1 else ""
        both = (to_json(array.ravel()[index : index + 1].reshape(()), where) for array in (want, got))
        return most, Refusal("golden-mismatch", f"{where}{place} differs{off}{counted}", *both)

    def _smoke(self) -> list[str]:
        """Call every signature with zeros or empty strings of its declared shapes, open dimensions as 1."""
        untried = []
        for name, signature in self._signatures.items():
            unfit = self._unfit(name)
            if unfit:
                untried.append(unfit)
                continue
            feeds = {key: self._zeros(info) for key, info in signature.inputs.items() if key not in signature.defaults}
            outputs = self.call(name, self.feeds(name, feeds, ""), None, "a trial with zeros", kind="smoke-failed")
            for key, array in outputs.items():
                if array.dtype.kind in "fcV" and not bool(np.isfinite(array).all()):
                    raise Refusal(
                        "smoke-failed",
                        f"a trial with zeros: output `{key}` of signature `{name}` is not finite",
                        "finite numbers",
                        "NaN or infinity",
                    )
        return untried

    def _unfit(self, name: str) -> str | None:
        for key, info in sorted(self._signatures[name].inputs.items()):
            if info.WhichOneof("encoding") != "name" or self._dtype(info).name in _HANDLES:
                return f"signature `{name}` takes input `{key}`, which is no dense tensor"
        return None

    def _zeros(self, info: Any) -> Any:
        shape = info.tensor_shape
        sizes = [1] if shape.unknown_rank else [1 if size.size < 0 else size.size for size in shape.dim]
        dtype = np.dtype(self._dtype(info).as_numpy_dtype)
        return np.full(sizes, b"", object) if dtype.kind == "O" else np.zeros(sizes, dtype)

    def _dtype(self, info: Any) -> Any:
        return self._tensorflow.dtypes.as_dtype(info.dtype).base_dtype

    def feeds(self, name: str, inputs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Tensor names and arrays, every one of the declared type and shape.

        Args:
            name: The signature.
            inputs: Values by key.
            prefix: What stands before a complaint.

        Raises:
            Refusal: They do not fit.
        """
        signature = self._signatures[name]
        unfit = self._unfit(name)
        if unfit:
            raise malformed(prefix + unfit)
        unknown = sorted(inputs.keys() - signature.inputs.keys())
        missing = sorted(signature.inputs.keys() - inputs.keys() - set(signature.defaults))
        if unknown or missing:
            words = [f"no input `{key}` is given" for key in missing]
            words += [f"there is no input `{key}`" for key in unknown]
            told = ", ".join(f"{key}: {self._described(info)}" for key, info in sorted(signature.inputs.items()))
            raise malformed(
                f"{prefix}signature `{name}`: {'; '.join(words)}", told, ", ".join(sorted(inputs)) or "none"
            )
        feeds = {}
        for key, info in signature.inputs.items():
            if key not in inputs:
                feeds[info.name] = self._tensorflow.make_ndarray(signature.defaults[key])
                continue
            where = f"{prefix}input `{key}` of signature `{name}`"
            array = to_array(inputs[key], np.dtype(self._dtype(info).as_numpy_dtype), where)
            if not _fits(info.tensor_shape, array.shape):
                got = f"{dtype_name(array.dtype)}[{','.join(map(str, array.shape))}]"
                raise malformed(f"{where} has a wrong shape", self._described(info), got)
            feeds[info.name] = array
        return feeds

    def _described(self, info: Any) -> str:
        shape = info.tensor_shape
        sizes = ",".join("?" if size.size < 0 else str(size.size) for size in shape.dim)
        return f"{self._dtype(info).name}[{'...' if shape.unknown_rank else sizes}]"

    def call(
        self, name: str, feeds: dict[str, Any], keys: list[str] | None, where: str, *, kind: str = "model-run"
    ) -> dict[str, Any]:
        """Call a signature once.

        Args:
            name: Which one.
            feeds: What `feeds` gave.
            keys: Which outputs; None for all.
            where: Which call it is, for messages.
            kind: Of the refusal where it fails.

        Returns:
            The outputs by key.

        Raises:
            Refusal: It failed, or an output is no dense tensor.
        """
        outputs = self._signatures[name].outputs
        sparse = [key for key in keys or outputs if outputs[key].WhichOneof("encoding") != "name"]
        if sparse:
            raise malformed(f"{where}: output `{sparse[0]}` of signature `{name}` is no dense tensor")
        fetches = {key: outputs[key].name for key in keys or outputs}
        try:
            got = self._session.run(fetches, feeds)
        except MemoryError:
            raise
        except Exception as error:
            if type(error).__name__ == "ResourceExhaustedError":
                raise
            text = f"{type(error).__name__}: {str(error)[:_TEXT]}"
            raise Refusal(kind, f"{where}: signature `{name}` failed: {text}") from None
        return {key: _array(value) for key, value in got.items()}


def _as_keras(text: str) -> str:
    return f"the export does not answer as Keras does: {text.replace('golden request', 'request')}"


def _array(value: Any) -> Any:
    """What a session gives as an array; a single string comes as bare bytes, whose last zeros numpy would drop."""
    if not isinstance(value, bytes):
        return np.asarray(value)
    single: Any = np.empty((), object)
    single[()] = value
    return single


def _fits(declared: Any, shape: tuple[int, ...]) -> bool:
    if declared.unknown_rank:
        return True
    sizes = [size.size for size in declared.dim]
    return len(sizes) == len(shape) and all(size in {-1, got} for size, got in zip(sizes, shape, strict=True))
