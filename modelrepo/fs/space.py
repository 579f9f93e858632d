"""What files take on the disk where several share bytes: by further names of one file, or by blocks (reflinks).

Sizes are those of the files' bytes. Which blocks are shared the kernel says; where it does not, none counts as shared.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelrepo.fs import native
from modelrepo.fs.files import open_regular


@dataclass
class Space:
    """What some directories' files hold.

    Attributes:
        own: Bytes that nothing else holds.
        names: Of files with further names, by device and inode: their bytes, how many names they have, how many of
            those were seen here.
        blocks: Of blocks that others share, by device and place on the disk: their bytes, and how often they were seen.
    """

    own: int = 0
    names: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)
    blocks: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    def freed(self, staying: Callable[[], Space]) -> int:
        """How many bytes their deletion would free.

        Of shared blocks, those that others hold whom nobody asked about, such as what was pushed, stay as well.

        Args:
            staying: What else there is that could share blocks; asked only where some are shared.
        """
        whole = sum(size for size, names, seen in self.names.values() if seen >= names)
        twice = [block for block, times in self.blocks.items() if times > 1]
        held = staying().blocks if twice else {}
        return self.own + whole + sum(size for device, place, size in twice if (device, place, size) not in held)


def measure(directories: Iterable[Path | str], *, blocks: bool, besides: str = "") -> Space:
    """Look at all files below some directories; what is gone, or may not be looked at, counts as nothing.

    Args:
        directories: Where to look.
        blocks: Whether files may share blocks there: it costs a call per file.
        besides: A name at the top of each that does not count.
    """
    space = Space()
    for directory in directories:
        for path, status in _files(str(directory)):
            if path == f"{directory}/{besides}":
                continue
            shared = _shared_blocks(path, status) if blocks else ()
            size = max(0, status.st_size - sum(length for _, length in shared))
            if status.st_nlink > 1:
                key = (status.st_dev, status.st_ino)
                seen = space.names[key][2] if key in space.names else 0
                space.names[key] = (size, status.st_nlink, seen + 1)
                if seen:
                    continue
            else:
                space.own += size
            for place, length in shared:
                space.blocks[status.st_dev, place, length] += 1
    return space


def _files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    stack = [directory]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        stack.append(entry.path)
                    elif stat.S_ISREG(status.st_mode):
                        yield entry.path, status
        except OSError:
            continue


def _shared_blocks(path: str, status: os.stat_result) -> tuple[tuple[int, int], ...]:
    """The blocks of a file that others hold as well; none where it is gone, or may not be read."""
    if status.st_size == 0:
        return ()
    try:
        descriptor = open_regular(path)
    except OSError:
        return ()
    try:
        return tuple(native.shared_blocks(descriptor, status.st_size))
    finally:
        os.close(descriptor)
