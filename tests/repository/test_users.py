"""Several users on one repository: root at another's, members of a group, strangers, users without a name.

Other users are forks that give up root's rights; they and their group have numbers only, as in containers.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import modelrepo
from modelrepo import Repository
from modelrepo.cli import main
from modelrepo.core.layout import Layout
from modelrepo.core.modes import FILE, SHARED
from modelrepo.errors import StorageError
from modelrepo.fs import durable, machine
from modelrepo.repository import pushing, staging

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")

CLEAN = ("cleanup", "--keep-last", "0", "--keep-rollback", "1", "--min-age", "0s", "--grace", "0s")
TEAM, ADA, BEN, STRANGER = 4_000_100, 4_000_001, 4_000_002, 4_000_003
READING = ("list", "show v1", "history", "status", "path latest", "verify", "serving-config", "cleanup --dry-run")


@dataclass(frozen=True)
class Said:
    """What a command did that another user ran."""

    code: int
    text: str


Acting = Callable[..., Said]


@pytest.fixture(scope="session")
def _imported(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Imports what is imported late: the interpreter's own files may be out of another user's reach."""
    for module in pkgutil.walk_packages(modelrepo.__path__, "modelrepo."):
        if not module.name.endswith(("__main__", "worker")):
            importlib.import_module(module.name)
    copy = tmp_path_factory.mktemp("imported") / "ranker"
    shutil.copytree(_template / "ranker", copy, symlinks=True)  # `verify` notes when it has read what
    for words in (*READING, "list --json", "promote v9"):
        main.run(["--repo", str(copy), *words.split()])


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory that others may reach. Pytest's own are not: each run of it shuts their parent again."""
    with tempfile.TemporaryDirectory(prefix="modelrepo-users-") as name:
        place = Path(name).resolve()
        place.chmod(0o755)
        if any(above.stat().st_mode & 0o001 == 0 for above in place.parents):
            pytest.skip(f"other users may not reach {place}")
        yield place


