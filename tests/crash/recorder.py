"""Records what commands do to the files below a directory, as operations that `replay` can take back.

Which file a call is about is asked of the system while the command stands still, by device and inode, not by names. A
recording that does not explain what is there in the end is refused.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from .replay import Link, Make, Mode, Move, Node, Operation, Remove, Sync, SyncAll, Trace, Truncate, Write, look, placed
from .tracer import Action, Call, Go, Kill, tracer

_KEEP_SIZE = 1
#: Calls that say nothing about what a power cut leaves.
_NOTHING = {
    "flock", "sync_file_range", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "futimesat", "utimensat",
}  # fmt: skip
_Identity = tuple[int, int]
_After = Callable[[int], list[Operation]]


class Recorder:
    """A watcher that lets everything be done, and notes what changed; or kills, once, before the call of a number."""

    def __init__(self, place: Path, numbers: dict[_Identity, int], killed_before: int | None = None) -> None:
        self.operations: list[Operation] = []
        self.unknown: list[str] = []
        self.has_killed = False
        self._killed_before = killed_before
        self._place = place
        self._numbers = numbers
        self._count = len(numbers)
        self._waiting: dict[int, _After] = {}

    def before(self, call: Call) -> Action:
        """Look at what the call is about to change."""
        if call.number == self._killed_before and not self.has_killed:
            self.has_killed = True
            return Kill()
        self._waiting[call.thread] = self._meaning(call)
        return Go()

    def after(self, call: Call, result: int) -> None:
        """Note it, if it was done."""
        meaning = self._waiting.pop(call.thread)
        if result >= 0:
            self.operations += meaning(result)

    def _meaning(self, call: Call) -> _After:
        if call.name in _NOTHING or (call.name == "fallocate" and call.arguments[1] & _KEEP_SIZE):
            return lambda _: []
        return self._of_file(call) or self._of_name(call) or (lambda _: self._strange(call))

    def _of_file(self, call: Call) -> _After | None:
        """What a call means that changes or syncs a file or directory, whatever its name."""
        match call.name:
            case "write" | "pwrite64":
                inode, offset, data = self._opened(call), call.position, call.data
                return lambda count: [Write(inode, offset, data[:count])]
            case "ftruncate":
                inode = self._opened(call)
                return lambda _: [Truncate(inode, call.arguments[1])]
            case "fsync" | "fdatasync":
                inode = self._opened(call)
                return lambda _: [Sync(inode)]
            case "syncfs":
                return lambda _: [SyncAll()]
            case "fchmod":
                inode = self._opened(call)
                return lambda _: [Mode(inode, call.arguments[1] & 0o7777)]
            case "chmod" | "fchmodat":
                inode = self._named(os.path.realpath(call.paths[0]))
                mode = call.arguments[1 if call.name == "chmod" else 2]
                return lambda _: [Mode(inode, mode & 0o7777)]
        return None

    def _of_name(self, call: Call) -> _After | None:
        """What a call means that changes names."""
        match call.name:
            case "open" | "openat" | "creat":
                return self._open(call)
            case "mkdir" | "mkdirat" | "symlink" | "symlinkat":
                return lambda _: [self._made(call)]
            case "rename" | "renameat" | "renameat2":
                return self._rename(*call.paths)
            case "link" | "linkat":
                inode = self._named(call.paths[0])
                return lambda _: [Link(self._above(call.paths[1]), os.path.basename(call.paths[1]), inode)]
            case "unlink" | "unlinkat" | "rmdir":
                directory = self._above(call.paths[0])
                return lambda _: [Remove(directory, os.path.basename(call.paths[0]))]
        return None

    def _strange(self, call: Call) -> list[Operation]:
        self.unknown.append(str(call))
        return []

    def _open(self, call: Call) -> _After:
        flags = {"open": 1, "openat": 2}.get(call.name)
        writes = os.O_CREAT | os.O_TRUNC if flags is None else call.arguments[flags]
        if not os.path.lexists(call.paths[0]):
            return lambda _: [self._made(call)] if writes & os.O_CREAT else []
        if not writes & os.O_TRUNC:
            return lambda _: []
        inode = self._named(os.path.realpath(call.paths[0]))
        return lambda _: [Truncate(inode, 0)]

    def _rename(self, old: str, new: str) -> _After:
        directory, inode = self._above(old), self._named(old)
        to_directory = self._above(new)
        if os.path.lexists(new) and self._named(new) == inode:  # two names of one file: nothing happens
            return lambda _: []
        move = Move(directory, os.path.basename(old), to_directory, os.path.basename(new), inode)
        return lambda _: [move]

    def _made(self, call: Call) -> Operation:
        path = call.paths[0]
        status = os.lstat(path)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            node = Node("link", text=placed(os.readlink(path), self._place))
        else:
            node = Node("directory" if stat.S_ISDIR(status.st_mode) else "file", mode)
        number = self._numbers[status.st_dev, status.st_ino] = self._count
        self._count += 1
        return Make(self._above(path), os.path.basename(path), number, node)

    def _opened(self, call: Call) -> int:
        descriptor = ctypes.c_int32(call.arguments[0] & 0xFFFFFFFF).value
        return self._number(os.stat(f"/proc/{call.thread}/fd/{descriptor}"))

    def _named(self, path: str) -> int:
        try:
            return self._number(os.lstat(path))
        except FileNotFoundError:
            return -1  # the call will say so

    def _above(self, path: str) -> int:
        return self._named(os.path.dirname(path))

    def _number(self, status: os.stat_result) -> int:
        return self._numbers.get((status.st_dev, status.st_ino), -1)


def record(place: Path, commands: Sequence[Sequence[str]], *, killed_before: int | None = None) -> Trace:
    """Run commands one behind the other in a directory, and record what they do to what is below it.

    Args:
        place: The directory.
        commands: Their words.
        killed_before: Kill the first of them before this call: it has no end of its own then, and what it did counts
            to the next.

    Raises:
        AssertionError: One of them failed, or did something that was not understood.
    """
    start, numbers = look(place)
    recorder = Recorder(place, numbers, killed_before)
    ends = []
    for words in commands:
        had_killed = recorder.has_killed
        done = tracer().run(words, cwd=place, places=[place], watcher=recorder)
        if recorder.has_killed != had_killed:
            continue
        assert done.code == 0, f"{' '.join(words)}: {done}"
        ends.append(len(recorder.operations))
    assert not recorder.unknown, recorder.unknown
    trace = Trace(start, tuple(recorder.operations), tuple(ends))
    assert trace.after(ends[-1]).digest() == look(place)[0].digest(), "something was done that was not recorded"
    return trace
