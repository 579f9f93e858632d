"""What the inspector shall run once a model is loaded: the parent's side of `running`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelrepo.errors import ModelError, ModelRepoError, NotFoundError, RequestError

#: What the child says of requests and answers, and whose fault that is.
_FAMILIES: dict[str, type[ModelRepoError]] = {
    "requests-malformed": RequestError,
    "signature-missing": NotFoundError,
    "golden-mismatch": ModelError,
    "smoke-failed": ModelError,
    "model-run": ModelError,
    "outputs-too-large": ModelError,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What to run; nothing by default.

    Attributes:
        golden: The bytes of a file of golden requests.
        smoke: Whether to call every signature with zeros or empty strings.
        inputs: The bytes of a file with the inputs of one call.
        signature: Which signature that call means; None for the usual one.
    """

    golden: bytes | None = None
    smoke: bool = False
    inputs: bytes | None = None
    signature: str | None = None

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
            "smoke": self.smoke,
            "inputs": None if self.inputs is None else hand(self.inputs),
            "signature": self.signature,
        }


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
    return family(printable(str(answer.get("error"))), kind=kind, expected=expected, got=got)
