"""`init --adopt` takes over a hand-made tree: checked whole before anything is written, and no model byte changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import BusyError, IntegrityError, ModelRepoError, RefusedError
from modelrepo.fs import durable
from modelrepo.fs.files import file_digest
from modelrepo.repository import adopting, initializing, writing

Look = Callable[[Path], dict[str, tuple[Any, ...]]]
Models = Callable[[str], Path]


@pytest.fixture
def tree(tmp_path: Path, model: Models) -> Path:
    """v1, v2 and v10 by hand; an absolute and a relative link; a file that has nothing to do with it."""
    root = tmp_path / "models" / "ranker"
    root.mkdir(parents=True)
    for number, text in ((1, "one"), (2, "two"), (10, "ten")):
        shutil.copytree(model(text), root / f"v{number}")
        os.utime(root / f"v{number}" / "saved_model.pb", (1_700_000_000 + number, 1_700_000_000 + number))
        for path in (root / f"v{number}").rglob("*"):
            os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    (root / "latest").symlink_to(root / "v2")
    (root / "canary").symlink_to("v10")
    (root / "README.txt").write_text("by hand")
    return root


def facts(root: Path, look: Look) -> dict[str, tuple[Any, ...]]:
    """What must not change: modes, inodes, times and bytes of all model files, and the rest of the root."""
    return {
        name: what[:2] + what[4:] if name.startswith("v") and name.count("/") == 0 else what
        for name, what in look(root).items()
        if not name.startswith((".", "serving")) and name not in {"latest", "canary"} and "manifest.json" not in name
    }


def test_versions_and_links_are_taken_over_and_nothing_else_changes(tree: Path, look: Look) -> None:
    before = facts(tree, look)
    repository = Repository(tree)
    result = repository.init(adopt=True)
    assert (result.created, result.adopted) == (True, (Version(1), Version(2), Version(10)))
    assert facts(tree, look) == before
    assert repository.status().channels == {"canary": Version(10), "latest": Version(2)}
    assert os.readlink(tree / "latest") == "v2"
    assert {name: os.listdir(tree / "serving" / name) for name in ("latest", "canary")} == {
        "latest": ["2"], "canary": ["10"],
    }  # fmt: skip
    assert {problem.kind for problem in repository.verify().findings} == {"foreign", "mode"}
    assert repository.verify().ok
    assert not [problem for problem in repository.status().problems if not problem.note]


def test_each_version_says_that_it_was_adopted_and_what_it_offers(tree: Path) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    shown = repository.show("v2")
    assert (shown.adopted, shown.load) == (True, "skipped")
    assert shown.signatures
    assert shown.created_at == datetime.fromtimestamp(1_700_000_002, UTC)
    assert shown.created_by.uid == (tree / "v2").stat().st_uid
    assert shown.source.path == str(tree / "v2")
    actions = [(entry.action, str(entry.version or entry.to)) for entry in repository.history()]
    assert sorted(actions) == sorted(
        [("adopt", "v1"), ("adopt", "v2"), ("adopt", "v10"), ("external", "v2"), ("external", "v10")]
    )


def test_the_adopted_go_on_like_the_pushed(tree: Path, model: Models, ageless: dict[str, Any]) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    assert all("min-age" in kept.reasons for kept in repository.cleanup(dry_run=True).kept)
    repository.promote("v1")
    assert repository.rollback().to == Version(2)
    assert repository.push(model("eleven"), load=False).version == Version(11)
    again = repository.push(tree.parent.parent / "exports" / "one", load=False)
    assert (again.version, again.created) == (Version(1), False)
    repository.verify(repair=True)
    assert {problem.kind for problem in repository.verify().findings} == {"foreign"}
    assert repository.cleanup(**ageless).removed == (Version(1), Version(11))


def test_running_it_again_changes_nothing(tree: Path, look: Look) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    before = look(tree)
    result = repository.init(adopt=True)
    assert (result.created, result.adopted) == (False, ())
    assert look(tree) == before


def test_foreign_versions_are_taken_over_later(tree: Path, model: Models) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    shutil.copytree(model("five"), tree / "v5")
    (tree / "blue").symlink_to("v5")
    assert "v5" in {problem.path for problem in repository.verify().findings if problem.kind == "foreign"}
    result = repository.init(adopt=True)
    assert (result.created, result.adopted) == (False, (Version(5),))
    assert repository.history(limit=2)[1].action == "adopt"
    assert repository.status().channels["blue"] == Version(5)
    assert repository.verify().ok


def test_a_number_that_was_used_before_is_not_adopted(tree: Path, model: Models) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    repository.remove(["v1"])
    shutil.copytree(model("other"), tree / "v1")
    with pytest.raises(RefusedError) as caught:
        repository.init(adopt=True)
    assert "v1: this number was used before" in caught.value.items[0]
    assert not (tree / "v1" / "manifest.json").exists()


def test_in_an_empty_or_missing_directory_it_is_init(tmp_path: Path) -> None:
    assert Repository(tmp_path / "new").init(adopt=True).created
    assert Repository(tmp_path / "new").status().versions == 0


#: What somebody does to the tree by hand, and what is said of it.
REFUSED = {
    "ln -s v1 v3": "v3 is a link, not a directory",
    """echo '{"version": "v1"}' > v1/manifest.json""": "v1/manifest.json is not modelrepo's",
    "ln -sfn v7 latest": "latest names no version here: it says 'v7'",
    "rm latest; mkdir latest": "latest is not a link",
    "ln -sfn /etc latest": "latest names no version here: it says '/etc'",
    "ln -sfn canary latest": "latest names another link, canary",
    "ln -sfn v1/variables latest": "latest leads into v1, to 'v1/variables'",
    "mkdir serving; touch serving/x": "serving is a name that modelrepo keeps for itself",
    "mkdir -p serving/latest; ln -s /etc serving/latest/1": "serving is a name that modelrepo keeps for itself",
    "ln -s v1 serving": "serving is a name that modelrepo keeps for itself",
    "mkdir v3": "v3 is not a SavedModel",
    "head -c 100 /dev/zero | tr '\\0' '\\377' > v1/saved_model.pb": "v1: this is not a SavedModel",
    ": > v1/saved_model.pb": "v1: this is not a SavedModel",
    "ln -s variables v1/vars": "'vars' is a symbolic link",
    "mkfifo v1/pipe": "'pipe' is a pipe",
}
#: The same, behind an adoption whose state is gone.
REFUSED_AGAIN = {
    "cp -f v2/manifest.json v1/manifest.json": "v1/manifest.json is of v2",
    "echo eno > v1/assets.extra/note.txt": "v1/manifest.json names other files, or other bytes",
}


def by_hand(tree: Path, command: str) -> None:
    subprocess.run(["bash", "-ec", command], check=True, cwd=tree)


@pytest.mark.parametrize("command", [*REFUSED, *REFUSED_AGAIN])
def test_what_cannot_be_adopted_is_said_and_nothing_is_written(tree: Path, look: Look, command: str) -> None:
    if command in REFUSED_AGAIN:
        Repository(tree).init(adopt=True)
        by_hand(tree, "rm -r .modelrepo serving")
    by_hand(tree, command)
    before = look(tree)
    with pytest.raises(RefusedError) as caught:
        Repository(tree).init(adopt=True)
    assert caught.value.kind == "not-adoptable"
    said = {**REFUSED, **REFUSED_AGAIN}[command]
    assert [item for item in caught.value.items if said in item], caught.value.items
    assert look(tree) == before


def test_all_that_is_in_the_way_is_said_at_once(tree: Path) -> None:
    by_hand(tree, "ln -s v1 v3; ln -sfn v7 latest; touch serving")
    with pytest.raises(RefusedError) as caught:
        Repository(tree).init(adopt=True)
    assert len(caught.value.items) == 3


def test_another_device_below_is_said(tree: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    (tree / "v1" / "assets").mkdir()
    script = (
        f"mount -t tmpfs none {tree}/v1/assets && touch {tree}/v1/assets/word.txt && "
        f"exec {sys.executable} -m modelrepo -r {tree} init --adopt"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    if "mount" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.returncode == 4
    assert "v1/assets lies on another device" in done.stderr
    assert not (tree / ".modelrepo").exists()


@pytest.mark.parametrize("place", ["v1/my assets", "v1", "v1/saved_model.pb"])
def test_what_is_mounted_from_the_same_device_is_said(tree: Path, tmp_path: Path, place: str) -> None:
    """A version that is mounted, or in which something is, could be neither renamed nor deleted later."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    (tree / "v1" / "my assets").mkdir()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tree / "v1", elsewhere)
    source = elsewhere / "saved_model.pb" if place.endswith(".pb") else elsewhere
    shell = 'mount --bind "$1" "$2" && exec "$3" -m modelrepo -r "$4" init --adopt'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", str(source), str(tree / place), sys.executable, str(tree)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith("mount:"):
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.returncode == 4
    assert f"{place} is mounted from elsewhere" in done.stderr
    assert not (tree / ".modelrepo").exists()


