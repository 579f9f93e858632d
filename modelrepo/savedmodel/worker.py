"""The inspector's child process: the only file that imports TensorFlow.

It talks with its parent in JSON lines: its limits, then requests on standard input, answers on what was standard output
(models and TensorFlow may print what they like; that goes to standard error). `{"do": "read", "path": …}` reads and
scans the model without loading it, with TensorFlow's own protocol buffers, which can be imported without it.
`{"do": "load", "path": …, "tags": […]}` loads it with the Session loader, as TensorFlow Serving does, and then runs
what else the request names (`requests.Trial`). `{"do": "requests", "path": …}` looks at a file of golden requests.
`{"do": "export", "path": …}` makes a SavedModel of a Keras file (`keras_export`), `{"do": "convert", "path": …}` a
model for phones or browsers of a version (`converting`).
`{"do": "compare", "step": …}` is a step of a comparison (`comparing`), whose first is a load that keeps the model.
An answer is `{"ok": …}` or `{"error": …, "kind": …}`; where the system could not read, `{"errno": …, "file": …}`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import sys
import time
import types
from typing import Any, TextIO

from modelrepo.savedmodel import arrays, cage, describing, parsing, rules, scanning
from modelrepo.savedmodel.parsing import FailedError

_MESSAGE_LIMIT = 4000
#: What is asked without a model, with the step of a comparison: what goes wrong there is no model's fault.
_WITHOUT_MODEL = (("requests", None), ("compare", "look"), ("compare", "judge"))

#: What this process has given up.
_HELD: list[str] = []


def main() -> None:
    """Answer requests until standard input ends."""
    answers = _take_output()
    with contextlib.suppress(FailedError):  # it is said where it is asked for
        _protos()  # the parent has other things to do meanwhile
        rules.load()
    line = sys.stdin.readline()
    if not line:
        return
    limits = json.loads(line)
    _HELD.extend(cage.enter(memory=limits["memory"], scratch=limits["scratch"]))
    if os.getppid() != limits["parent"]:
        os._exit(1)  # it died before it could be watched
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"ok": _ACTIONS[request["do"]](request)}
        except arrays.Refusal as refusal:
            answer = refusal.answer()
        except FailedError as failed:
            answer = {"error": str(failed)[:_MESSAGE_LIMIT], "kind": failed.kind}
        except MemoryError:
            answer = {"error": "it ran out of memory", "kind": "model-memory"}
        except Exception as error:  # noqa: BLE001 - whatever a model makes TensorFlow raise is an answer
            answer = _failed(error, request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    sys.stderr.flush()
    os._exit(0)  # TensorFlow's own clean-up takes time and has nothing to do here


def _failed(error: Exception, request: dict[str, Any]) -> dict[str, Any]:
    """What is said of an error that nobody foresaw.

    The system's, where it could not read; modelrepo's own, where no model has a part in it; else the model's.
    """
    modelless = (request.get("do"), request.get("step")) in _WITHOUT_MODEL
    if parsing.is_of_system(error) and (modelless or request["do"] == "read"):
        return {"errno": error.errno, "file": str(error.filename or request.get("path", ""))}
    memory = type(error).__name__ == "ResourceExhaustedError"
    kind = "model-memory" if memory else "unexpected" if modelless else "model-unloadable"
    return {"error": f"{type(error).__name__}: {error}"[:_MESSAGE_LIMIT], "kind": kind}


def _take_output() -> TextIO:
    """Keep standard output for answers alone; what anybody prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    return answers


def _warm(_: dict[str, Any]) -> dict[str, Any]:
    """Import TensorFlow now, while the parent does something else."""
    started = time.monotonic()
    version = _tensorflow().__version__
    return {"tensorflow_version": version, "seconds": round(time.monotonic() - started, 3)}


def _tensorflow() -> Any:
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise FailedError("tensorflow-missing", f"TensorFlow cannot be imported here: {error}") from None


class _Protos:
    """TensorFlow's generated protocol buffers, imported without TensorFlow where that was not imported yet.

    A bare module with the package's search path stands in for `tensorflow` meanwhile; behind it every trace is
    dropped, so that the real import still works in this process.
    """

    def __init__(self) -> None:
        borrowed = "tensorflow" not in sys.modules
        if borrowed:
            found = importlib.util.find_spec("tensorflow")
            if found is None or found.submodule_search_locations is None:
                raise FailedError("tensorflow-missing", "TensorFlow is not installed here")
            stand_in = types.ModuleType("tensorflow")
            stand_in.__path__ = list(found.submodule_search_locations)
            sys.modules["tensorflow"] = stand_in
        try:
            self.saved_model = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2")
            self.types = importlib.import_module("tensorflow.core.framework.types_pb2")
            self.graph = importlib.import_module("tensorflow.core.framework.graph_pb2")
            self.function = importlib.import_module("tensorflow.core.framework.function_pb2")
            self.meta_graph = importlib.import_module("tensorflow.core.protobuf.meta_graph_pb2")
            self.fingerprint: Any = None
            with contextlib.suppress(ImportError):  # a TensorFlow older than fingerprints
                self.fingerprint = importlib.import_module("tensorflow.core.protobuf.fingerprint_pb2")
        finally:
            if borrowed:
                for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]:
                    del sys.modules[name]


