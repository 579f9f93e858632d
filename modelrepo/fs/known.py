"""What a process knows of the journal: its sum and its end, read with the help of the index, and followed from there.

The journal stays the truth. An index is used where the journal up to its mark is what it was: nobody has touched it
since (`Stamp`), or its bytes have the same checksum. Else it is as if there were none.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from modelrepo.core import index as indexing
from modelrepo.core.history import EMPTY, State, fold_lines
from modelrepo.core.index import Index, Mark, Stamp
from modelrepo.core.modes import FILE
from modelrepo.core.records import Line, Parsed, Record, decode, line_digest, parse_journal
from modelrepo.core.values import Value
from modelrepo.fs import durable
from modelrepo.fs.files import open_regular, read_file

MAX_JOURNAL_BYTES = 1024 * 1024 * 1024
_MAX_INDEX_BYTES = 256 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_LINE_BYTES = 2048
_STEP_BYTES = 64 * 1024


def stamp_of(status: os.stat_result) -> Stamp:
    """What tells whether a file was touched."""
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Known(Value):
    """A journal, as it was read.

    Attributes:
        parsed: Its lines; the last ones, where only the sum of the others is known.
        state: Its sum.
        stamp: How it stood when it was read.
        crc: The CRC-32 of all bytes up to the end of its last whole line.
        is_indexed: Whether its index says the same.
    """

    parsed: Parsed
    state: State
    stamp: Stamp
    crc: int
    is_indexed: bool = False

    @property
    def mark(self) -> Mark:
        """Its last whole line."""
        line = self.parsed.lines[-1]
        return Mark(line.record.seq, line.start, line.end, line_digest(line.raw), self.crc)

    @property
    def is_sound(self) -> bool:
        """Whether it can be built on: it has lines, and none is damaged."""
        return bool(self.parsed.lines) and self.parsed.damage is None


class _File:
    """A journal that is open, for as long as somebody may ask for a line of it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = open_regular(path)
        self.status = os.fstat(self.descriptor)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def read(self, start: int, size: int) -> bytes:
        """So many bytes, fewer only at the end of the file."""
        pieces = []
        while size > 0 and (piece := os.pread(self.descriptor, min(size, _PIECE_BYTES), start)):
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return b"".join(pieces)

    def record(self, start: int) -> Record:
        """The record at an offset that an index told.

        Raises:
            IntegrityError: There is none.
        """
        size = _LINE_BYTES
        raw = self.read(start, size)
        while (end := raw.find(b"\n") + 1) == 0 and len(raw) == size:
            size *= 2
            raw = self.read(start, size)
        try:
            return decode(raw[:end])
        except ValueError as error:
            raise indexing.misfit() from error

    def starts_with(self, mark: Mark) -> bool:
        """Whether the bytes up to a mark are those that it was made behind."""
        crc, offset = 0, 0
        while offset < mark.end and (piece := self.read(offset, min(_PIECE_BYTES, mark.end - offset))):
            crc, offset = zlib.crc32(piece, crc), offset + len(piece)
        return (crc, offset) == (mark.crc, mark.end)

    def behind(self, mark: Mark, stamp: Stamp) -> Parsed | None:
        """The line of a mark and those behind it; None where the journal is not the one that it was made in."""
        now = stamp_of(self.status)
        if now != stamp and (now.size < mark.end or not self.starts_with(mark)):
            return None
        if now.size - mark.start > MAX_JOURNAL_BYTES:
            return None  # whoever reads it whole says so
        parsed = parse_journal(self.read(mark.start, now.size - mark.start), mark.start, mark.seq)
        if parsed.damage is not None or line_digest(parsed.lines[0].raw) != mark.digest:
            return None
        before = mark.digest
        for line in parsed.lines[1:]:
            if line.record.prev != before:
                return None
            before = line_digest(line.raw)
        return parsed


def read(path: Path, index: Path | None) -> Known:
    """Read a journal.

    Args:
        path: The journal.
        index: Its index; None to read every line of the journal, whatever an index says.

    Raises:
        OSError: The journal is missing, no regular file, or may not be read.
    """
    file = _File(path)
    if index is not None and (found := _indexed(index, file)) is not None:
        return _grown(found.state, file, found.mark, found.stamp) or _whole(path)
    return _whole(path)


