"""Figures of a comparison: of measured times, and how figures are written for people."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """What a share of the values does not exceed, between two neighbours by a straight line.

    Args:
        ordered: The values, in order; at least one.
        share: From 0 to 1.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2], 0.95), quantile([7], 0.95)
    (2.5, 1.95, 7)
    """
    place = (len(ordered) - 1) * share
    index = int(place)
    if index == len(ordered) - 1:
        return ordered[index]
    return ordered[index] + (ordered[index + 1] - ordered[index]) * (place - index)


def number(value: float | None) -> str:
    """A difference.

    >>> number(0.000123456), number(None)
    ('0.000123', '-')
    """
    return "-" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in percent, never rounded up to all or down to nothing.

    >>> share(0.5), share(1), share(0.999999), share(0.000001), share(None)
    ('50.00%', '100.00%', '<100%', '>0%', '-')
    """
    if value is None:
        return "-"
    text = f"{100 * value:.2f}%"
    if text == "100.00%" and value < 1:
        return "<100%"
    return ">0%" if text == "0.00%" and value > 0 else text


def milliseconds(seconds: float) -> str:
    """A time of one call.

    >>> milliseconds(0.00123456), milliseconds(12)
    ('1.23 ms', '12000 ms')
    """
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{1000 * seconds:.0f} ms"
