"""What is stored once, and what it is a Keras file for, on the command line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def export(place: Path, samples: Path, text: str, weights: bytes) -> Path:
    """A small model with a large asset."""
    shutil.copytree(samples / "tf1_linear", place / text)
    (place / text / "assets.extra").mkdir()
    (place / text / "assets.extra" / "weights").write_bytes(weights)
    (place / text / "assets.extra" / "note.txt").write_text(text)
    return place / text


def test_list_shows_what_is_not_shared_and_status_what_a_cleanup_would_free(
    run: Run, tmp_path: Path, samples: Path
) -> None:
    root, weights = tmp_path / "ranker", os.urandom(200_000)
    assert run("-r", root, "init", "--dedup", "hardlink").code == 0
    assert 'dedup = "hardlink"' in (root / ".modelrepo" / "config.toml").read_text()
    assert run("-r", root, "push", "--no-load", export(tmp_path, samples, "one", weights)).code == 0
    assert "UNSHARED" not in run("-r", root, "list").out
    assert run("-r", root, "push", "--no-load", "--promote", export(tmp_path, samples, "two", weights)).code == 0
    heading, newest, oldest = run("-r", root, "list").out.splitlines()
    assert heading.split()[:4] == ["VERSION", "PUSHED", "(UTC)", "SIZE"]
    assert "UNSHARED" in heading
    for row in (newest, oldest):
        size, unshared = (float(row.split()[index]) for index in (3, 5))
        assert size > 200 > unshared
    assert "a cleanup would free" not in run("-r", root, "status").out
    config = root / ".modelrepo" / "config.toml"
    config.write_text(config.read_text().replace('"24h"', '"0s"').replace("keep_last = 5", "keep_last = 0"))
    status = run("-r", root, "status")
    frees = run("-r", root, "status", "--json").json["frees"]
    assert "a cleanup would free" in status.out
    assert 0 < frees < 200_000
    assert run("-r", root, "cleanup", "--json").json["freed"] == frees


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("garbage.keras",), 2, "keras-unreadable"),
        (("missing.h5",), 2, "source-missing"),
        (("garbage.keras", "--no-load"), 2, "options-exclude"),
        (("garbage.keras", "--serving", "serve"), 2, "keras-option"),
        (("model", "--batch-size", "4"), 2, "options-exclude"),
        (("model", "--keep-source"), 2, "options-exclude"),
    ],
)
def test_what_is_wrong_with_a_keras_file_or_its_options_has_its_kind(
    run: Run, tmp_path: Path, samples: Path, words: tuple[str, ...], code: int, kind: str
) -> None:
    (tmp_path / "garbage.keras").write_bytes(b"PK\x03\x04garbage")
    shutil.copytree(samples / "tf1_linear", tmp_path / "model")
    done = run("-r", tmp_path / "ranker", "push", "--init", "--json", str(tmp_path / words[0]), *words[1:])
    assert (done.code, done.json["error"]["kind"]) == (code, kind)
    assert done.json["error"]["hint"] or done.json["error"]["expected"]
    assert not list((tmp_path / "ranker").glob("v*"))