def read_sum(path: Path) -> Known:
    """Read every line of a journal, and keep its sum and its end: a hundred thousand lines would take 400 MB.

    Raises:
        OSError: The journal is missing, no regular file, or may not be read.
    """
    stamp = stamp_of(os.stat(path, follow_symlinks=False))
    data = read_file(path, MAX_JOURNAL_BYTES)
    state, start, seq = EMPTY, 0, 1
    while len(data) - start > 2 * _PIECE_BYTES and (stop := data.rfind(b"\n", start, start + _PIECE_BYTES) + 1):
        piece = parse_journal(data[start:stop], start, seq)
        if piece.end != stop:
            return _whole(path)  # something is wrong with it
        state, start, seq = fold_lines(piece.lines, state), stop, piece.lines[-1].record.seq + 1
    parsed = parse_journal(data[start:], start, seq)
    if all(line.record.phase == "intent" for line in parsed.lines):
        return _whole(path)  # an append begins with the last record that is none
    return Known(parsed, fold_lines(parsed.lines, state), stamp, zlib.crc32(memoryview(data)[: parsed.end]))


def before(path: Path, line: Line) -> Iterator[Line]:
    """The lines that stand before one of a journal, the last first; each is the one that the next says it follows.

    Args:
        path: The journal.
        line: The line.

    Raises:
        OSError: As `read`.
        ValueError: They are others.
    """
    file = _File(path)
    start = end = line.start  # `data` holds the bytes from `start` on; what stands behind `end` was given
    data = b""
    while end > 0:
        while (begin := data.rfind(b"\n", 0, max(0, end - start - 1)) + 1) == 0 and start > 0:
            data = data[: end - start]
            size = min(start, max(_STEP_BYTES, len(data)))
            start -= size
            data = file.read(start, size) + data
        raw, end = data[begin : end - start], start + begin
        if line_digest(raw) != line.record.prev:
            raise ValueError("a line is not the one that the next line follows")
        line = Line(decode(raw), raw, end)
        yield line


def follow(known: Known, path: Path) -> Known:
    """Read what was written to a journal since it was read; all of it, where it is not the same any more."""
    file = _File(path)
    if stamp_of(file.status) == known.stamp:
        return known
    if not known.is_sound:
        return _whole(path)
    grown = _grown(known.state, file, known.mark, known.stamp)
    if grown is None:
        return _whole(path)
    lines = (*known.parsed.lines, *grown.parsed.lines[1:])
    return grown.replaced(parsed=grown.parsed.replaced(lines=lines))


def _whole(path: Path) -> Known:
    stamp = stamp_of(os.stat(path, follow_symlinks=False))  # an older one only costs a look at the bytes
    data = read_file(path, MAX_JOURNAL_BYTES)
    parsed = parse_journal(data)
    crc = zlib.crc32(memoryview(data)[: parsed.end])
    return Known(parsed, fold_lines(parsed.lines), stamp, crc)


def _indexed(path: Path, file: _File) -> Index | None:
    """The index, if it can be used at all."""
    try:
        return indexing.decode(read_file(path, _MAX_INDEX_BYTES), file.record)
    except (OSError, ValueError):
        return None


def _grown(state: State, file: _File, mark: Mark, stamp: Stamp) -> Known | None:
    """What was known up to a mark, and what stands behind it."""
    parsed = file.behind(mark, stamp)
    if parsed is None:
        return None
    new = parsed.lines[1:]
    crc = zlib.crc32(b"".join(line.raw for line in new), mark.crc)
    now = stamp_of(file.status)
    return Known(parsed, fold_lines(new, state) if new else state, now, crc, is_indexed=now == stamp)


def save(known: Known, path: Path, temporary: Path) -> None:
    """Write the index of a journal. Not synced: it is derived.

    Args:
        known: The journal; with an open intent, an unfinished end or damage there is nothing to write.
        path: The index.
        temporary: An unused name on the same file system.

    Raises:
        OSError: It could not be written; the old one is there, and found to be old.
    """
    if known.is_sound and not known.parsed.torn and known.state.open is None:
        data = indexing.encode(Index(known.mark, known.stamp, known.state))
        durable.replace_file(path, data, FILE, temporary, synced=False)
