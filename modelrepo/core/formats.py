"""The number of the on-disk format, and what is said of data that does not fit it."""

from __future__ import annotations

from modelrepo.errors import IntegrityError

#: What this program writes. It opens this and every older one.
FORMAT = 1


def newer_format(where: str, number: int) -> IntegrityError:
    """The error for something that a newer modelrepo wrote."""
    return IntegrityError(
        f"{where} is of a newer format",
        kind="newer-format",
        expected=f"format {FORMAT}",
        got=f"format {number}",
        hint="use the modelrepo that wrote it, or a newer one",
    )
