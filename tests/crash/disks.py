"""Real file systems for accidents: on loop devices, of a size of their own, filled up, and cut off from power.

Nothing is left behind: each mount is a context, its loop device goes with it, and the image lies in the test's own
directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MIB = 1024 * 1024
#: `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` are one number; 2 says that the log is not written out before.
_GOING_DOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_NO_SUCH_CALL = {errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP}
_FULL = {errno.ENOSPC, errno.EDQUOT}
#: What takes longer does not end.
_SECONDS = 120


@dataclass(frozen=True)
class Kind:
    """A file system that can be made: by which command, of how many bytes at least, mounted how."""

    name: str
    make: tuple[str, ...]
    size: int
    options: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ext4", ("mkfs.ext4", "-q", "-F", "-b", "4096"), 48 * MIB, "loop"),
        Kind("xfs", ("mkfs.xfs", "-q", "-f"), 304 * MIB, "loop,nouuid"),
        Kind("btrfs", ("mkfs.btrfs", "-q", "-f"), 128 * MIB, "loop"),
    )
}


@cache
def missing(name: str) -> str | None:
    """Why a file system cannot be had here, or None: asked by making and mounting one."""
    kind = KINDS[name]
    if os.geteuid() != 0:
        return "only root may mount"
    if shutil.which(kind.make[0]) is None:
        return f"{kind.make[0]} is not installed"
    with tempfile.TemporaryDirectory() as place:
        try:
            with Disk.make(kind, Path(place)).mounted():
                return None
        except subprocess.CalledProcessError as error:
            return f"{name} cannot be mounted here: {error.stderr.decode(errors='replace')[:200]}"
        except (OSError, subprocess.TimeoutExpired) as error:  # no `mount`, no room, a device that does not answer
            return f"{name} cannot be mounted here: {error}"


def _text(path: Path) -> str:
    """What a small file of the system says; nothing where there is none."""
    try:
        return path.read_text().rstrip("\n")
    except OSError:
        return ""


def _do(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True, capture_output=True, timeout=_SECONDS)


def copy_sparse(source: Path, goal: Path) -> None:
    """Copy an image; what was never written to it takes no room in the copy either."""
    _do("cp", "--sparse=always", source, goal)


@dataclass
class Disk:
    """An image of a disk, and where it is mounted.

    Attributes:
        kind: Its file system.
        image: The file that is the disk.
        top: Where it is mounted, where it is.
    """

    kind: Kind
    image: Path
    top: Path

    @classmethod
    def make(cls, kind: Kind, place: Path, *, whole: bool = False) -> Disk:
        """Make an image with an empty file system; `whole` reserves all its bytes on the disk that it lies on."""
        disk = cls(kind, place / "image", place / "disk")
        with disk.image.open("wb") as file:
            file.truncate(kind.size)
        _do(*kind.make, disk.image)
        if whole:
            with disk.image.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, kind.size)
        return disk

    @classmethod
    def copied(cls, template: Disk, place: Path) -> Disk:
        """A copy of an image that is not mounted."""
        copy_sparse(template.image, place / "image")
        return cls(template.kind, place / "image", place / "disk")

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount it; however this ends, it is unmounted."""
        self.top.mkdir(exist_ok=True)
        try:
            self._mount()
            yield self.top
        finally:
            with contextlib.suppress(TimeoutError):
                self._unmount()
            if self._device() is not None:
                subprocess.run(["umount", "-l", self.top], check=False, capture_output=True)

    def _mount(self) -> None:
        _do("mount", "-t", self.kind.name, "-o", self.kind.options, self.image, self.top)

    def _unmount(self) -> None:
        """Unmount it, and be sure that it is: a file system that somebody holds open would be what is mounted again.

        Whoever has a namespace of mounts of his own, such as a test that runs beside this, may have this one in it: the
        loop device goes with the last.
        """
        end = time.monotonic() + 60
        held = Path(f"/sys/block/{self._device()}/loop/backing_file")
        while self._device() is not None:
            done = subprocess.run(["umount", self.top], check=False, capture_output=True)
            if done.returncode != 0 and time.monotonic() > end:
                raise TimeoutError(f"{self.top} stays busy: {done.stderr.decode(errors='replace')}")
            if done.returncode != 0:
                time.sleep(0.05)
        while _text(held) == str(self.image) and time.monotonic() < end:
            time.sleep(0.02)

    def remount(self) -> None:
        """Unmount and mount again: what is read then comes from the disk."""
        self._unmount()
        self._mount()

    def power_off(self) -> None:
        """Cut the power: from now on nothing reaches the disk.

        ext4 and XFS have a call for this. Elsewhere the image is copied at a moment when nothing is written to it, and
        the copy is what is mounted by `power_on`.
        """
        descriptor = os.open(self.top, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _NO_LOG_FLUSH))
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
            self._still()
        finally:
            os.close(descriptor)

    def power_on(self) -> None:
        """Mount what the power cut left: the file system's log is replayed. Nobody may have anything open there."""
        device = self._device()
        self._unmount()
        still = self.image.with_name("still")
        if still.exists():
            still.replace(self.image)
            # btrfs would keep to the newer of two disks with the same name, though that is gone; of this one alone, and
            # a kernel that has forgotten it by itself says so.
            words = ["btrfs", "device", "scan", "--forget", f"/dev/{device}"]
            subprocess.run(words, check=False, capture_output=True, timeout=_SECONDS)
        self._mount()

    def _still(self) -> None:
        """Copy the image while nothing is written to it."""
        still = self.image.with_name("still")
        for _ in range(200):
            before = self._writes()
            copy_sparse(self.image, still)
            if before == self._writes():
                return
            still.unlink()
        raise TimeoutError(f"something writes to {self.image} all the time")

    def _writes(self) -> list[str]:
        """How much was written to the loop device, and how much is on its way."""
        fields = Path(f"/sys/block/{self._device()}/stat").read_text().split()
        return [fields[4], fields[6], fields[8]]

    def _device(self) -> str | None:
        """The loop device that is mounted; by the system's list, since a disk without power answers nothing."""
        for line in Path("/proc/self/mounts").read_text().splitlines():
            device, top, *_ = line.split()
            if top == str(self.top):
                return os.path.basename(device)
        return None

    def fill(self, *, names: bool | None = None) -> None:
        """Take all the room there is: bytes first, then names, until nothing more fits.

        btrfs keeps room for names apart: there, that is taken only where `names` says so.
        """
        place = self.top / "fill"
        place.mkdir(exist_ok=True)
        for size in (MIB, 4096):
            self._fill_file(place, size)
        failures = 0 if (names is None and self.kind.name != "btrfs") or names else 3
        while failures < 3:
            try:
                self._fill_name(place)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                failures += 1
                descriptor = os.open(place, os.O_RDONLY)
                with contextlib.suppress(OSError):
                    os.fsync(descriptor)
                os.close(descriptor)

    def _fill_file(self, place: Path, size: int) -> None:
        data = os.urandom(size)
        try:
            with (place / f"bytes-{secrets.token_hex(8)}").open("wb", buffering=0) as file:
                while file.write(data) == size:
                    pass
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _FULL:
                raise

    def _fill_name(self, place: Path) -> None:
        text = "x" * (3900 if self.kind.name == "btrfs" else 1000)
        os.symlink(text, place / f"name-{secrets.token_hex(8)}")

    def in_single_blocks(self) -> None:
        """Let every block be a request of its own, until it is mounted again."""
        self._largest_request().write_text("4")

    def takes_single_blocks(self) -> bool:
        """Whether this can be asked for here: a container's /sys may be read-only."""
        return os.access(self._largest_request(), os.W_OK)

    def _largest_request(self) -> Path:
        return Path(f"/sys/block/{self._device()}/queue/max_sectors_kb")

    def room(self) -> int:
        """The bytes that are free."""
        status = os.statvfs(self.top)
        return status.f_bfree * status.f_frsize


