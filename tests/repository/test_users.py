"""Root at work on another user's repository leaves it that user's."""

from __future__ import annotations

import importlib
import os
import pkgutil
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

import modelrepo
from modelrepo import Repository
from modelrepo.cli import main

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work on another user's files")

CLEAN = ("cleanup", "--keep-last", "0", "--keep-rollback", "1", "--min-age", "0s", "--grace", "0s")


def give_away(place: Path, uid: int, gid: int) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def owners(place: Path) -> set[int]:
    return {path.lstat().st_uid for path in (place, *place.rglob("*"))}


@pytest.fixture
def theirs(filled: Repository, tmp_path: Path) -> Repository:
    """A repository of `nobody`, who may reach it."""
    nobody = pwd.getpwnam("nobody")
    for place in (tmp_path, *list(tmp_path.parents)[:2]):
        place.chmod(0o755)
    give_away(filled.root, nobody.pw_uid, nobody.pw_gid)
    return filled


def as_nobody(repository: Repository, *words: str) -> int:
    """Run a command as that user, in a fork: the interpreter's own files may be out of his reach."""
    for module in pkgutil.walk_packages(modelrepo.__path__, "modelrepo."):
        if not module.name.endswith(("__main__", "worker")):
            importlib.import_module(module.name)
    assert main.run(["--repo", str(repository.root), "status"]) == 0  # imports what is imported late
    child = os.fork()
    if child == 0:
        code = 70
        try:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            code = main.run(["--repo", str(repository.root), *words])
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_root_makes_is_its_owners_who_goes_on_with_it(theirs: Repository, model: Callable[[str], Path]) -> None:
    before = owners(theirs.root)
    assert 0 not in before
    theirs.push(model("four"), load=False)
    theirs.promote("v4")
    theirs.promote("v2")
    theirs.promote("v3", channel="canary")
    theirs.pin("v1")
    assert owners(theirs.root) == before
    for words in (("promote", "v1"), ("rollback",), ("rollback", "--channel", "canary", "--to", "v3"), ("unpin", "v1")):
        assert as_nobody(theirs, *words) == 0, words
    assert as_nobody(theirs, *CLEAN) == 0
    assert theirs.verify().ok


def test_what_root_repairs_is_still_its_owners(theirs: Repository) -> None:
    journal = theirs.root / ".modelrepo" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], *lines[2:]]))
    (theirs.root / ".modelrepo" / "lock").unlink()
    before = owners(theirs.root)
    assert theirs.verify(repair=True).ok
    assert owners(theirs.root) == before
    assert as_nobody(theirs, "promote", "v1") == 0


def test_a_repository_that_root_makes_in_a_users_directory_is_roots(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    repository = Repository(home / "models")
    repository.init()
    assert owners(repository.root) == {0}
