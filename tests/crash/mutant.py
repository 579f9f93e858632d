"""A deliberate bug of the package, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A piece of a file of the package, and what stands there instead."""

    file: str
    old: str
    new: str

    def made(self, text: str) -> str:
        """A file's text, changed.

        Raises:
            ValueError: It does not fit (any more): the old text is not there exactly once.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{text.count(self.old)} times in {self.file}, not once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """A bug.

    Attributes:
        name: What is wrong.
        scenario: Which accident catches it.
        says: Words of what that then tells.
        changes: What is done to the package.
    """

    name: str
    scenario: str
    says: str
    changes: tuple[Change, ...]