@pytest.fixture
def acting(tmp_path: Path, _imported: None) -> Acting:
    """Runs a command on a root as another user, by default a member of TEAM."""

    def call(
        uid: int,
        root: Path,
        *words: object,
        groups: Sequence[int] = (TEAM,),
        umask: int = 0o022,
        env: dict[str, str] | None = None,
    ) -> Said:
        tmp_path.chmod(0o755)  # who copied a tree here gave it that tree's mode
        with open(tmp_path / "said", "w+", encoding="utf-8") as said:
            child = os.fork()
            if child == 0:
                code = 70
                try:
                    # What a model offers is read by a new interpreter, which this user may not even start.
                    vars(staging)["inspect"] = lambda *_, **__: staging.Checked(None, None, (), ())
                    vars(pushing)["Inspector"] = lambda **_: contextlib.nullcontext()
                    sys.stdout = sys.stderr = said
                    os.environ.update(env or {})
                    os.umask(umask)
                    os.setgroups(list(groups))
                    os.setgid(uid)
                    os.setuid(uid)
                    code = main.run(["--repo", str(root), *map(str, words)])
                finally:
                    said.flush()
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said.seek(0)
            text = said.read()
        assert code != 70, text
        return Said(code, text)

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a repository may be made by Ada."""
    place = tmp_path / "models"
    place.mkdir(mode=0o755)
    os.chown(place, ADA, ADA)
    return place


@pytest.fixture
def shared(root: Path, acting: Acting, model: Callable[[str], Path]) -> Path:
    """A repository that Ada made for TEAM, with her v1, v2 and v3, and latest at v1, then v2."""
    assert acting(ADA, root, "init", "--shared", TEAM).code == 0
    for text in ("one", "two", "three"):
        assert acting(ADA, root, "push", "--no-load", model(text)).code == 0
    for version in ("v1", "v2"):
        assert acting(ADA, root, "promote", version).code == 0
    return root


def give_away(place: Path, uid: int, gid: int) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def owners(place: Path) -> set[int]:
    return {path.lstat().st_uid for path in (place, *place.rglob("*"))}


def wrong(root: Path) -> dict[str, str]:
    """What in a shared repository has another mode or group than the promised one."""
    layout = Layout(root)
    right = {layout.staging: SHARED.private, layout.trash: SHARED.private, layout.lock: SHARED.lock}
    right |= {layout.config: SHARED.state, layout.journal: SHARED.state}
    pieces = set(layout.ballast.iterdir())  # whoever may write to their directory may give them up
    found = {}
    for path in {root, *root.rglob("*")} - pieces:
        status = path.lstat()
        mode, expected = stat.S_IMODE(status.st_mode), right.get(path, SHARED.directory if path.is_dir() else FILE)
        if status.st_gid != TEAM or (mode != expected and not path.is_symlink()):
            found[str(path)] = f"{mode:04o} instead of {expected:04o}, group {status.st_gid}"
    return found


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_any_member_does_everything_after_another_and_the_modes_stay(
    root: Path, acting: Acting, model: Callable[[str], Path], umask: int
) -> None:
    def run(uid: int, *words: object) -> str:
        said = acting(uid, root, *words, umask=umask)
        assert said.code == 0, said.text
        assert wrong(root) == {}, words
        return said.text

    run(ADA, "init", "--shared", TEAM)
    for text in ("one", "two", "three", "four"):
        run(ADA, "push", "--no-load", model(text))
    run(ADA, "promote", "v1")
    run(ADA, "promote", "v2")
    run(BEN, "promote", "v3")
    run(BEN, "rollback")
    run(BEN, "promote", "v3", "--channel", "canary")
    run(BEN, "pin", "v2", "--reason", "good")
    run(BEN, "push", "--no-load", model("five"))
    assert "deleted v4, v5" in run(BEN, *CLEAN), "v4 was Ada's, v5 was Ben's"
    run(ADA, "rollback")
    run(ADA, "unpin", "v2")
    run(ADA, "push", "--no-load", model("six"))
    run(BEN, "push", "--no-load", model("seven"))
    assert "deleted v2, v6, v7" in run(ADA, *CLEAN), "v7 was Ben's"
    run(BEN, "verify", "--repair")
    (root / ".modelrepo" / "lock").unlink()
    run(BEN, "pin", "v1")
    run(ADA, "unpin", "v1")
    assert owners(root) == {ADA, BEN}
    history = json.loads(run(BEN, "history", "--json"))
    assert {entry["actor"]["user"] for entry in history} == {str(ADA), str(BEN)}


def test_a_stranger_may_read_everything_and_change_nothing(
    shared: Path, acting: Acting, model: Callable[[str], Path], look: Callable[[Path], Any]
) -> None:
    before = look(shared)
    source = model("four")
    for words in READING:
        said = acting(STRANGER, shared, *words.split(), groups=())
        assert said.code == 0, said.text
    for words in ("promote v3", "rollback", "pin v1", "cleanup", "verify --repair", f"push --no-load {source}"):
        said = acting(STRANGER, shared, *words.split(), groups=())
        assert said.code == 8, said.text
        assert "as a member of its group" in said.text
    assert look(shared) == before


def test_a_repository_that_is_not_shared_is_its_owners_alone(
    root: Path, acting: Acting, model: Callable[[str], Path]
) -> None:
    assert acting(ADA, root, "init").code == 0
    assert acting(ADA, root, "push", "--no-load", model("one")).code == 0
    assert acting(BEN, root, "list").code == 0
    assert acting(BEN, root, "promote", "v1", groups=(TEAM, ADA)).code == 8
    assert acting(ADA, root, "promote", "v1", umask=0o077).code == 0
    assert acting(BEN, root, "verify").code == 0


def test_what_root_does_in_a_shared_repository_shuts_no_member_out(
    shared: Path, acting: Acting, model: Callable[[str], Path]
) -> None:
    repository = Repository(shared)
    repository.push(model("four"), load=False)
    repository.promote("v4")
    repository.promote("v1", channel="canary")
    assert repository.verify(repair=True).ok
    assert (owners(shared), wrong(shared)) == ({ADA}, {})
    for words in (("promote", "v1"), ("rollback",), ("promote", "v1"), CLEAN):
        assert acting(BEN, shared, *words).code == 0, words
    assert not (shared / "v3").exists()


def test_root_may_share_with_any_group_also_in_a_directory_that_is_there(
    tmp_path: Path, acting: Acting, model: Callable[[str], Path]
) -> None:
    (tmp_path / "models").mkdir(mode=0o700)
    for place in (tmp_path / "models", tmp_path / "deep" / "models"):
        assert Repository(place).init(shared=str(TEAM)).created
        assert wrong(place) == {}
        assert acting(BEN, place, "push", "--no-load", model(f"by ben {place.parent.name}")).code == 0
        assert wrong(place) == {}
    assert (tmp_path / "deep").stat().st_gid == 0, "what lies above is not the repository's"


def test_what_another_member_left_when_he_crashed_is_swept(shared: Path, acting: Acting) -> None:
    """Also a directory that he had made, but whose mode he had not set yet: it is empty, and only he may open it."""
    layout = Layout(shared)
    for place in (layout.staging / "push-1", layout.trash / "v9-1", layout.staging / "push-2"):
        place.mkdir()
        place.chmod(SHARED.directory)
        (place / "variables").mkdir(mode=0o700)
        (place / "file").touch()
    bare = layout.staging / "push-3"
    bare.mkdir(mode=0o700)
    for place in (layout.staging, layout.trash):
        give_away(place, ADA, TEAM)
    said = acting(BEN, shared, "cleanup")
    assert said.code == 0, said.text
    assert os.listdir(layout.staging) == os.listdir(layout.trash) == []


def test_what_another_member_shut_up_is_said_and_nothing_else_stays(shared: Path, acting: Acting) -> None:
    staging_place = Layout(shared).staging
    for name in ("push-1", "push-2"):
        (staging_place / name).mkdir()
        (staging_place / name / "file").touch()
    (staging_place / "push-1").chmod(0o700)
    (staging_place / "push-2").chmod(SHARED.directory)
    give_away(staging_place, ADA, TEAM)
    said = acting(BEN, shared, "cleanup")
    assert said.code == 8
    assert "push-1" in said.text
    assert os.listdir(staging_place) == ["push-1"]


@pytest.mark.parametrize("first", ["shared", "not shared"])
def test_an_interrupted_init_is_finished_by_one_that_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    repository = Repository(tmp_path / "ranker")
    real = durable.replace_file

    def broken(path: Path, *rest: Any) -> None:
        if path.name == "config.toml":
            raise OSError(5, "Input/output error")
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace_file", broken)
        with pytest.raises(StorageError):
            repository.init(shared=str(TEAM) if first == "shared" else None)
    (repository.root / ".modelrepo" / "removed").chmod(0o700)
    assert repository.init(shared=str(TEAM)).created
    assert wrong(repository.root) == {}
    assert repository.verify().findings == ()


def test_a_group_that_is_not_there_and_one_that_one_is_not_in_make_nothing(root: Path, acting: Acting) -> None:
    said = acting(ADA, root, "init", "--shared", "no-such-group")
    assert said.code == 3
    assert "groupadd" in said.text
    for group in (BEN, 0):
        said = acting(ADA, root, "init", "--shared", group)
        assert said.code == 8
        assert "not a member" in said.text
    assert os.listdir(root) == []
    assert acting(ADA, root, "init", "--shared", ADA, groups=()).code == 0, "one's own group is in no list"


def test_init_on_a_whole_repository_changes_nothing_and_says_what_differs(
    root: Path, shared: Path, acting: Acting, tmp_path: Path, look: Callable[[Path], Any]
) -> None:
    before = look(shared)
    assert acting(ADA, shared, "init").text == f"{root} is a repository already; nothing changed\n"
    assert "warning" not in acting(ADA, shared, "init", "--shared", TEAM).text
    said = acting(ADA, shared, "init", "--shared", ADA, "--allow-network-fs")
    assert said.code == 0
    assert f"is shared with the group {TEAM}" in said.text
    assert "network_fs = false" in said.text
    assert look(shared) == before
    plain = Repository(tmp_path / "plain")
    plain.init()
    (warning,) = plain.init(shared=str(TEAM)).warnings
    assert "not shared" in warning


def test_a_repository_becomes_shared_by_a_group_a_setting_and_a_repair(
    filled: Repository, acting: Acting, layout: Layout
) -> None:
    filled.promote("v1")
    os.chown(filled.root, -1, TEAM)
    layout.config.write_text(layout.config.read_text().replace("shared = false", "shared = true"))
    assert not filled.verify().ok
    assert filled.verify(repair=True).ok
    for words in (("promote", "v2"), ("rollback",), CLEAN):
        assert acting(BEN, filled.root, *words).code == 0, words
    assert not (filled.root / "v3").exists()


def test_modes_that_shut_members_out_are_found_and_mended_by_who_may(shared: Path, acting: Acting) -> None:
    for path, mode in ((shared / "v1", 0o755), (shared / ".modelrepo" / "journal.jsonl", 0o644), (shared, 0o755)):
        path.chmod(mode)
    found = {problem.path for problem in Repository(shared).verify().findings if problem.kind == "mode"}
    assert found == {"v1", ".modelrepo/journal.jsonl", "."}
    assert acting(ADA, shared, "verify", "--repair").code == 0
    assert wrong(shared) == {}
    (shared / "v1").chmod(0o777)
    said = acting(BEN, shared, "verify", "--repair")
    assert said.code == 5, "only its owner may set a mode"
    assert "v1: its mode is 0777, not 2775: others may change it" in said.text
    assert acting(ADA, shared, "verify", "--repair").code == 0


def test_claims_stand_beside_the_user_and_are_shown_as_claims(shared: Path, acting: Acting) -> None:
    env = {"MODELREPO_ACTOR": "ci job 7", "SUDO_USER": "grace"}
    assert acting(BEN, shared, "promote", "v3", env=env).code == 0
    (entry,) = json.loads(acting(STRANGER, shared, "history", "--limit", "1", "--json", groups=()).text)
    assert entry["actor"] == {"user": str(BEN), "uid": BEN, "host": machine.actor().host, "claims": env}
    assert "(claims MODELREPO_ACTOR=ci job 7, SUDO_USER=grace)" in acting(ADA, shared, "history").text


def test_a_link_that_a_member_moved_by_hand_is_recorded_as_his(shared: Path, acting: Acting) -> None:
    (shared / "latest").unlink()
    (shared / "latest").symlink_to("v3")
    os.chown(shared / "latest", BEN, TEAM, follow_symlinks=False)
    assert acting(ADA, shared, "pin", "v1").code == 0
    entry = Repository(shared).history()[1]
    assert (entry.action, entry.actor.uid) == ("external", BEN)
    assert entry.recorded_by is not None
    assert entry.recorded_by.uid == ADA


@pytest.fixture
def theirs(filled: Repository) -> Repository:
    """A repository of Ada's alone."""
    give_away(filled.root, ADA, ADA)
    return filled