def test_a_hand_made_tree_or_a_numeric_one_is_answered_with_what_to_do(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="not empty") as caught:
        Repository(tree).init()
    assert "init --adopt" in (caught.value.hint or "")
    numeric = tmp_path / "numeric tree"
    for number, version in (("0009", "v1"), ("20", "v2"), ("100", "v10")):
        shutil.copytree(tree / version, numeric / number)
    for adopt in (False, True):
        with pytest.raises(RefusedError) as caught:
            Repository(numeric).init(adopt=adopt)
        assert "--number" in (caught.value.hint or "")


def test_the_loop_takes_a_numeric_tree_in_as_it_stands(tree: Path, tmp_path: Path, run: Callable[..., Any]) -> None:
    numeric = tmp_path / "numeric tree"
    for number, version in (("0009", "v1"), ("20", "v2"), ("100", "v10")):
        shutil.copytree(tree / version, numeric / number)
    done = run("-r", numeric, "init", "--adopt")
    assert done.code == 4
    command = done.err.rpartition("This takes it in: ")[2].strip()
    command = command.replace("do modelrepo ", f"do {sys.executable} -m modelrepo ").replace("push ", "push --no-load ")
    subprocess.run(["bash", "-ec", command], check=True, timeout=120, cwd=tmp_path)
    repository = Repository(tmp_path / "numeric tree.repository")
    assert [str(row.version) for row in repository.list()] == ["v100", "v20", "v9"]


