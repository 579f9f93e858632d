"""Stands in for `tensorflow_model_server`, which has no package for Python: the same options, REST form and manners.

What it does as TensorFlow Serving does (docs/serving.md names the sources): it reads its configuration again from time
to time, and serves what stands in it alone; it looks at all base paths once a second, and, where one of them is
missing, lets all models be as they are; it serves the highest number in each, loads the new one before it lets go of
the old one, and goes on telling of one that it let go of. Models are loaded and run by TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_LOOK_SECONDS = 0.1


class Models:
    """What is served, by the models' names.

    Args:
        config: The file with the list of models.
        config_seconds: How often it is read.
        poll_seconds: How often the base paths are looked at.
    """

    def __init__(self, config: Path, config_seconds: float, poll_seconds: float) -> None:
        self._config = config
        self._every = {self._read: config_seconds, self._poll: poll_seconds}
        self._paths: dict[str, Path] = {}
        self._serving: dict[str, tuple[int, Any]] = {}
        self._states: dict[str, dict[int, str]] = {}

    def keep(self) -> None:
        """Follow the files for ever."""
        due = dict.fromkeys(self._every, 0.0)
        while True:
            for act, seconds in self._every.items():
                if time.monotonic() >= due[act]:
                    act()
                    due[act] = time.monotonic() + seconds
            time.sleep(_LOOK_SECONDS)

    def _read(self) -> None:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        config = text_format.Parse(self._config.read_text(), model_server_config_pb2.ModelServerConfig())
        self._paths = {model.name: Path(model.base_path) for model in config.model_config_list.config}
        for name in self._serving.keys() - self._paths.keys():
            number, _ = self._serving.pop(name)
            self._states[name][number] = "END"

    def _poll(self) -> None:
        found: dict[str, list[int]] = {}
        for name, path in self._paths.items():
            try:
                found[name] = sorted(int(child) for child in os.listdir(path) if child.isdecimal())
            except FileNotFoundError:
                sys.stdout.write(f"FileSystemStoragePathSource encountered a filesystem access error: {path}\n")
                sys.stdout.flush()
                return
        for name, numbers in found.items():
            before, _ = self._serving.get(name, (None, None))
            if numbers and numbers[-1] != before:
                self._states.setdefault(name, {})[numbers[-1]] = "LOADING"
                self._serving[name] = numbers[-1], loaded(self._paths[name] / str(numbers[-1]))
                self._states[name][numbers[-1]] = "AVAILABLE"
                if before is not None:
                    self._states[name][before] = "END"
                sys.stdout.write(f"Successfully loaded servable version {{name: {name} version: {numbers[-1]}}}\n")
                sys.stdout.flush()

    def status(self, name: str) -> tuple[int, Any]:
        """Which versions of a model there are, and were."""
        if name not in self._states:
            return 404, {"error": f"Could not find any versions of model {name}"}
        states = sorted(self._states[name].items(), reverse=True)
        ok = {"error_code": "OK", "error_message": ""}
        return 200, {"model_version_status": [{"version": str(n), "state": each, "status": ok} for n, each in states]}

    def predict(self, name: str, request: Any) -> tuple[int, Any]:
        """Run a model."""
        import tensorflow as tf

        _, function = self._serving.get(name, (0, None))
        if function is None:
            return 404, {"error": f"Servable not found for request: Latest({name})"}
        dtypes = {key: spec.dtype for key, spec in function.structured_input_signature[1].items()}
        inputs = {key: tf.constant(value, dtypes[key]) for key, value in request["inputs"].items()}
        outputs = {key: value.numpy().tolist() for key, value in function(**inputs).items()}
        return 200, {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def loaded(path: Path) -> Any:
    """A version's signature; the model itself is kept with it."""
    import tensorflow as tf

    model = tf.saved_model.load(os.path.realpath(path))
    function = model.signatures["serving_default"]
    function.model = model
    return function


class Handler(BaseHTTPRequestHandler):
    """TensorFlow Serving's REST interface, as far as it is used."""

    protocol_version = "HTTP/1.1"
    models: Models

    def do_GET(self) -> None:
        """Say what there is of a model."""
        self._answer(*self.models.status(self.path.removeprefix("/v1/models/")))

    def do_POST(self) -> None:
        """Run a model."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(*self.models.predict(self.path.removeprefix("/v1/models/").removesuffix(":predict"), request))

    def _answer(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    """Takes many callers at once."""

    request_queue_size = 128


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rest_api_port", type=int, required=True)
    parser.add_argument("--model_config_file", type=Path, required=True)
    parser.add_argument("--model_config_file_poll_wait_seconds", type=float, default=0)
    parser.add_argument("--file_system_poll_wait_seconds", type=float, default=1)
    given = parser.parse_args()
    never = sys.maxsize
    config_seconds = given.model_config_file_poll_wait_seconds or never
    Handler.models = Models(given.model_config_file, config_seconds, given.file_system_poll_wait_seconds)
    threading.Thread(target=Handler.models.keep, daemon=True).start()
    Server(("127.0.0.1", given.rest_api_port), Handler).serve_forever()


if __name__ == "__main__":
    main()
