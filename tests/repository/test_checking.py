"""`verify` reads on all cores, each file once, and remembers what it has read."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.index import seal
from modelrepo.core.layout import Layout
from modelrepo.errors import RequestError
from modelrepo.fs import machine
from modelrepo.fs.files import file_digest
from modelrepo.fs.look import Found
from modelrepo.repository import checks
from modelrepo.repository.summing import Digests

Edit = Callable[[Path, bytes], None]
DAY = timedelta(days=1)


def names(versions: tuple[Version, ...]) -> list[str]:
    return [str(version) for version in versions]


def read(repository: Repository, **options: Any) -> list[str]:
    return names(repository.verify(**options).read)


def age(layout: Layout, **days: int) -> None:
    """Let what was checked have been checked so many days ago."""
    times = {f"{name}": f"{machine.now().time - days[name] * DAY:%Y-%m-%dT%H:%M:%SZ}" for name in days}
    layout.checked.unlink(missing_ok=True)
    layout.checked.write_bytes(seal(json.dumps({"checked": times}).encode()))
    layout.checked.chmod(0o444)


def test_a_full_check_is_remembered_and_not_made_again_for_so_long(filled: Repository, layout: Layout) -> None:
    assert read(filled, unchecked_for=DAY) == ["v1", "v2", "v3"], "nothing was checked yet"
    assert read(filled, unchecked_for=DAY) == []
    age(layout, v1=2, v2=0, v3=5)
    assert read(filled, unchecked_for=3 * DAY) == ["v3"]
    assert read(filled, unchecked_for=DAY) == ["v1"]
    assert read(filled) == ["v1", "v2", "v3"], "who asks for all gets all"


def test_what_was_checked_lately_is_checked_quickly(filled: Repository, edit: Edit) -> None:
    filled.verify()
    edit(filled.root / "v1" / "saved_model.pb", b"x")
    result = filled.verify(unchecked_for=DAY)
    assert (result.read, names(result.versions)) == ((), ["v1", "v2", "v3"])
    assert [(problem.kind, problem.path) for problem in result.findings] == [("file-size", "v1/saved_model.pb")]


def test_a_damaged_version_is_read_again_every_time(filled: Repository, edit: Edit) -> None:
    edit(filled.root / "v2" / "assets.extra" / "note.txt", b"twO")
    for _ in range(2):
        result = filled.verify(unchecked_for=DAY)
        assert [(problem.kind, problem.path) for problem in result.findings] == [
            ("file-digest", "v2/assets.extra/note.txt")
        ]
    assert names(result.read) == ["v2"]


def test_a_quick_check_is_no_full_one(filled: Repository) -> None:
    result = filled.verify(quick=True)
    assert (result.read, names(result.versions)) == ((), ["v1", "v2", "v3"])
    assert read(filled, unchecked_for=DAY) == ["v1", "v2", "v3"]
    with pytest.raises(RequestError):
        filled.verify(quick=True, unchecked_for=DAY)


def test_the_check_of_one_version_is_remembered_too(filled: Repository) -> None:
    filled.verify(["v2"])
    assert read(filled, unchecked_for=DAY) == ["v1", "v3"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\0" * 4096,
        seal(b"{}"),
        seal(b'{"checked": {"v1": 7}}'),
        seal(b'{"checked": {"v1": "2999-01-01T00:00:00Z"}}'),
    ],
)
def test_what_is_lost_damaged_or_of_the_future_is_checked_again(
    filled: Repository, layout: Layout, data: bytes
) -> None:
    layout.checked.write_bytes(data)
    layout.checked.chmod(0o444)
    assert read(filled, unchecked_for=DAY) == ["v1", "v2", "v3"]
    assert read(filled, unchecked_for=DAY) == []


def test_nothing_else_is_written(filled: Repository, look: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = look(filled.root)
    filled.verify()
    after = look(filled.root)
    assert after.pop(".modelrepo/checked")[0] & 0o777 == 0o444
    for name in (".modelrepo", ".modelrepo/staging"):  # where it was made, and is now: their times
        assert after.pop(name)[:2] == before.pop(name)[:2]
    assert after == before


def test_what_is_gone_is_forgotten(filled: Repository, layout: Layout, ageless: dict[str, Any]) -> None:
    filled.verify()
    filled.promote("v3")
    filled.cleanup(**ageless)
    filled.verify()
    assert list(checks.load(layout)) == [Version(3)]


def test_what_waited_longest_comes_first_so_that_stopped_runs_get_through(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is interrupted has remembered what it had read, and the next one goes on."""
    age(layout, v1=3, v2=9)
    real, begun = file_digest, list[str]()

    def digest(path: Path, seen: Any) -> Any:
        begun.append(path.relative_to(filled.root).parts[0])
        if begun[-1] == "v1":
            raise KeyboardInterrupt
        return real(path, seen)

    monkeypatch.setattr("modelrepo.repository.summing.file_digest", digest)
    with pytest.raises(KeyboardInterrupt):
        filled.verify(unchecked_for=DAY)
    monkeypatch.undo()
    assert read(filled, unchecked_for=DAY) == ["v1"]


def test_a_reader_who_may_not_write_checks_and_keeps_nothing(filled: Repository, layout: Layout) -> None:
    """Whatever keeps him from it: here the place for new files is gone."""
    layout.staging.rmdir()
    assert read(filled, unchecked_for=DAY) == ["v1", "v2", "v3"]
    assert read(filled, unchecked_for=DAY) == ["v1", "v2", "v3"]
    assert not layout.checked.exists()


def test_a_damaged_file_is_named_in_every_version_that_has_it_and_read_once(
    filled: Repository, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("v1", "v3"):
        path = filled.root / name / "saved_model.pb"
        path.unlink()
        os.link(filled.root / "v2" / "saved_model.pb", path)
    damaged = filled.root / "v2" / "saved_model.pb"
    edit(damaged, bytes(reversed(damaged.read_bytes())))
    real, paths = file_digest, list[Path]()

    def digest(path: Path, seen: Any) -> Any:
        paths.append(path)
        return real(path, seen)

    monkeypatch.setattr("modelrepo.repository.summing.file_digest", digest)
    found = [(problem.kind, problem.path) for problem in filled.verify().findings]
    assert found == [("file-digest", f"{name}/saved_model.pb") for name in ("v1", "v2", "v3")]
    assert sum(path.name == "saved_model.pb" for path in paths) == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_versions_are_read_at_the_same_time(filled: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    real, together = file_digest, threading.Barrier(2, timeout=20)

    def digest(path: Path, seen: Any) -> Any:
        if path.name == "note.txt" and path.parts[-3] in {"v1", "v2"}:
            together.wait()
        return real(path, seen)

    monkeypatch.setattr("modelrepo.repository.summing.file_digest", digest)
    assert filled.verify().ok


def test_an_interrupt_does_not_wait_for_the_end_of_a_large_file(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 << 30)  # a hole: it takes no room, and a minute to read
    with Digests() as digests:
        pending = digests.pending(large, Found("large.bin", 64 << 30, 0o444, "file"), "v1/large.bin", "")
        while not pending.soon.running():
            time.sleep(0.001)
    problem = pending.problem()
    assert problem is not None
    assert problem.kind == "file-unreadable"
