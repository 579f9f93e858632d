"""A SavedModel that was made of a Keras model, as the parent sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from modelrepo.fs import durable

_FINGERPRINT = "fingerprint.pb"


@dataclass(frozen=True)
class KerasExport:
    """A SavedModel that was made of a Keras model.

    Attributes:
        directory: Where it is.
        answers: Requests and what Keras answers, as a file of golden requests.
        keras: Keras's version.
        made_up: Names of inputs that Keras made up.
    """

    directory: Path
    answers: bytes
    keras: str
    made_up: tuple[str, ...]

    @classmethod
    def of(cls, directory: Path, said: Mapping[str, Any]) -> Self:
        """Put the name of an export into it.

        Args:
            directory: Where it is.
            said: What `keras_export.export` has said.
        """
        if said["fingerprint"] is not None:
            durable.remove_file(directory / _FINGERPRINT)
            durable.write_new(directory / _FINGERPRINT, bytes.fromhex(said["fingerprint"]), None)
        answers = json.dumps(said["answers"]).encode()
        return cls(directory, answers, str(said["keras"]), tuple(map(str, said["made_up"])))
