"""What is not as it should be: `status` and `verify` say it alike."""

from __future__ import annotations

from modelrepo.core.values import Value


class Problem(Value):
    """One finding of `verify` or `status`.

    Attributes:
        kind: A short stable word.
        path: What it is about, relative to the root where it is inside.
        detail: What is wrong, expected and got.
        repaired: Whether `verify --repair` has mended it.
        note: Whether it only informs: notes do not make a repository unsound.
    """

    kind: str
    path: str
    detail: str
    repaired: bool = False
    note: bool = False
