"""What the inspector shall run once a model is loaded: the parent's side of `running`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelrepo.errors import ModelError, ModelRepoError, NotFoundError, RequestError, SourceError
from modelrepo.savedmodel.questions import Questions

#: What the child says of requests and answers, and whose fault that is.
_FAMILIES: dict[str, type[ModelRepoError]] = {
    "requests-malformed": RequestError,
    "labels-malformed": RequestError,
    "signature-missing": NotFoundError,
    "golden-mismatch": ModelError,
    "keras-mismatch": ModelError,
    "keras-custom": ModelError,
    "keras-unsafe": ModelError,
    "keras-export": ModelError,
    "keras-unbuilt": ModelError,
    "keras-run": ModelError,
    "keras-backend": ModelError,
    "keras-option": RequestError,
    "keras-unreadable": SourceError,
    "smoke-failed": ModelError,
    "model-run": ModelError,
    "outputs-too-large": ModelError,
    "converter-missing": ModelError,
    "convert-unsupported": ModelError,
    "convert-failed": ModelError,
    "convert-run": ModelError,
    "convert-uncompared": ModelError,
    "convert-mismatch": ModelError,
}
#: What to do about it.
_HINTS = {
    "keras-custom": "--custom-objects package.module:NAME says where it is",
    "keras-unsafe": "--unsafe-deserialization lets it run while it is exported: only what you would run yourself",
    "keras-export": "--serving FILE.py:FUNCTION says what to serve; or export it in Python and push the directory",
    "keras-unbuilt": "call it once before saving, or give it an Input; --serving FILE.py:FUNCTION says what it takes",
    "keras-run": "--serving FILE.py:FUNCTION says what to serve",
    "keras-unreadable": "save it again with model.save(); a SavedModel is pushed as a directory",
    "converter-missing": "docs/convert.md says what to install; nothing was stored",
    "convert-unsupported": "--batch-size N fixes what is open of a recurrent model; --signature S names another",
    "convert-failed": "what changes its variables cannot be converted; --signature S names another signature",
    "convert-run": "--batch-size N fixes what is open; --input FILE names requests that it takes",
    "convert-uncompared": "--input FILE names requests that the version answers",
    "convert-mismatch": "nothing was stored; where less will do, --tolerance NUMBER allows more",
    "keras-mismatch": "what was exported is another model than Keras's: nothing was stored",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What to run; nothing by default.

    Attributes:
        golden: The bytes of a file of golden requests.
        answers: Likewise, of requests that the model this one was made of has answered.
        smoke: Whether to call every signature with zeros or empty strings.
        inputs: The bytes of a file with the inputs of one call.
        signature: Which signature that call means; None for the usual one.
        questions: What to answer and keep the model for; see `comparing`.
    """

    golden: bytes | None = None
    answers: bytes | None = None
    smoke: bool = False
    inputs: bytes | None = None
    signature: str | None = None
    questions: Questions | None = None

    @property
    def doing(self) -> str:
        """What this is, for messages."""
        return "loading the model" if self == NOTHING else "loading and running the model"

    def request(self, hand: Callable[[bytes], str]) -> dict[str, Any]:
        """The same as fields for the child.

        Args:
            hand: Puts bytes where the child can read them.
        """
        return {
            "golden": None if self.golden is None else hand(self.golden),
            "answers": None if self.answers is None else hand(self.answers),
            "smoke": self.smoke,
            "inputs": None if self.inputs is None else hand(self.inputs),
            "signature": self.signature,
            "questions": None if self.questions is None else handed(self.questions.fields(), hand),
        }


def handed(fields: Mapping[str, object], hand: Callable[[bytes], str]) -> dict[str, object]:
    """Fields for the child, with files in place of bytes."""
    return {key: hand(value) if isinstance(value, bytes) else value for key, value in fields.items()}


NOTHING = Trial()


def refusal(answer: Mapping[str, Any], printable: Callable[[str], str]) -> ModelRepoError | None:
    """The error that an answer about requests means; None where it is about something else."""
    kind = str(answer.get("kind"))
    family = _FAMILIES.get(kind)
    if family is None:
        return None
    expected, got = (
        printable(value) if isinstance(value := answer.get(name), str) else None for name in ("expected", "got")
    )
    error = family(printable(str(answer.get("error"))), kind=kind, expected=expected, got=got)
    error.hint = _HINTS.get(kind)
    return error


def printable(text: str) -> str:
    """One line that does nothing to a terminal."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
