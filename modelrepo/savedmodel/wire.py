"""Protocol buffers' wire: fields one behind the other, each with its number, and, where it has content, its length."""

from __future__ import annotations

from collections.abc import Iterator


class UnusualError(Exception):
    """Bytes that are no message, or one as nobody writes it."""


def head(number: int, size: int) -> bytes:
    """What stands before a field with content."""
    found = bytearray([number << 3 | 2])
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    found.append(size)
    return bytes(found)


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """A message's fields with content, each with its number, and where it, its content and its end are.

    Raises:
        UnusualError: It ends elsewhere, or holds what nobody writes.
        IndexError: The bytes end before.
    """
    while at < end:
        begin = at
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _short(data, begin)
        match tag & 7:
            case 2:
                size = data[at]
                at += 1
                if size > 127:
                    size, at = _short(data, at - 1)
                stop = at + size
                if stop > end:
                    raise UnusualError
                yield tag >> 3, begin, at, stop
                at = stop
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case _:  # groups
                raise UnusualError
    if at != end:
        raise UnusualError


def _short(data: bytes, at: int) -> tuple[int, int]:
    """A number of 32 bits in as few bytes as it needs, and where it ends."""
    number, end = _varint(data, at)
    if number >> 32 or not data[end - 1]:
        raise UnusualError
    return number, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise UnusualError