@pytest.mark.parametrize("step", range(12))
def test_interrupted_at_any_step_it_goes_on(tree: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The n-th write fails for good, as if the process had been killed there; the next run finishes."""
    count = 0
    real_new, real_replace = durable.write_new, durable.replace_file

    def once(real: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            nonlocal count
            count += 1
            if count == step + 1:
                raise KeyboardInterrupt
            real(*arguments, **options)

        return call

    monkeypatch.setattr(durable, "write_new", once(real_new))
    monkeypatch.setattr(durable, "replace_file", once(real_replace))
    repository = Repository(tree)
    try:
        repository.init(adopt=True)
    except KeyboardInterrupt:
        if not Layout(tree).config.exists():
            with pytest.raises(ModelRepoError):
                repository.status()
    monkeypatch.undo()
    result = repository.init(adopt=True)
    assert result.adopted == (() if not result.created else (Version(1), Version(2), Version(10)))
    assert len(repository.list()) == 3
    repository.pin("v1")
    assert repository.verify().ok
    assert repository.status().channels == {"canary": Version(10), "latest": Version(2)}


def test_a_repository_that_lost_its_state_is_adopted_with_all_that_its_manifests_say(
    filled: Repository, model: Models
) -> None:
    filled.push(model("four"), load=False, message="the fourth", labels={"team": "ads"})
    filled.promote("v4")
    raw = (filled.root / "v4" / "manifest.json").read_bytes()
    view = filled.root / "serving" / "latest"
    inode = view.stat().st_ino
    shutil.rmtree(filled.root / ".modelrepo")
    result = filled.init(adopt=True)
    assert len(result.adopted) == 4
    assert (view.stat().st_ino, os.listdir(view)) == (inode, ["4"]), "what a server polls is never taken away"
    assert (filled.root / "v4" / "manifest.json").read_bytes() == raw
    assert (filled.show("v4").message, filled.show("v4").adopted) == ("the fourth", False)
    assert filled.verify().findings == ()


def test_a_history_without_settings_is_not_written_over(filled: Repository) -> None:
    filled.promote("v1")
    (filled.root / ".modelrepo" / "config.toml").unlink()
    before = (filled.root / ".modelrepo" / "journal.jsonl").read_bytes()
    with pytest.raises(IntegrityError):
        filled.init(adopt=True)
    assert (filled.root / ".modelrepo" / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["a file", "a new version", "a link"])
def test_what_changes_while_it_is_read_stops_it(
    tree: Path, model: Models, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    real = initializing.making

    def making(*arguments: Any) -> Any:
        if change == "a file":
            (tree / "v1" / "saved_model.pb").touch()
        elif change == "a new version":
            shutil.copytree(model("three"), tree / "v3")
        else:
            (tree / "canary").unlink()
        return real(*arguments)

    monkeypatch.setattr(initializing, "making", making)
    with pytest.raises(BusyError):
        Repository(tree).init(adopt=True)
    assert not list(tree.glob("v*/manifest.json"))
    monkeypatch.undo()
    assert Repository(tree).init(adopt=True).created


def test_without_tensorflow_it_is_adopted_unread(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrepo.errors import ModelError
    from modelrepo.savedmodel.runner import Inspector

    def missing(*_: Any) -> Any:
        raise ModelError("it is not installed", kind="tensorflow-missing")

    monkeypatch.setattr(Inspector, "read", missing)
    result = Repository(tree).init(adopt=True)
    assert len(result.adopted) == 3
    assert "TensorFlow is not installed" in result.warnings[0]
    assert Repository(tree).show("v1").signatures is None


def test_whoever_watches_is_told_of_every_byte(tree: Path) -> None:
    told: list[tuple[int, int]] = []
    Repository(tree).init(adopt=True, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == sum(row.size for row in Repository(tree).list())


def test_a_later_adoption_that_finds_a_change_says_what_it_had_done(
    tree: Path, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    for number in (11, 12):
        shutil.copytree(model(str(number)), tree / f"v{number}")
    real = adopting._put_manifest

    def put(layout: Layout, found: Any) -> None:
        real(layout, found)
        (tree / "v12" / "saved_model.pb").touch()

    monkeypatch.setattr(adopting, "_put_manifest", put)
    with pytest.raises(BusyError) as caught:
        repository.init(adopt=True)
    assert caught.value.partial.adopted == (Version(11),)
    monkeypatch.undo()
    assert repository.init(adopt=True).adopted == (Version(12),)


def test_a_time_in_the_future_is_not_believed(tree: Path) -> None:
    os.utime(tree / "v1" / "saved_model.pb", (4_000_000_000, 4_000_000_000))
    Repository(tree).init(adopt=True)
    assert Repository(tree).show("v1").created_at <= datetime.now(UTC)


def test_an_adopted_tree_can_be_shared_and_repair_opens_what_stands_there_for_the_group(tree: Path) -> None:
    group = os.getegid()
    repository = Repository(tree)
    assert len(repository.init(adopt=True, shared=str(group)).adopted) == 3
    assert (tree.stat().st_mode & 0o7777, tree.stat().st_gid) == (0o2775, group)
    assert (tree / ".modelrepo" / "journal.jsonl").stat().st_mode & 0o777 == 0o664
    assert (tree / "v1").stat().st_mode & 0o7777 == 0o755
    assert repository.verify().ok
    repository.verify(repair=True)
    assert (tree / "v1" / "variables").stat().st_mode & 0o7777 == 0o2775
    assert {problem.kind for problem in repository.verify().findings} == {"foreign"}


def test_a_file_that_somebody_is_still_writing_is_said(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = file_digest

    def digest(path: Path, *arguments: Any) -> tuple[int, str]:
        if path.name == "note.txt":
            with path.open("a") as file:
                file.write("more")
        return real(path, *arguments)

    monkeypatch.setattr("modelrepo.repository.surveying.file_digest", digest)
    with pytest.raises(RefusedError) as caught:
        Repository(tree).init(adopt=True)
    assert len(caught.value.items) == 3
    assert "v1/assets.extra/note.txt changed while it was read" in caught.value.items[0]


def test_what_is_left_alone_is_said(tree: Path) -> None:
    by_hand(tree, "ln -s v2 prod-1; mkdir 3 v03; ln -s /etc Elsewhere")
    warnings = Repository(tree).init(adopt=True).warnings
    assert [warning.split()[0] for warning in warnings if "just now" not in warning] == ["prod-1", "3", "v03"]
    assert "keeps v2" in warnings[0]


def test_a_version_that_changed_just_now_is_adopted_with_a_warning(tree: Path) -> None:
    """All of them did: the test has just made them. One that has its manifest already is not spoken of."""
    result = Repository(tree).init(adopt=True)
    assert [warning.split()[0] for warning in result.warnings] == ["v1", "v2", "v10"]
    by_hand(tree, "rm -r .modelrepo serving")
    assert Repository(tree).init(adopt=True).warnings == ()


def test_killed_behind_the_commit_the_next_run_finishes_the_links(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(adopting, "_settled", killed)
    with pytest.raises(KeyboardInterrupt):
        Repository(tree).init(adopt=True)
    assert os.readlink(tree / "latest") == str(tree / "v2")
    monkeypatch.undo()
    Repository(tree).init(adopt=True)
    assert os.readlink(tree / "latest") == "v2"
    assert not [problem for problem in Repository(tree).status().problems if not problem.note]


def test_while_an_adoption_is_unfinished_others_are_told_to_go_on_with_it(
    tree: Path, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.replace_file

    def killed(path: Path, *arguments: Any) -> None:
        if path == Layout(tree).config:
            raise KeyboardInterrupt
        real(path, *arguments)

    monkeypatch.setattr(durable, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        Repository(tree).init(adopt=True)
    monkeypatch.undo()
    for call in (Repository(tree).init, lambda: Repository(tree).push(model("new"), load=False, init=True)):
        with pytest.raises(IntegrityError) as caught:
            call()
        assert "init --adopt" in (caught.value.hint or "")
    assert len(Repository(tree).init(adopt=True).adopted) == 3


def test_a_number_that_leaves_no_room_is_not_adopted(tree: Path) -> None:
    by_hand(tree, "cp -r v1 v9223372036854775807")
    with pytest.raises(RefusedError) as caught:
        Repository(tree).init(adopt=True)
    assert "too high" in caught.value.items[0]


def test_a_manifest_that_tells_other_signatures_than_the_model_has_is_not_believed(tree: Path, samples: Path) -> None:
    shutil.copytree(samples / "renamed_input", tree / "v11")
    Repository(tree).init(adopt=True)
    by_hand(tree, "rm -r .modelrepo serving")
    manifest = tree / "v11" / "manifest.json"
    text = manifest.read_text().replace('"pixels"', '"image"')
    manifest.unlink()
    manifest.write_text(text)
    with pytest.raises(RefusedError) as caught:
        Repository(tree).init(adopt=True)
    assert "v11/manifest.json tells other signatures" in caught.value.items[0]


def test_adopted_exports_are_as_sound_as_any_adopted_version(filled: Repository, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    filled.export("v2", tmp_path / "other" / "v2")
    other = Repository(tmp_path / "other")
    other.init(adopt=True)
    assert other.verify().ok


def test_a_directory_that_becomes_a_link_while_the_lock_is_waited_for_is_left_alone(
    tree: Path, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tree)
    repository.init(adopt=True)
    shutil.copytree(model("twelve"), tree / "v12")
    real = writing.writing

    def swapping(*arguments: Any) -> Any:
        os.rename(tree / "v12", tree.parent / "outside")
        (tree / "v12").symlink_to(tree.parent / "outside")
        return real(*arguments)

    monkeypatch.setattr(adopting, "writing", swapping)
    with pytest.raises(BusyError):
        repository.init(adopt=True)
    assert not (tree.parent / "outside" / "manifest.json").exists()
    assert repository.history(limit=1)[0].action != "adopt"
