"""What a model carries for its training alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from modelrepo.core.units import format_size


@dataclass(frozen=True, kw_only=True)
class Training:
    """What only training needs of a model.

    Attributes:
        signatures: Signatures that change variables as optimizers do.
        variables: How many variables no other signature uses, such as an optimizer's slots.
        size: Their bytes.
    """

    signatures: tuple[str, ...] = ()
    variables: int = 0
    size: int = 0
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def is_worth_saying(self, whole: int) -> bool:
        """Whether it is more than crumbs, such as a layer's seed, of a model of so many bytes.

        >>> [Training(variables=1, size=size).is_worth_saying(25_000) for size in (8, 800)]
        [False, True]
        """
        return bool(self.signatures) or self.size * 100 >= max(whole, 1)

    def __str__(self) -> str:
        """In words.

        >>> str(Training(signatures=("train",), variables=2, size=800))
        'only training needs signature train and 2 variables of 800 B'
        """
        parts = []
        if self.signatures:
            parts.append(f"signature{'s' * (len(self.signatures) > 1)} {', '.join(self.signatures)}")
        if self.variables:
            parts.append(f"{self.variables} variable{'s' * (self.variables > 1)} of {format_size(self.size)}")
        return f"only training needs {' and '.join(parts) or 'nothing'}"