def test_what_root_makes_is_its_owners_who_goes_on_with_it(
    theirs: Repository, acting: Acting, model: Callable[[str], Path]
) -> None:
    theirs.push(model("four"), load=False)
    theirs.promote("v4")
    theirs.promote("v2")
    theirs.promote("v3", channel="canary")
    theirs.pin("v1")
    assert owners(theirs.root) == {ADA}
    for words in (("promote", "v1"), ("rollback",), ("rollback", "--channel", "canary", "--to", "v3"), ("unpin", "v1")):
        assert acting(ADA, theirs.root, *words).code == 0, words
    assert acting(ADA, theirs.root, *CLEAN).code == 0
    assert theirs.verify().ok


def test_what_root_repairs_is_still_its_owners(theirs: Repository, acting: Acting) -> None:
    journal = theirs.root / ".modelrepo" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], *lines[2:]]))
    (theirs.root / ".modelrepo" / "lock").unlink()
    assert theirs.verify(repair=True).ok
    assert owners(theirs.root) == {ADA}
    assert acting(ADA, theirs.root, "promote", "v1").code == 0


def test_a_repository_that_root_makes_in_a_users_directory_is_roots(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, ADA, ADA)
    repository = Repository(home / "models")
    repository.init()
    assert owners(repository.root) == {0}


def test_a_number_is_a_group_also_without_a_name_and_a_name_is_looked_up_first() -> None:
    assert machine.group_number("root") == machine.group_number("0") == 0
    assert machine.group_number(str(TEAM)) == TEAM
    for name in ("", "-1", "no-such-group", str(2**32 - 1), "1.0", "\u0661"):
        assert machine.group_number(name) is None
    assert (machine.group_name(0), machine.group_name(TEAM)) == ("root", str(TEAM))


def test_what_the_root_of_a_repository_may_not_become_is_said(root: Path, acting: Acting) -> None:
    """A directory of another's, which Ben may write to, but not give to his group."""
    root.chmod(0o777)
    said = acting(BEN, root, "init", "--shared", TEAM)
    assert said.code == 8
    assert str(root) in said.text
    assert os.listdir(root) == []
