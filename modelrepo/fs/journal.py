"""The journal on the disk: reading it, and appending one synced record.

Every append writes again what follows the start of the last closed record, with the same bytes, and syncs once. A
record whose sync failed late, in a command that is long gone, is thereby written anew before anything is built on it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from modelrepo.core.index import Stamp
from modelrepo.core.records import NOTHING, Line, Parsed, Record, decode, encode, line_digest
from modelrepo.errors import IntegrityError
from modelrepo.fs import ballast, durable, native
from modelrepo.fs.known import stamp_of

#: Blocks are reserved this far ahead, so that a full disk does not stop the next records.
_AHEAD_BYTES = 256 * 1024
_LOW_BYTES = 64 * 1024


class Journal:
    """The journal of a writer that holds the lock.

    Args:
        path: Where.
        ballast_directory: Room that a full disk gives back.
        parsed: Its lines, at least from the last closed record on.
    """

    def __init__(self, path: Path, ballast_directory: Path, parsed: Parsed) -> None:
        self._path = path
        self._ballast = ballast_directory
        self._lines = list(parsed.lines)
        self._end = parsed.end
        self._size = parsed.end + parsed.torn
        self._keep = self._last_closed()
        self._synced = False
        self._whole = True
        self._stamp: Stamp | None = None

    @property
    def next_seq(self) -> int:
        """The number of the next record."""
        return self._lines[-1].record.seq + 1 if self._lines else 1

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines that it was given, and those that were appended."""
        return tuple(self._lines)

    @property
    def stamp(self) -> Stamp | None:
        """How the file stood when this writer had last changed it; None where it has not."""
        return self._stamp

    @property
    def head(self) -> str:
        """The digest that the next record carries."""
        return line_digest(self._lines[-1].raw) if self._lines else NOTHING

    def append(self, record: Record) -> Line:
        """Append a record and sync it.

        Raises:
            IntegrityError: Somebody else wrote to the journal.
            OSError: It could not be written or synced; the end of the journal is then in doubt, and the next writer
                writes it anew.
        """
        self.trim()
        raw = encode(record)
        line = Line(decode(raw), raw, self._end)
        kept, start = self._kept(), self._start()
        try:
            ballast.with_room(self._ballast, lambda: self._write(kept + raw, start))
        except OSError:
            with contextlib.suppress(OSError):
                self.trim()  # what was not said to be written shall not be found
            raise
        self._lines.append(line)
        self._end += len(raw)
        self._keep = self._last_closed()
        return line

    @property
    def is_whole(self) -> bool:
        """Whether the file is known to end where the last record ends: no line of a failed append is left."""
        return self._whole and self._size == self._end

    @property
    def has_rest(self) -> bool:
        """Whether bytes of a failed append are left behind the last record."""
        return self._size > self._end

    def rewrite(self) -> None:
        """Write again what follows the start of the last closed record, and sync it, unless this writer has done so."""
        if not self._synced:
            ballast.with_room(self._ballast, lambda: self._write(self._kept(), self._start()))

    def sync(self) -> None:
        """Sync what is there: its writer may have been killed before he did.

        Of a record and the next one, both not synced, a power cut could leave the second alone, which is damage. A
        sync that failed is not made good by this: the next append writes those records again all the same.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            durable.sync(descriptor)
        finally:
            os.close(descriptor)

    def _kept(self) -> bytes:
        """The lines that every append writes again."""
        return b"".join(line.raw for line in self._lines[self._keep :])

    def trim(self) -> None:
        """Cut off an unfinished end, so that no later line is ever mixed with its bytes."""
        if self._size == self._end:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._unchanged(descriptor)
            os.ftruncate(descriptor, self._end)
            self._size = self._end
            self._whole = False
            durable.sync(descriptor)
            self._whole = True
            self._stamp = stamp_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _unchanged(self, descriptor: int) -> None:
        """Refuse to write over what somebody else has written since the journal was read."""
        size = os.fstat(descriptor).st_size
        if size != self._size:
            raise IntegrityError(
                f"{self._path} was changed by somebody else while the lock was held",
                kind="journal-changed",
                expected=f"{self._size} bytes",
                got=f"{size} bytes",
                hint="nothing was overwritten; run the command again",
            )

    def _start(self) -> int:
        """The offset of the first line that an append writes again."""
        return self._end - sum(len(line.raw) for line in self._lines[self._keep :])

    def _write(self, data: bytes, start: int) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._unchanged(descriptor)
            try:
                durable.write_all(descriptor, data, start)
            finally:
                self._size = os.fstat(descriptor).st_size
            status = os.fstat(descriptor)
            if status.st_blocks * 512 < status.st_size + _LOW_BYTES:
                with contextlib.suppress(OSError):
                    native.preallocate(descriptor, status.st_size + _AHEAD_BYTES)
            durable.sync(descriptor)
            self._synced = True
            self._stamp = stamp_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _last_closed(self) -> int:
        """The index of the last line that left nothing open: from there on the next append writes again."""
        for index in range(len(self._lines) - 1, -1, -1):
            if self._lines[index].record.phase != "intent":
                return index
        return 0
