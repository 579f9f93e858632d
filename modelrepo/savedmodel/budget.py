"""How long a scan may go on."""

from __future__ import annotations


class UnfinishedError(Exception):
    """The scan went on for longer than it may."""


class Budget:
    """How many steps a scan may take: a small model can ask for endless ones."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            UnfinishedError: There are none left.
        """
        self._left -= steps
        if self._left < 0:
            raise UnfinishedError
