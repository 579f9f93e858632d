"""The content digest against the shell's own tools, and the names that can be stored."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.contents import MAX_NAME_BYTES, FileEntry, content_digest, is_safe_path, name_problem

#: DESIGN.md §1, word for word.
PIPELINE = r"find . -type f ! -path ./manifest.json -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum --"

ODD = [
    "saved_model.pb",
    "a",
    "a b",
    " leading and trailing ",
    "back\\slash",
    "\\",
    "ends in \\n",
    "dir\\with/back\\slash",
    "--help",
    "-rf/--check",
    "caf\u00e9",
    "cafe\u0301",
    "\u6570\u5b57/\u65e5\u672c.txt",
    "\U0001f600",
    "nested/manifest.json",
    "manifest.json.bak",
    "MANIFEST.JSON",
    "quote'\"quote",
    "$HOME `id` $(id)",
    "*",
    "?[a-z]",
    "#",
    "...",
    ".hidden/.file",
    "d/b",
    "d.b",
    "d-b",
    "d0",
    "Z",
    "z",
    "%P%0",
    "x" * 200,
]


def entry(path: str, data: bytes) -> FileEntry:
    return FileEntry(path=path, size=len(data), digest=f"sha256:{hashlib.sha256(data).hexdigest()}")


def shell_digest(tree: Path) -> str:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"({PIPELINE}) | sha256sum"],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
    return f"sha256:{done.stdout.split()[0]}"


def test_the_digest_is_what_the_shell_prints_for_odd_but_legal_names(tmp_path: Path) -> None:
    entries = []
    for number, path in enumerate(ODD):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"bytes of {number}".encode() * number)
        entries.append(entry(path, file.read_bytes()))
    (tmp_path / "manifest.json").write_text("not part of the content")
    (tmp_path / "empty directory").mkdir()
    assert content_digest(entries) == shell_digest(tmp_path)


def test_the_digest_is_what_the_shell_prints_for_every_sample(samples: Path) -> None:
    for model in sorted(path for path in samples.iterdir() if path.is_dir()):
        files = [path for path in model.rglob("*") if path.is_file()]
        entries = [entry(path.relative_to(model).as_posix(), path.read_bytes()) for path in files]
        assert content_digest(entries) == shell_digest(model), model.name


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs GNU coreutils")
def test_a_copied_digest_list_can_be_checked_with_sha256sum(tmp_path: Path) -> None:
    """What the digest is taken of is a checksum file."""
    for path in ("a", "back\\slash"):
        (tmp_path / path).write_text(path)
    listed = subprocess.run(["bash", "-c", PIPELINE], cwd=tmp_path, check=True, capture_output=True).stdout
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet"], cwd=tmp_path, check=True, input=listed)
    whole = f"sha256:{hashlib.sha256(listed).hexdigest()}"
    assert content_digest([entry(path, path.encode()) for path in ("a", "back\\slash")]) == whole


PATHS = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8), min_size=1, max_size=3
)
ENTRIES = st.dictionaries(PATHS.map("/".join), st.binary(max_size=8), max_size=6)


@given(ENTRIES, st.randoms())
def test_the_digest_does_not_depend_on_the_order(files: dict[str, bytes], random: object) -> None:
    entries = [entry(path, data) for path, data in files.items()]
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis's own Random
    assert content_digest(shuffled) == content_digest(entries)


@given(ENTRIES, ENTRIES)
def test_different_contents_have_different_digests(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    first = content_digest(entry(path, data) for path, data in one.items())
    second = content_digest(entry(path, data) for path, data in other.items())
    assert (first == second) == (one == other)


def test_a_name_is_stored_up_to_200_bytes_of_utf_8() -> None:
    assert name_problem("\u00e9" * 100) is None
    assert name_problem("x" * MAX_NAME_BYTES) is None
    assert name_problem("\u00e9" * 100 + "x") == "is longer than 200 bytes"


@pytest.mark.parametrize("name", ["a\nb", "\x00", "a\tb", "\x1b[31m", "\x7f", "\x85", "\x9b31m"])
def test_a_name_with_control_characters_cannot_be_stored(name: str) -> None:
    assert name_problem(name) == "holds control characters"


def test_a_name_that_is_not_utf_8_cannot_be_stored() -> None:
    assert name_problem(os.fsdecode(b"caf\xe9")) == "is not valid UTF-8"


@pytest.mark.parametrize("name", ODD)
def test_odd_but_legal_names_can_be_stored(name: str) -> None:
    assert is_safe_path(name)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/etc/passwd", "../a", "a/../b", "a/..", ".", "./a", "a/.", "a//b", "a/", "a\x00", "a\n/b", "\udcff",
     "y" * 201],
)  # fmt: skip
def test_a_path_that_climbs_out_or_cannot_be_stored_is_not_safe(path: str) -> None:
    assert not is_safe_path(path)
