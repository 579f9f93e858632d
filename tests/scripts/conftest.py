"""What the tests of cron's and systemd's lines share: the program under its own name, and work for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import modelrepo
from modelrepo import Repository


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program as if it were installed: a file `bin/modelrepo` that needs nothing of the environment."""
    place = tmp_path / "opt" / "bin" / "modelrepo"
    place.parent.mkdir(parents=True)
    top = Path(modelrepo.__file__).parents[1]
    place.write_text(f"#!/bin/sh\nPYTHONPATH='{top}' exec '{sys.executable}' -m modelrepo \"$@\"\n")
    place.chmod(0o755)
    return place


@pytest.fixture
def due(filled: Repository) -> Repository:
    """A repository in which cleanup has something to do: v1 may go, v2 is live, v3 the newest."""
    filled.promote("v2")
    ages = 'keep_last = 1\nmin_age = "0s"\ngrace = "0s"\n'
    (filled.root / ".modelrepo" / "config.toml").write_text(f"format = 1\n[retention]\n{ages}")
    return filled
