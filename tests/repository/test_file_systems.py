"""File systems that cannot keep all promises: refused, unless somebody says that less will do; read everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.core.layout import Layout
from modelrepo.errors import RefusedError, SystemRefusedError
from modelrepo.fs import native
from modelrepo.repository.results import Problem

DAY = timedelta(hours=24)
Lies = Callable[[str], None]


@pytest.fixture
def lies_on(monkeypatch: pytest.MonkeyPatch) -> Lies:
    """Lets the system say from now on that everything lies on another file system."""

    def call(name: str) -> None:
        monkeypatch.setattr(native, "file_system", lambda _: (name, name in native.KNOWN_FILE_SYSTEMS.values()))

    return call


def allow(layout: Layout) -> None:
    layout.config.write_text(layout.config.read_text().replace("network_fs = false", "network_fs = true"))


def notes(problems: tuple[Problem, ...]) -> list[tuple[str, str]]:
    assert all(problem.note for problem in problems), problems
    return [(problem.kind, problem.path) for problem in problems]


@pytest.mark.parametrize("name", ["nfs", "cifs", "fuse", "0x9fa0"])
def test_every_writing_command_asks_anew_and_is_refused(
    filled: Repository, lies_on: Lies, model: Callable[[str], Path], tmp_path: Path, name: str, look: Any
) -> None:
    filled.promote("v1")
    source, before = model("four"), look(filled.root)
    lies_on(name)
    for action in (
        lambda: filled.push(source, load=False),
        lambda: filled.promote("v2"),
        filled.rollback,
        lambda: filled.pin("v1"),
        filled.cleanup,
        lambda: filled.verify(repair=True),
        lambda: Repository(tmp_path / "new").init(),
        lambda: Repository(tmp_path / "new").push(source, load=False, init=True),
    ):
        with pytest.raises(SystemRefusedError) as caught:
            action()
        assert (caught.value.kind, caught.value.got) == ("file-system", name)
        assert "network_fs" in str(caught.value.hint)
    assert look(filled.root) == before
    assert not (tmp_path / "new").exists()


def test_readers_work_anywhere_and_wrong_modes_are_notes_there(filled: Repository, lies_on: Lies) -> None:
    filled.promote("v1")
    for place in (filled.root / "v1", filled.root / "serving", filled.root / ".modelrepo" / "lock"):
        place.chmod(0o777)
    assert not filled.verify().ok
    lies_on("cifs")
    assert len(filled.list()) == len(filled.history()) - 1 == 3
    assert filled.path("latest").path == str(filled.root / "v1")
    assert filled.cleanup(dry_run=True).removed == ()
    result = filled.verify()
    assert result.ok
    assert sorted(notes(result.findings)) == [
        ("mode", ".modelrepo/lock"),
        ("mode", "serving"),
        ("mode", "v1"),
        ("network-fs", "."),
    ]


def test_where_somebody_says_that_less_will_do_everything_works_and_is_said(
    tmp_path: Path, lies_on: Lies, model: Callable[[str], Path]
) -> None:
    lies_on("nfs")
    repository = Repository(tmp_path / "ranker")
    assert repository.init(allow_network_fs=True).created
    for text in ("one", "two"):
        repository.push(model(text), load=False)
    repository.promote("v1")
    repository.promote("v2")
    assert str(repository.rollback().to) == "v1"
    for result in (repository.status().problems, repository.verify(repair=True).findings):
        assert notes(result) == [("network-fs", ".")]
        assert "type nfs" in result[0].detail


def test_a_repository_that_is_there_is_allowed_by_its_settings(
    filled: Repository, layout: Layout, lies_on: Lies
) -> None:
    lies_on("fuse")
    allow(layout)
    assert filled.promote("v1").changed


def test_cleanup_refuses_less_than_a_day_of_grace_also_where_it_runs_on_the_server_itself(
    filled: Repository, layout: Layout, lies_on: Lies, ageless: dict[str, Any]
) -> None:
    allow(layout)
    for name in ("nfs", "ext4"):
        lies_on(name)
        for dry_run in (True, False):
            with pytest.raises(RefusedError, match="less than 24h") as caught:
                filled.cleanup(**{**ageless, "grace": DAY - timedelta(seconds=1)}, dry_run=dry_run)
            assert caught.value.kind == "grace-too-short"
    assert len(filled.list()) == 3
    text = layout.config.read_text()
    layout.config.write_text(text.replace('grace = "24h"', 'grace = "1h"'))
    with pytest.raises(RefusedError):
        filled.cleanup()
    filled.promote("v1")
    filled.promote("v2")
    filled.promote("v3")
    assert filled.cleanup(**{**ageless, "grace": DAY}).removed == (), "each was a target less than a day ago"
    assert notes(filled.status().problems) == [("network-fs", ".")]


def test_a_grace_that_is_refused_does_not_keep_cleanup_from_recovering(
    filled: Repository, layout: Layout, ageless: dict[str, Any]
) -> None:
    allow(layout)
    (filled.root / "latest").symlink_to("v1")
    with pytest.raises(RefusedError):
        filled.cleanup(**ageless)
    assert filled.history()[0].action == "external"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A directory that is seen through a real FUSE file system."""
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse")
    behind, front = tmp_path / "behind", tmp_path / "front"
    behind.mkdir()
    front.mkdir()
    if subprocess.run(["bindfs", behind, front], check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing may be mounted here")
    yield front
    subprocess.run(["fusermount", "-u", "-z", front], check=True)


def test_the_whole_way_through_a_real_fuse_mount(
    mounted: Path, model: Callable[[str], Path], ageless: dict[str, Any]
) -> None:
    repository = Repository(mounted / "ranker")
    with pytest.raises(SystemRefusedError, match="type fuse"):
        repository.init()
    repository.init(allow_network_fs=True)
    sources = [model(text) for text in ("one", "two", "three", "four")]
    for source in sources:
        assert repository.push(source, load=False).created
    for version in ("v1", "v2", "v3"):
        repository.promote(version)
    assert str(repository.rollback().to) == "v2"
    with (mounted / "ranker" / "v4" / "saved_model.pb").open("rb"):
        pass
    assert [str(version) for version in repository.cleanup(**{**ageless, "grace": DAY}).removed] == ["v4"]
    assert notes(repository.verify().findings) == [("network-fs", ".")]
    assert sorted(os.listdir(mounted.parent / "behind" / "ranker")) == [
        ".modelrepo", "latest", "serving", "v1", "v2", "v3",
    ]  # fmt: skip


def as_kubelet_leaves_it(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o7777 | (0o2770 if path.is_dir() else 0o660))


def test_modes_as_kubernetes_leaves_them_are_notes_until_somebody_asks_for_a_repair(filled: Repository) -> None:
    filled.promote("v1")
    as_kubelet_leaves_it(filled.root)
    result = filled.verify()
    assert result.ok
    paths = {path for kind, path in notes(result.findings) if kind == "mode"}
    assert {"v1", "v1/saved_model.pb", "v1/manifest.json", "serving", "serving/latest"} <= paths
    assert {f".modelrepo/{name}" for name in ("lock", "journal.jsonl", "config.toml", "trash")} <= paths
    assert all("fsGroup" in problem.detail for problem in result.findings)
    assert filled.verify(repair=True).ok
    assert (filled.root / "v1").stat().st_mode & 0o7777 == 0o755
    assert filled.verify().findings == ()
    as_kubelet_leaves_it(filled.root)
    (filled.root / "v1" / "saved_model.pb").chmod(0o666)
    assert not filled.verify().ok, "one bit more is somebody's doing"
