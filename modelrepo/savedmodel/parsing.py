"""Reading a SavedModel's file into TensorFlow's protocol buffer, whose type the worker hands in."""

from __future__ import annotations

import os
import stat
from typing import Any, TypeGuard

from modelrepo.savedmodel import pieces

#: The files that can be the model; programs differ in which they take where several are there.
MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
#: Protocol buffers refuse larger messages.
_MESSAGE_BYTES = 2**31 - 1
#: Smaller files take little memory, however many nodes they have.
_LARGE_BYTES = 16 * 1024**2


class FailedError(Exception):
    """A request that was understood and failed.

    Attributes:
        kind: A short stable word.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def is_of_system(error: Exception) -> TypeGuard[OSError]:
    """Whether the system said it: TensorFlow raises `OSError`, too, without a number."""
    return isinstance(error, OSError) and error.errno is not None


def parse(path: str, kind: Any) -> Any:
    """The SavedModel in a directory, or, of a large one, what can be read as if it were that message.

    Args:
        path: The directory.
        kind: TensorFlow's message type SavedModel.

    Raises:
        FailedError: There is none, or it does not parse.
        OSError: The system could not read it.
    """
    model = kind()
    try:
        if (data := read(path, MODEL_FILES[0])) is not None:
            if len(data) >= _LARGE_BYTES and (found := pieces.parse(data, kind)) is not None:
                return found
            model.ParseFromString(data)
        elif (data := read(path, MODEL_FILES[1])) is not None:
            from google.protobuf import text_format

            text_format.Parse(data.decode(), model)
        else:
            _no_model(path)
    except (FailedError, MemoryError):
        raise
    except Exception as error:  # protobuf's and TensorFlow's errors have no common base
        if is_of_system(error):
            raise
        raise FailedError("model-unparsable", f"its saved_model file does not parse: {error}") from None
    return model


def _no_model(path: str) -> None:
    """Say why there is nothing to parse."""
    if read(path, MODEL_FILES[2]) is None:
        raise FailedError("model-unparsable", f"it has none of {', '.join(MODEL_FILES)}")
    message = "saved_model.cpb is a chunked SavedModel, which no release of TensorFlow loads, nor TensorFlow Serving"
    raise FailedError("model-chunked", message)


def read(directory: str, name: str) -> bytes | None:
    """A regular file's bytes; None where there is no such file. A pipe of that name is not waited for.

    Raises:
        FailedError: It is no regular file, or too large for protocol buffers.
        OSError: The system could not read it.
    """
    try:
        descriptor = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FailedError("model-unparsable", f"{name} is not a regular file")
        if status.st_size > _MESSAGE_BYTES:
            raise FailedError("model-unparsable", f"{name} is larger than 2 GiB, which protocol buffers refuse")
        return file.read()