class Overcommitted:
    """A disk that has promised more than it has, as thin volumes do: a write is taken, and its sync fails.

    The image lies in a file system in memory that is filled up: what was never written to before has no place there.
    """

    def __init__(self, place: Path, kind: Kind) -> None:
        self._pool = place / "pool"
        self._kind = kind

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Disk]:
        """Make the disk and mount it; however this ends, both are unmounted."""
        self._pool.mkdir()
        _do("mount", "-t", "tmpfs", "-o", f"size={self._kind.size + 8 * MIB}", "tmpfs", self._pool)
        try:
            disk = Disk.make(self._kind, self._pool, whole=True)
            disk.top = self._pool.parent / "disk"
            with disk.mounted():
                yield disk
        finally:
            subprocess.run(["umount", "-l", self._pool], check=False, capture_output=True)

    def exhaust(self, disk: Disk, path: Path) -> None:
        """Give back what a file reserved behind its end, and let nobody have it again until `relieve`."""
        # A loop device says of a request that it could do only the first half of that it is done (measured without any
        # file system): no sync could know. So each block is a request of its own.
        disk.in_single_blocks()
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            end = os.fstat(descriptor).st_size
            places = extents(descriptor)
        finally:
            os.close(descriptor)
        with disk.image.open("r+b") as image:
            for logical, physical, length in places:
                skip = max(0, -(-end // 4096) * 4096 - logical)
                if skip < length:
                    _do("fallocate", "--punch-hole", "-o", physical + skip, "-l", length - skip, disk.image)
            os.fsync(image.fileno())
        with contextlib.suppress(OSError), (self._pool / "others").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def relieve(self) -> None:
        """Give the disk the room that it promised."""
        (self._pool / "others").unlink()


def extents(descriptor: int) -> list[tuple[int, int, int]]:
    """Where a file's bytes lie on the disk: offset in the file, on the disk, and length (`FS_IOC_FIEMAP`)."""
    count = 64
    head = struct.pack("QQIIII", 0, 2**64 - 1, 0, 0, count, 0)
    answer = bytearray(head + bytes(56 * count))
    fcntl.ioctl(descriptor, 0xC020660B, answer)
    mapped = struct.unpack_from("QQIIII", answer)[3]
    return [struct.unpack_from("QQQ", answer, 32 + 56 * index) for index in range(mapped)]
