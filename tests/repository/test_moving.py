"""`promote` and `rollback`: the link is the truth, and a rollback follows history."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import (
    IntegrityError,
    ModelRepoError,
    NotFoundError,
    RefusedError,
    RequestError,
    StorageError,
    UnconfirmedError,
)
from modelrepo.fs import durable
from modelrepo.repository.results import MoveResult

Look = Callable[[Path], dict[str, tuple[Any, ...]]]


@pytest.fixture
def five(filled: Repository, model: Callable[[str], Path]) -> Repository:
    """v1 to v5."""
    for text in ("four", "five"):
        filled.push(model(text), load=False)
    return filled


def latest(repository: Repository) -> str:
    return os.readlink(repository.root / "latest")


def view(repository: Repository, channel: str = "latest") -> dict[str, str]:
    place = repository.root / "serving" / channel
    return {path.name: os.readlink(path) for path in place.iterdir()}


def promote(repository: Repository, *numbers: int) -> None:
    for number in numbers:
        repository.promote(f"v{number}")


def facts(result: MoveResult) -> tuple[str, str | None, str, bool]:
    return result.channel, str(result.origin) if result.origin else None, str(result.to), result.changed


# Promote


def test_a_promote_moves_link_view_and_history(filled: Repository) -> None:
    assert facts(filled.promote("v2", reason="better")) == ("latest", None, "v2", True)
    assert (latest(filled), view(filled)) == ("v2", {"2": "../../v2"})
    assert (filled.root / "serving" / "latest" / "2" / "saved_model.pb").is_file()
    assert facts(filled.promote("3")) == ("latest", "v2", "v3", True)
    assert (latest(filled), view(filled)) == ("v3", {"3": "../../v3"})
    newer, older = filled.history(limit=2)
    assert (newer.action, newer.channel, newer.origin, newer.to) == ("promote", "latest", Version(2), Version(3))
    assert (older.origin, older.to, older.reason) == (None, Version(2), "better")
    assert older.actor.uid == os.geteuid()


def test_promoting_the_present_target_changes_and_records_nothing(filled: Repository) -> None:
    filled.promote("v2")
    before = filled.history()
    assert facts(filled.promote("v2")) == ("latest", "v2", "v2", False)
    assert filled.history() == before
    with pytest.raises(RefusedError):
        filled.rollback()


def test_channels_are_apart(filled: Repository) -> None:
    filled.promote("v1")
    filled.promote("v2", channel="canary")
    filled.promote("v3", channel="canary")
    assert filled.status().channels == {"canary": Version(3), "latest": Version(1)}
    assert facts(filled.rollback(channel="canary")) == ("canary", "v3", "v2", True)
    assert (latest(filled), view(filled, "canary")) == ("v1", {"2": "../../v2"})
    with pytest.raises(RefusedError):
        filled.rollback()


@pytest.mark.parametrize("ref", ["v1", "1", "canary", "newest~0", "sha256:"])
def test_refs_of_every_form_are_taken(filled: Repository, ref: str) -> None:
    filled.promote("v1", channel="canary")
    if ref == "newest~0":
        with pytest.raises(RequestError):
            filled.promote(ref)
        assert facts(filled.promote("newest"))[2] == "v3"
        return
    if ref == "sha256:":
        ref = filled.show("v1").digest[: len("sha256:") + 8]
    assert facts(filled.promote(ref))[2] == "v1"


@pytest.mark.parametrize(
    "ref", ["../x", "", "v0", "v007", "LATEST", "1" + "0" * 30, "v1/..", "latest~-1", "sha256:abc", " v1", "v1\n", "٣"]
)
def test_what_is_no_ref_is_refused_and_changes_nothing(filled: Repository, look: Look, ref: str) -> None:
    before = look(filled.root)
    with pytest.raises(RequestError):
        filled.promote(ref)
    assert look(filled.root) == before


@pytest.mark.parametrize("name", ["serving", "newest", "v2", "v007", "Latest", "", "a-b", "a/b", "x" * 65, ".x"])
def test_what_is_no_channel_is_refused_and_changes_nothing(filled: Repository, look: Look, name: str) -> None:
    before = look(filled.root)
    with pytest.raises(RequestError):
        filled.promote("v1", channel=name)
    with pytest.raises(RequestError):
        filled.rollback(channel=name)
    assert look(filled.root) == before


def test_a_version_that_is_not_there_is_not_found(filled: Repository, ageless: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError) as caught:
        filled.promote("v9")
    assert caught.value.kind == "version-missing"
    filled.promote("v1")
    filled.cleanup(**ageless)
    with pytest.raises(NotFoundError) as caught:
        filled.promote("v2")
    assert caught.value.kind == "version-removed"
    assert latest(filled) == "v1"


@pytest.mark.parametrize("harm", ["missing", "short", "manifest"])
def test_a_damaged_version_is_not_promoted(filled: Repository, edit: Callable[[Path, bytes], None], harm: str) -> None:
    filled.promote("v1")
    note = filled.root / "v2" / "assets.extra" / "note.txt"
    if harm == "missing":
        note.unlink()
    elif harm == "short":
        edit(note, b"t")
    else:
        edit(filled.root / "v2" / "manifest.json", b"{}")
    with pytest.raises(IntegrityError):
        filled.promote("v2")
    assert latest(filled) == "v1"


# Gate


@pytest.fixture
def contracts(repository: Repository, samples: Path) -> Repository:
    """v1 live, v2 with a renamed input."""
    repository.push(samples / "classifier_v1", load=False, promote=True)
    repository.push(samples / "renamed_input", load=False)
    return repository


def test_a_breaking_promote_is_refused_naming_what_breaks(contracts: Repository) -> None:
    with pytest.raises(RefusedError) as caught:
        contracts.promote("v2")
    assert caught.value.kind == "breaking"
    assert "--allow-breaking" in (caught.value.hint or "")
    partial = caught.value.partial
    assert (partial.changed, str(partial.to)) == (False, "v2")
    assert {"input-removed", "input-added"} <= {change.kind for change in partial.breaking}
    assert latest(contracts) == "v1"


def test_allow_breaking_lets_it_through_and_the_history_says_what_broke(contracts: Repository) -> None:
    result = contracts.promote("v2", allow_breaking=True)
    assert result.changed
    assert result.breaking
    assert contracts.history(limit=1)[0].breaking == tuple(change.text for change in result.breaking)


def test_the_gate_can_warn_or_be_off(contracts: Repository, settings: Callable[[str], None]) -> None:
    settings('[gates]\nbreaking = "warn"\nrequire_load = "off"')
    result = contracts.promote("v2", dry_run=True)
    assert result.breaking
    assert result.warnings == tuple(change.text for change in result.breaking)
    settings('[gates]\nbreaking = "off"\nrequire_load = "off"')
    result = contracts.promote("v2")
    assert (result.changed, result.breaking, result.warnings) == (True, None, ())


def test_a_version_that_was_never_loaded_is_promoted_with_a_warning_or_refused_as_the_settings_say(
    filled: Repository, settings: Callable[[str], None], model: Callable[[str], Path]
) -> None:
    assert filled.promote("v1").warnings == (
        "TensorFlow has not loaded v1: whether it can be served, nobody has tried",
    )
    settings('[gates]\nrequire_load = "refuse"\nbreaking = "off"')
    for dry_run in (True, False):
        with pytest.raises(RefusedError) as caught:
            filled.promote("v2", allow_breaking=True, dry_run=dry_run)
        assert (caught.value.kind, caught.value.got) == ("not-loaded", "load: skipped")
    assert latest(filled) == "v1"
    with pytest.raises(RefusedError) as caught:
        filled.push(model("four"), load=False, promote=True)
    assert (caught.value.kind, str(caught.value.partial.version), caught.value.partial.promoted) == (
        "not-loaded",
        "v4",
        None,
    )
    settings('[gates]\nrequire_load = "off"')
    assert filled.promote("v2").warnings == ()


def test_a_rollback_leads_to_a_version_that_was_never_loaded_whatever_the_gate(
    filled: Repository, settings: Callable[[str], None]
) -> None:
    promote(filled, 1, 2)
    settings('[gates]\nrequire_load = "refuse"')
    assert facts(filled.rollback()) == ("latest", "v2", "v1", True)


def test_a_compatible_change_passes(repository: Repository, samples: Path) -> None:
    repository.push(samples / "classifier_v1", load=False, promote=True)
    result = repository.push(samples / "classifier_v2", load=False, promote=True)
    assert result.promoted is not None
    assert result.promoted.breaking == ()


def test_a_rollback_is_not_gated(contracts: Repository) -> None:
    contracts.promote("v2", allow_breaking=True)
    assert facts(contracts.rollback()) == ("latest", "v2", "v1", True)


# Rollback follows history


@pytest.mark.parametrize(
    ("promotes", "leads"),
    [
        ((1, 2, 3), [2, 1]),
        ((1, 3, 2), [3, 1]),
        ((1, 2, 1, 2), [1, 2, 1]),
        ((1, 2, 2, 3), [2, 1]),
        ((5, 1), [5]),
    ],
)
def test_rollback_undoes_promotes_in_their_order(five: Repository, promotes: tuple[int, ...], leads: list[int]) -> None:
    promote(five, *promotes)
    for number in leads:
        assert five.status().rollback_to["latest"] == Version(number)
        assert str(five.rollback().to) == f"v{number}"
        assert (latest(five), view(five)) == (f"v{number}", {str(number): f"../../v{number}"})
    assert five.status().rollback_to["latest"] is None
    before = five.history()
    with pytest.raises(RefusedError) as caught:
        five.rollback()
    assert caught.value.kind == "nothing-to-roll-back-to"
    assert five.history() == before
    assert latest(five) == f"v{leads[-1]}"


def test_a_promote_behind_a_rollback_continues_from_there(five: Repository) -> None:
    promote(five, 1, 2, 3)
    five.rollback()
    promote(five, 4)
    assert [str(five.rollback().to) for _ in range(2)] == ["v2", "v1"]


def test_steps_are_all_or_nothing(five: Repository) -> None:
    promote(five, 1, 2, 3)
    with pytest.raises(RefusedError):
        five.rollback(steps=3)
    assert latest(five) == "v3"
    assert facts(five.rollback(steps=2)) == ("latest", "v3", "v1", True)
    with pytest.raises(RefusedError):
        five.rollback()


def test_rollback_to_pops_to_the_nearest_place(five: Repository) -> None:
    promote(five, 1, 2, 1, 3, 4)
    assert facts(five.rollback(to="v1")) == ("latest", "v4", "v1", True)
    assert [str(five.rollback().to) for _ in range(2)] == ["v2", "v1"]


def test_rollback_to_where_it_is_changes_nothing(five: Repository) -> None:
    promote(five, 1, 2)
    assert five.rollback(to="v2").changed is False
    assert five.rollback(to="latest").changed is False
    assert latest(five) == "v2"


def test_rollback_to_what_is_not_on_the_stack_says_use_promote(five: Repository) -> None:
    promote(five, 1, 2, 3)
    five.rollback()
    for ref in ("v3", "v4"):
        with pytest.raises(RefusedError) as caught:
            five.rollback(to=ref)
        assert caught.value.kind == "not-on-the-stack"
        assert "promote" in (caught.value.hint or "")
    with pytest.raises(NotFoundError):
        five.rollback(to="v9")
    assert latest(five) == "v2"


def test_a_back_reference_is_what_so_many_rollbacks_would_give(five: Repository) -> None:
    promote(five, 1, 3, 2)
    assert [str(five.path(f"latest~{back}").version) for back in range(3)] == ["v2", "v3", "v1"]
    with pytest.raises(NotFoundError):
        five.path("latest~3")
    assert str(five.rollback(to="latest~2").to) == "v1"


def test_a_rollback_of_what_was_never_promoted(five: Repository) -> None:
    with pytest.raises(NotFoundError):
        five.rollback()
    promote(five, 1)
    with pytest.raises(RefusedError):
        five.rollback()
    with pytest.raises(RequestError):
        five.rollback(steps=0)
    with pytest.raises(RequestError):
        five.rollback(steps=1, to="v1")


def test_deleted_targets_leave_the_stack_and_neighbours_merge(five: Repository, ageless: dict[str, Any]) -> None:
    promote(five, 1, 4, 5, 4, 3, 2)
    five.pin("v1")
    result = five.cleanup(**ageless)  # one rollback target stays: v3
    assert list(map(str, result.removed)) == ["v4", "v5"]
    assert [str(five.rollback().to) for _ in range(2)] == ["v3", "v1"]


def test_equal_neighbours_merge_when_what_stood_between_is_deleted(five: Repository, ageless: dict[str, Any]) -> None:
    promote(five, 1, 2, 5, 2, 3)
    five.pin("v1")
    assert list(map(str, five.cleanup(**ageless).removed)) == ["v4", "v5"]
    assert [str(five.rollback().to) for _ in range(2)] == ["v2", "v1"]


def test_a_target_that_is_gone_without_a_record_is_5_and_names_the_next_candidate(five: Repository) -> None:
    import shutil

    promote(five, 1, 2, 3)
    shutil.rmtree(five.root / "v2")
    assert five.status().rollback_to["latest"] is None
    with pytest.raises(IntegrityError) as caught:
        five.rollback()
    assert caught.value.kind == "version-lost"
    assert "--to v1" in (caught.value.hint or "")
    assert latest(five) == "v3"
    assert facts(five.rollback(to="v1"))[2] == "v1"


def test_a_rollback_to_a_damaged_target_is_refused(five: Repository, edit: Callable[[Path, bytes], None]) -> None:
    promote(five, 1, 2)
    edit(five.root / "v1" / "saved_model.pb", b"short")
    with pytest.raises(IntegrityError, match=r"saved_model\.pb"):
        five.rollback()
    assert latest(five) == "v2"


def test_a_rollback_never_makes_a_link_to_what_is_not_there(five: Repository) -> None:
    """The link is gone and so is the version that it named: `--to` that version must not bring a dangling link."""
    import shutil

    promote(five, 1, 2)
    (five.root / "latest").unlink()
    shutil.rmtree(five.root / "v2")
    with pytest.raises(ModelRepoError):
        five.rollback(to="v2")
    assert not (five.root / "latest").is_symlink()


def test_a_rollback_to_where_a_lost_version_was_says_that_it_is_lost(five: Repository) -> None:
    import shutil

    promote(five, 1, 2)
    shutil.rmtree(five.root / "v2")
    with pytest.raises(IntegrityError):
        five.rollback(to="v2")


def test_a_link_brought_back_by_rollback_is_recorded_as_one(five: Repository) -> None:
    promote(five, 1, 2)
    (five.root / "latest").unlink()
    assert five.rollback(to="v2").changed
    assert (latest(five), five.history(limit=1)[0].action) == ("v2", "rollback")


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_moves_agrees_with_an_undo_stack(five: Repository, seed: int) -> None:
    """A walk through promotes, rollbacks and hand-made moves, beside the plainest model of promise 5."""
    chance = random.Random(seed)  # noqa: S311 - a walk, no secret
    stack: list[int] = []  # what is recorded
    link = 0

    def effective() -> list[int]:
        return stack if not link or stack[-1:] == [link] else [*stack, link]

    for _ in range(60):
        number = chance.randint(1, 5)
        match chance.choice(["promote", "rollback", "to", "steps", "hand"]):
            case "promote":
                five.promote(f"v{number}")
                stack, link = effective(), number
                stack = effective()
            case "hand":
                by_hand(five, f"v{number}")
                link = number
            case "to" if number in effective():
                five.rollback(to=f"v{number}")
                stack = effective()
                while stack[-1] != number:
                    stack.pop()
                link = number
            case "rollback" | "steps" as how if link:
                steps = 1 if how == "rollback" else chance.randint(1, 3)
                if len(effective()) > steps:
                    five.rollback(steps=steps)
                    stack = effective()[:-steps]
                    link = stack[-1]
                else:
                    with pytest.raises(RefusedError):
                        five.rollback(steps=steps)
                    stack = effective()
            case _:
                continue
        assert latest(five) == f"v{link}"
        assert [str(five.path(f"latest~{back}").version) for back in range(len(effective()))] == [
            f"v{target}" for target in reversed(effective())
        ]
    five.pin("v1")
    assert five.verify().ok
    assert view(five) == {str(link): f"../../v{link}"}


# Links moved by hand


def by_hand(repository: Repository, text: str, channel: str = "latest") -> os.stat_result:
    """What `ln -sfn` does."""
    (repository.root / "ln.tmp").symlink_to(text)
    (repository.root / "ln.tmp").rename(repository.root / channel)
    return (repository.root / channel).lstat()


def test_readers_follow_the_link_and_show_the_move_as_not_yet_recorded(filled: Repository, look: Look) -> None:
    promote(filled, 1, 2)
    by_hand(filled, "v3")
    before = look(filled.root)
    status = filled.status()
    assert status.channels == {"latest": Version(3)}
    assert status.rollback_to == {"latest": Version(2)}
    assert {problem.kind for problem in status.problems} == {"unrecorded", "view"}
    assert str(filled.path("latest").version) == "v3"
    assert str(filled.path("latest~1").version) == "v2"
    assert filled.history(limit=1)[0].action == "promote"
    assert filled.verify(quick=True).ok is False
    assert look(filled.root) == before


def test_the_next_writer_records_it_as_external_by_the_links_owner_at_its_ctime(filled: Repository) -> None:
    promote(filled, 1, 2)
    link = by_hand(filled, "v3")
    if os.geteuid() == 0:
        os.lchown(filled.root / "latest", 65534, 65534)
        link = (filled.root / "latest").lstat()
    time.sleep(0.05)
    filled.pin("v1")
    entry = filled.history(limit=2)[1]
    assert (entry.action, entry.channel, entry.origin, entry.to) == ("external", "latest", Version(2), Version(3))
    assert entry.actor.uid == link.st_uid
    assert abs(entry.time - datetime.fromtimestamp(link.st_ctime, UTC)).total_seconds() < 0.001
    assert entry.recorded_by is not None
    assert entry.recorded_by.uid == os.geteuid()
    assert view(filled) == {"3": "../../v3"}
    assert filled.verify().findings == ()


def test_a_move_by_hand_counts_as_a_push_on_the_stack(filled: Repository) -> None:
    promote(filled, 1, 2)
    by_hand(filled, "v3")
    assert [str(filled.rollback().to) for _ in range(2)] == ["v2", "v1"]


def test_a_channel_made_by_hand_becomes_one(filled: Repository) -> None:
    by_hand(filled, "v2", "canary")
    assert filled.status().channels == {"canary": Version(2)}
    filled.pin("v1")
    assert (filled.history(limit=2)[1].action, filled.history(limit=2)[1].origin) == ("external", None)
    assert view(filled, "canary") == {"2": "../../v2"}


def test_recovery_never_moves_a_link(filled: Repository) -> None:
    promote(filled, 1, 2)
    for text in ("v3", "v77", f"{filled.root}/v1", "../elsewhere", "v1/"):
        inode = by_hand(filled, text).st_ino
        filled.pin("v1")
        filled.unpin("v1")
        link = filled.root / "latest"
        assert (os.readlink(link), link.lstat().st_ino) == (text, inode)


def test_an_absolute_link_is_followed_and_recorded(filled: Repository) -> None:
    promote(filled, 1)
    by_hand(filled, f"{filled.root}/v3")
    assert str(filled.path("latest").version) == "v3"
    filled.pin("v1")
    assert str(filled.history(limit=2)[1].to) == "v3"
    assert view(filled) == {"3": "../../v3"}
    assert [problem.kind for problem in filled.status().problems] == ["link-form"]
    assert facts(filled.rollback()) == ("latest", "v3", "v1", True)
    assert latest(filled) == "v1"


def test_an_absolute_link_through_another_name_of_the_root_is_followed(filled: Repository, tmp_path: Path) -> None:
    """`/models` is a link to the disk that holds it, and `ln -sfn /models/v3 /models/latest` is what people type."""
    promote(filled, 1)
    (tmp_path / "models").symlink_to(filled.root)
    by_hand(filled, f"{tmp_path}/models/v3")
    assert (filled.root / "latest" / "saved_model.pb").is_file()
    assert str(Repository(tmp_path / "models").path("latest").version) == "v3"


@pytest.mark.parametrize("text", ["v77", "/nowhere", "v1/variables", "../other/v1", "latest", "v01"])
def test_a_link_that_names_no_version_is_5_for_readers_and_mended_by_promote_only(
    filled: Repository, text: str
) -> None:
    promote(filled, 1, 2)
    by_hand(filled, text)
    with pytest.raises(IntegrityError) as caught:
        filled.path("latest")
    assert caught.value.kind == "channel-dangling"
    assert text in caught.value.message
    assert filled.status().channels == {"latest": None}
    assert "channel-dangling" in {problem.kind for problem in filled.status().problems}
    assert view(filled) == {"2": "../../v2"}  # what was served goes on being served
    assert filled.promote("v2").changed
    assert latest(filled) == "v2"
    assert filled.verify().ok


def test_a_removed_link_is_a_problem_and_comes_back_by_promote(filled: Repository) -> None:
    promote(filled, 1, 2)
    (filled.root / "latest").unlink()
    with pytest.raises(IntegrityError):
        filled.path("latest")
    assert "channel-missing" in {problem.kind for problem in filled.status().problems}
    filled.promote("v2")
    assert filled.verify().ok


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_is_no_link_is_never_replaced(filled: Repository, kind: str) -> None:
    place = filled.root / "latest"
    if kind == "directory":
        place.mkdir()
        (place / "mine").touch()
    else:
        place.write_text("mine")
    before = place.lstat()
    for dry_run in (False, True):
        with pytest.raises(RefusedError) as caught:
            filled.promote("v1", dry_run=dry_run)
        assert caught.value.kind == "channel-taken"
        assert caught.value.got == f"a {kind}"
    after = place.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (filled.root / "serving" / "latest").exists()


# Plans and readers change nothing


def test_plans_and_reading_change_no_byte(filled: Repository, look: Look, tmp_path: Path) -> None:
    promote(filled, 1, 2)
    by_hand(filled, "v3")
    (filled.root / ".modelrepo" / "staging" / "push-dead").mkdir()
    (filled.root / "mine").touch()
    before = look(tmp_path)
    assert filled.promote("v1", dry_run=True).changed
    assert facts(filled.rollback(dry_run=True)) == ("latest", "v3", "v2", True)
    assert filled.cleanup(dry_run=True, keep_last=0).dry_run
    filled.list()
    filled.show("v1")
    filled.inspect("v1")
    filled.history()
    filled.status()
    filled.path("latest")
    filled.verify(quick=True)
    filled.serving_config()
    with pytest.raises(ModelRepoError):
        filled.promote("v9", dry_run=True)
    with pytest.raises(ModelRepoError):
        filled.rollback(steps=9, dry_run=True)
    with pytest.raises(ModelRepoError):
        filled.show("v9")
    with pytest.raises(ModelRepoError):
        filled.promote("bad ref")
    assert look(tmp_path) == before


def test_a_plan_says_what_the_deed_does(contracts: Repository) -> None:
    with pytest.raises(RefusedError):
        contracts.promote("v2", dry_run=True)
    plan = contracts.promote("v2", dry_run=True, allow_breaking=True)
    assert contracts.promote("v2", allow_breaking=True) == plan
    plan = contracts.rollback(dry_run=True)
    assert contracts.rollback() == plan


# Commit and after


def test_a_root_that_does_not_sync_is_said_and_completed_by_the_next_writer(
    filled: Repository, sync_fails: Callable[[Path, int], None]
) -> None:
    promote(filled, 1)
    sync_fails(filled.root, 2)
    with pytest.raises(UnconfirmedError) as caught:
        filled.promote("v2", reason="why")
    assert (caught.value.durable, caught.value.view, caught.value.recorded) == (False, True, False)
    assert facts(caught.value.partial) == ("latest", "v1", "v2", True)
    assert (latest(filled), view(filled)) == ("v2", {"2": "../../v2"})
    assert filled.status().channels == {"latest": Version(2)}
    assert filled.status().rollback_to == {"latest": Version(1)}
    assert [problem.kind for problem in filled.verify().findings] == ["unfinished"]
    filled.pin("v1")
    entry = filled.history(limit=2)[1]
    assert (entry.action, entry.origin, entry.to, entry.reason) == ("promote", Version(1), Version(2), "why")
    assert entry.recorded_by is not None
    assert filled.verify().findings == ()


def test_an_outcome_that_is_not_written_is_said_and_completed_by_the_next_writer(
    filled: Repository, append_fails: Callable[[int], None]
) -> None:
    promote(filled, 1)
    append_fails(2)
    with pytest.raises(UnconfirmedError) as caught:
        filled.promote("v2")
    assert (caught.value.durable, caught.value.view, caught.value.recorded) == (True, True, False)
    assert facts(filled.rollback()) == ("latest", "v2", "v1", True)
    assert [entry.action for entry in filled.history(limit=3)] == ["rollback", "promote", "promote"]
    assert filled.verify().findings == ()


def test_a_view_that_does_not_follow_is_said_and_mended_by_the_next_writer(filled: Repository) -> None:
    promote(filled, 1)
    (filled.root / "serving" / "canary").write_text("in the way")
    with pytest.raises(UnconfirmedError) as caught:
        filled.promote("v2", channel="canary")
    assert (caught.value.durable, caught.value.view, caught.value.recorded) == (True, False, True)
    assert filled.history(limit=1)[0].channel == "canary"
    assert [problem.path for problem in filled.status().problems if not problem.note] == ["serving/canary"]
    (filled.root / "serving" / "canary").unlink()
    filled.pin("v1")
    assert view(filled, "canary") == {"2": "../../v2"}
    assert filled.verify().ok


def test_a_view_that_cannot_be_made_leaves_nothing_in_staging(filled: Repository, layout: Layout) -> None:
    (filled.root / "serving" / "canary").write_text("in the way")
    with pytest.raises(UnconfirmedError):
        filled.promote("v2", channel="canary")
    for _ in range(3):
        filled.pin("v1")
    assert os.listdir(layout.staging) == []


def test_an_intent_that_is_not_confirmed_moves_nothing(filled: Repository, append_fails: Callable[[int], None]) -> None:
    promote(filled, 1)
    append_fails(1)
    with pytest.raises(StorageError):
        filled.promote("v2")
    assert (latest(filled), view(filled)) == ("v1", {"1": "../../v1"})
    assert filled.status().channels == {"latest": Version(1)}
    assert filled.status().rollback_to == {"latest": None}
    filled.promote("v3")
    assert [str(entry.to) for entry in filled.history(channel="latest")] == ["v3", "v1"]
    assert filled.verify().findings == ()


def test_a_rename_that_reports_an_error_but_happened_counts_as_happened(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(filled, 1)
    real = durable.move_link

    def moved(*arguments: Any) -> None:
        real(*arguments)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "move_link", moved)
        assert filled.promote("v2").changed
    assert filled.history(limit=1)[0].action == "promote"
    assert filled.verify().findings == ()


def test_a_rename_that_fails_leaves_the_old_target_and_says_so(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(filled, 1)

    def refuse(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "move_link", refuse)
        with pytest.raises(StorageError):
            filled.promote("v2")
    assert latest(filled) == "v1"
    assert len(filled.history(channel="latest")) == 1
    assert filled.verify().findings == ()


def test_on_a_full_disk_the_ballast_lets_a_rollback_through(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    promote(filled, 1, 2)
    real = os.symlink

    given_up = 0

    def full(*arguments: Any, **options: Any) -> None:
        nonlocal given_up
        given_up = sum(path.stat().st_size == 0 for path in layout.ballast.iterdir())
        if given_up < 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", full)
        assert str(filled.rollback().to) == "v1"
    assert given_up == 2
    held = [path.stat().st_size for path in layout.ballast.iterdir()]
    assert held == [65536] * 16, "what it did not need is taken back before it ends"


def test_the_view_is_never_empty_and_never_dangling_while_it_follows(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(filled, 1)
    seen: set[tuple[str, ...]] = set()

    def watch(name: str) -> None:
        real = getattr(durable, name)

        def step(*arguments: Any) -> Any:
            done = real(*arguments)
            names = view(filled)
            assert names
            assert all((filled.root / "serving" / "latest" / number / "saved_model.pb").is_file() for number in names)
            seen.add(tuple(sorted(names)))
            return done

        monkeypatch.setattr(durable, name, step)

    for name in ("add_link", "remove_link", "move_link", "sync_directory", "sync"):
        watch(name)
    filled.promote("v2")
    assert seen == {("1",), ("1", "2"), ("2",)}


def test_the_order_is_intent_link_root_view_outcome(filled: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrepo.fs.journal import Journal

    promote(filled, 1)
    steps: list[str] = []
    append, move, sync, add, remove = (
        Journal.append,
        durable.move_link,
        durable.sync_directory,
        durable.add_link,
        durable.remove_link,
    )

    def note(word: Callable[..., str], real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            done = real(*arguments)
            steps.append(word(*arguments))
            return done

        return step

    monkeypatch.setattr(Journal, "append", note(lambda _, record: record.phase, append))
    monkeypatch.setattr(durable, "move_link", note(lambda *_: "link", move))
    monkeypatch.setattr(durable, "add_link", note(lambda *_: "add", add))
    monkeypatch.setattr(durable, "remove_link", note(lambda *_: "remove", remove))
    monkeypatch.setattr(
        durable, "sync_directory", note(lambda path: "root" if path == filled.root else f"sync {path.name}", sync)
    )
    filled.promote("v2")
    # What an `init`, and the view of the last move, may have left not synced.
    recovery = ["root", "sync .modelrepo", "sync latest", "sync serving"]
    move_steps = ["intent", "link", "root", "add", "sync latest", "remove", "sync latest", "done"]
    assert steps == [*recovery, *move_steps]
