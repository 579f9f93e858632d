"""File systems of other kinds, mounted until a test is over; skips where that cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: XFS makes none smaller.
_BYTES = 320 << 20


@contextmanager
def mounted(*words: str, cwd: Path) -> Iterator[Path]:
    """Mount something at the place that is the last word, until the test is over."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        pytest.skip(f"cannot be mounted here: {done.stderr.strip()}")
    try:
        yield cwd / words[-1]
    finally:
        subprocess.run(["umount", "--lazy", words[-1]], check=True, cwd=cwd)


@contextmanager
def made(kind: str, place: Path, name: str = "mounted") -> Iterator[Path]:
    """A new file system in a file, mounted under a name in a place."""
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"needs mkfs.{kind}")
    with (place / f"{kind}.image").open("wb") as image:
        image.truncate(_BYTES)
    (place / name).mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", f"{kind}.image"], check=True, cwd=place, stdout=subprocess.DEVNULL)
    with mounted("-o", "loop", f"{kind}.image", name, cwd=place) as top:
        yield top
