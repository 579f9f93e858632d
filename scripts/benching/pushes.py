"""Taking bytes in and checking them, beside copying and digesting alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benching.clock import SAMPLES, Row, beside, call, modelrepo, rows, seconds
from modelrepo.fs import native

_MIB = 1024 * 1024
_COPY = "cp -r; sync -f"
#: One core's SHA-256 over some files, read through a buffer that fits into its cache.
_SHA256 = """
import hashlib, sys
for name in sys.argv[1:]:
    with open(name, "rb", buffering=0) as file:
        digest, buffer = hashlib.sha256(), bytearray(256 * 1024)
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
"""
#: The kernel's own count since the program began: `getrusage` also counts what the process was that started it.
_PEAK = (
    "import sys; from modelrepo.cli.main import run; code = run(sys.argv[1:]);"
    "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr); sys.exit(code)"
)


def random_file(path: Path, mebibytes: int) -> None:
    """A file of random bytes."""
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(_MIB))


def pushes(place: Path, runs: int, mebibytes: int) -> Iterator[Row]:
    """Pushes without the load: of one large file and 22 small ones, of that again, and of 5,000 small ones."""
    large, many = place / "large", place / "many-files"
    for source in (large, many):
        shutil.copytree(SAMPLES / "classifier_v1", source)
    random_file(large / "variables" / "large.bin", mebibytes)
    for number in range(18):
        (large / "variables" / f"{number:02}.bin").write_bytes(os.urandom(1000))
    for number in range(5000):
        (many / "variables" / f"{number:04}.bin").write_bytes(os.urandom(4096))
    for source, name in ((large, f"push of {mebibytes} MiB"), (many, "push of 5,000 files of 4 KiB")):
        yield from _taken(place, source, name, runs)
    yield from _loaded(place, large, runs, mebibytes)
    yield from _again(place, large, runs, mebibytes)
    yield Row("peak memory of the pushing process", [_peak(large, place / "peak")], unit="MiB")


def _taken(place: Path, source: Path, name: str, runs: int) -> Iterator[Row]:
    ours, theirs = Row(f"{name}, --no-load"), Row(_COPY)
    copy, root = place / "copy", place / "root"
    for _ in range(runs):
        # Memory that was just freed is quicker than what the system has given away since: both begin behind the same.
        for row, command in (
            (theirs, ["sh", "-c", f"cp -r '{source}' '{copy}' && sync -f '{copy}'"]),
            (ours, modelrepo(root, "push", str(source), "--no-load")),
        ):
            for before in (copy, root):
                shutil.rmtree(before, ignore_errors=True)
            call(modelrepo(root, "init"))
            call(["sync"])
            row.times.append(seconds(lambda command=command: call(command)))  # type: ignore[misc]
    shutil.rmtree(root)
    yield beside(ours, theirs)


def _loaded(place: Path, source: Path, runs: int, mebibytes: int) -> Iterator[Row]:
    """A push with the load, beside the larger of a copy and a bare Python that loads the model."""
    root = place / "root"
    bare = (
        "import tensorflow as tf; v1 = tf.compat.v1\n"
        f"with tf.Graph().as_default(), v1.Session() as s: v1.saved_model.loader.load(s, ['serve'], {str(source)!r})"
    )
    names = [
        f"push of {mebibytes} MiB, with the load",
        f"push of {mebibytes} MiB, --no-load",
        "a bare Python that loads it",
    ]
    found = {name: Row(name) for name in names}
    words = [
        modelrepo(root, "push", str(source), "--init"),
        modelrepo(root, "push", str(source), "--init", "--no-load"),
    ]
    for _ in range(runs):
        for name, command in zip(names, [*words, [sys.executable, "-c", bare]], strict=True):
            found[name].times.append(seconds(lambda command=command: call(command)))  # type: ignore[misc]
            shutil.rmtree(root, ignore_errors=True)
            call(["sync"])
    yield beside(found[names[0]], max(found[names[1]], found[names[2]], key=lambda row: row.median))


def _again(place: Path, source: Path, runs: int, mebibytes: int) -> Iterator[Row]:
    """The same again with one small file changed, where files may share names, or on XFS and btrfs blocks."""
    yield from _shared(place, source, runs, mebibytes, "hardlink", "hard links")
    if native.file_system(str(place))[0] in native.CLONING_FILE_SYSTEMS:
        yield from _shared(place, source, runs, mebibytes, "reflink", "shared blocks")


def _shared(place: Path, source: Path, runs: int, mebibytes: int, dedup: str, how: str) -> Iterator[Row]:
    root = place / dedup
    call(modelrepo(root, "init", "--dedup", dedup))
    call(modelrepo(root, "push", str(source), "--no-load"))
    used = _used(root)

    def push(number: int) -> None:
        (source / "changed").write_bytes(number.to_bytes(4096, "little"))
        call(modelrepo(root, "push", str(source), "--no-load"))

    name, floor = f"push of {mebibytes} MiB again, {how}", "SHA-256 of it on one core"
    digest = [sys.executable, "-c", _SHA256, source / "variables" / "large.bin"]
    found = rows([floor, name], runs, {floor: lambda _: call(digest), name: push})
    yield beside(found[name], found[floor])
    # `du` counts a file of several names once, but shared blocks for each that shares them.
    more = _used(root) - used
    yield Row(f"more on the disk for each of {runs}, {how}", [more / _MIB / runs], unit="MiB")


def _used(root: Path) -> int:
    """Bytes that a repository takes; where blocks are shared, all that its file system has in use."""
    if native.file_system(str(root))[0] not in native.CLONING_FILE_SYSTEMS:
        return int(call(["du", "-s", "--block-size=1", root]).split()[0])
    call(["sync", "-f", root])
    status = os.statvfs(root)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _peak(source: Path, root: Path) -> float:
    """Peak resident memory of the process that pushes, children left out, in MiB."""
    call(modelrepo(root, "init"))
    words = [sys.executable, "-c", _PEAK, "--repo", str(root), "push", str(source), "--no-load"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1]) / 1024


def verifies(place: Path, runs: int, mebibytes: int) -> Iterator[Row]:
    """`verify` of the same bytes in one file and in four, beside one core's SHA-256 of them."""
    for count in (1, 4):
        root, source = place / f"verified{count}", place / f"in{count}"
        shutil.copytree(SAMPLES / "classifier_v1", source)
        names = [f"large{number}.bin" for number in range(count)]
        for name in names:
            random_file(source / name, mebibytes // count)
        call(modelrepo(root, "push", "--init", "--no-load", str(source)))
        shutil.rmtree(source)
        title, floor = f"verify of {mebibytes} MiB in {count} file{'s' * (count > 1)}", "SHA-256 of it on one core"
        words = [sys.executable, "-c", _SHA256, *(root / "v1" / name for name in names)]
        found = rows(
            [floor, title],
            runs,
            {
                floor: lambda _, words=words: call(words),  # type: ignore[misc]
                title: lambda _, root=root: call(modelrepo(root, "verify")),  # type: ignore[misc]
            },
        )
        yield beside(found[title], found[floor])