@functools.cache
def _protos() -> _Protos:
    """TensorFlow's protocol buffers, imported once."""
    return _Protos()


def _read(request: dict[str, Any]) -> dict[str, Any]:
    path = request["path"]
    protos = _protos()
    model = parsing.parse(path, protos.saved_model.SavedModel)
    if not model.meta_graphs:
        raise FailedError("model-empty", "its saved_model file holds no meta graph")
    return {
        "meta_graphs": [describing.meta_graph(graph, protos.types) for graph in model.meta_graphs],
        "fingerprint": _fingerprint(path, protos),
        **_scanned(path, model, protos),
    }


def _scanned(path: str, model: Any, protos: _Protos) -> dict[str, Any]:
    """What the scan found. Where it fails, the model was not scanned, and that is no answer."""
    known = rules.load()
    kinds = (protos.graph.GraphDef, protos.function.FunctionDefLibrary, protos.function.FunctionDef)
    scan = scanning.Scan(known, kinds, protos.meta_graph.AssetFileDef)
    try:
        findings = scan.run(model, [name for name in parsing.MODEL_FILES if os.path.lexists(os.path.join(path, name))])
    except MemoryError:
        raise
    except Exception as error:
        raise FailedError("model-unscannable", f"the scan failed: {type(error).__name__}: {error}") from error
    return {"findings": findings, "scanned_by": known.tensorflow}


def _fingerprint(path: str, protos: _Protos) -> dict[str, str] | None:
    if protos.fingerprint is None:
        return None
    data = parsing.read(path, "fingerprint.pb")
    if data is None:
        return None
    try:
        message = protos.fingerprint.FingerprintDef.FromString(data)
    except Exception as error:  # noqa: BLE001 - protobuf's DecodeError
        raise FailedError("model-unparsable", f"its fingerprint.pb does not parse: {error}") from None
    fields = {
        field.name: str(getattr(message, field.name)) for field in message.DESCRIPTOR.fields if not field.message_type
    }
    fields["version"] = str(message.version.producer)
    return fields


def _load(request: dict[str, Any]) -> dict[str, Any]:
    from modelrepo.savedmodel import questions, requests  # a mere reading need not wait for them

    trial, asked = requests.Trial.of(request), questions.of(request.get("questions"))
    tensorflow = _tensorflow()
    from modelrepo.savedmodel import running  # needs numpy, which comes with TensorFlow

    started, before = time.monotonic(), cage.peak()
    v1 = tensorflow.compat.v1
    options = v1.ConfigProto(allow_soft_placement=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tensorflow.Graph().as_default())
        session = stack.enter_context(v1.Session(config=options))
        graph = v1.saved_model.loader.load(session, request["tags"], request["path"])
        seconds = round(time.monotonic() - started, 3)
        runner = running.Runner(tensorflow, session, graph)
        ran = runner.run(trial)
        if asked is not None:
            from modelrepo.savedmodel import answering

            ran["answering"] = {**answering.start(runner, asked, stack.pop_all()), "memory": before}
    return {"tensorflow_version": tensorflow.__version__, "seconds": seconds, "cage": _HELD, **ran}


def _requests(request: dict[str, Any]) -> dict[str, Any]:
    """Look at a file of golden requests."""
    from modelrepo.savedmodel import requests

    return requests.check(request)


def _compare(request: dict[str, Any]) -> dict[str, Any]:
    """Take a step of a comparison."""
    from modelrepo.savedmodel import comparing

    return comparing.STEPS[request["step"]](request)


def _export(request: dict[str, Any]) -> dict[str, Any]:
    """Make a SavedModel of a Keras file."""
    from modelrepo.savedmodel import keras_export

    os.environ["KERAS_BACKEND"] = "tensorflow"
    tensorflow = _tensorflow()
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        raise FailedError("tensorflow-missing", f"Keras cannot be imported here: {error}") from None
    wishes = keras_export.Wishes(**request["wishes"])
    model = keras_export.load(keras, request["path"], wishes, request["place"])
    made = keras_export.export(keras, tensorflow, model, wishes, request["directory"], request["name"])
    return {**made, "tensorflow_version": tensorflow.__version__}


def _convert(request: dict[str, Any]) -> dict[str, Any]:
    """Convert a signature of a version."""
    from modelrepo.savedmodel import converting  # which tells first what of a file of requests is wrong

    def kit() -> Any:
        tensorflow = _tensorflow()
        names = ("tensorflow.python.framework.convert_to_constants", "tensorflow.python.grappler.tf_optimizer")
        inside = map(importlib.import_module, names)
        return tensorflow, *inside, importlib.import_module("google.protobuf.json_format").MessageToDict

    return converting.convert(kit, request)


_ACTIONS = {
    "warm": _warm,
    "read": _read,
    "load": _load,
    "requests": _requests,
    "export": _export,
    "compare": _compare,
    "convert": _convert,
}

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()
