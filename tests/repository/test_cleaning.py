"""`cleanup` deletes what nothing keeps, and never anything else."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import BusyError, IntegrityError, ModelRepoError, RequestError, StorageError, UnconfirmedError
from modelrepo.fs import deletion, durable
from modelrepo.repository.results import CleanupResult
from modelrepo.savedmodel.runner import Inspector

Rules = dict[str, Any]
Other = Callable[..., subprocess.Popen[str]]


def present(repository: Repository) -> list[str]:
    return sorted(name for name in os.listdir(repository.root) if name.startswith("v"))


def removed(result: CleanupResult) -> list[str]:
    return [str(version) for version in result.removed]


def reasons(result: CleanupResult) -> dict[str, tuple[str, ...]]:
    return {str(kept.version): kept.reasons for kept in result.kept}


def test_what_nothing_keeps_goes_oldest_first_and_leaves_nothing(
    filled: Repository, layout: Layout, ageless: Rules
) -> None:
    sizes = sum(row.size for row in filled.list())
    manifests = {name: (filled.root / name / "manifest.json").read_bytes() for name in present(filled)}
    result = filled.cleanup(**ageless)
    assert (removed(result), result.kept, result.dry_run) == (["v1", "v2", "v3"], (), False)
    assert result.freed == sizes
    assert sorted(os.listdir(filled.root)) == [".modelrepo", "serving"]
    assert os.listdir(layout.trash) == os.listdir(layout.staging) == []
    assert {path.stem: path.read_bytes() for path in layout.removed.iterdir()} == manifests
    assert [(entry.action, str(entry.version)) for entry in filled.history(limit=3)] == [
        ("cleanup", "v3"),
        ("cleanup", "v2"),
        ("cleanup", "v1"),
    ]
    assert filled.verify().findings == ()


def test_a_removed_version_is_still_shown_and_not_found_otherwise(filled: Repository, ageless: Rules) -> None:
    digest = filled.show("v2").digest
    filled.cleanup(**ageless)
    shown = filled.show("v2")
    assert (shown.digest, shown.path, shown.pinned, shown.channels) == (digest, None, False, ())
    assert shown.removed_at is not None
    with pytest.raises(ModelRepoError) as caught:
        filled.path("v2")
    assert caught.value.kind == "version-removed"


def test_by_default_everything_young_stays(filled: Repository) -> None:
    result = filled.cleanup()
    assert (result.removed, result.freed) == ((), 0)
    assert reasons(result) == dict.fromkeys(("v3", "v2", "v1"), ("keep-last", "min-age"))


def test_a_plan_names_what_would_go_and_the_deed_does_it(filled: Repository, ageless: Rules) -> None:
    filled.promote("v2")
    plan = filled.cleanup(dry_run=True, **ageless)
    assert (removed(plan), plan.dry_run, present(filled)) == (["v1", "v3"], True, ["v1", "v2", "v3"])
    deed = filled.cleanup(**ageless)
    assert (removed(deed), deed.freed, deed.kept) == (removed(plan), plan.freed, plan.kept)


# Each protection


def test_a_channels_target_stays(filled: Repository, ageless: Rules) -> None:
    filled.promote("v1", channel="canary")
    result = filled.cleanup(**ageless)
    assert removed(result) == ["v2", "v3"]
    assert reasons(result) == {"v1": ("channel:canary", "serving:canary")}


def test_a_channel_moved_by_hand_protects_where_it_leads_and_where_it_was(filled: Repository, ageless: Rules) -> None:
    filled.promote("v1")
    (filled.root / "latest").unlink()
    (filled.root / "latest").symlink_to("v2")
    result = filled.cleanup(**ageless)
    assert removed(result) == ["v3"]
    assert reasons(result) == {"v2": ("channel:latest", "serving:latest"), "v1": ("rollback:latest",)}


@pytest.mark.parametrize("text", ["v1", "./v1", "v1/", "{root}/v1", "{root}/v1/"])
def test_the_target_of_any_other_link_in_the_root_stays(filled: Repository, ageless: Rules, text: str) -> None:
    (filled.root / "Production.old").symlink_to(text.format(root=filled.root))
    result = filled.cleanup(**ageless)
    assert removed(result) == ["v2", "v3"]
    assert reasons(result) == {"v1": ("link:Production.old",)}


@pytest.mark.parametrize("text", ["{alias}/v1", "v1/variables", "../ranker/v1", "{root}/../ranker/v1"])
def test_the_target_of_a_link_stays_however_the_link_is_written(
    filled: Repository, ageless: Rules, tmp_path: Path, text: str
) -> None:
    """Promise 6: the target of any link in the root, also one through another name of it, or into the version."""
    (tmp_path / "models").symlink_to(filled.root)
    link = filled.root / "Production.old"
    link.symlink_to(text.format(root=filled.root, alias=tmp_path / "models"))
    assert link.exists()
    filled.cleanup(**ageless)
    assert link.exists()
    assert present(filled) == ["v1"]


def test_a_links_link_is_kept_by_what_it_leads_to(filled: Repository, ageless: Rules) -> None:
    filled.promote("v1")
    (filled.root / "Current").symlink_to("latest")
    assert removed(filled.cleanup(**ageless)) == ["v2", "v3"]
    assert (filled.root / "Current" / "saved_model.pb").is_file()


def test_a_link_out_of_the_root_is_not_followed(filled: Repository, ageless: Rules, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "v1").mkdir(parents=True)
    (outside / "v1" / "file").touch()
    (filled.root / "Elsewhere").symlink_to(outside / "v1")
    shutil.rmtree(filled.root / "v3")
    (filled.root / "v3").symlink_to(outside / "v1")
    filled.cleanup(**ageless)
    assert (outside / "v1" / "file").exists()
    assert os.readlink(filled.root / "v3") == str(outside / "v1")


def test_the_target_of_a_view_stays(filled: Repository, layout: Layout, ageless: Rules) -> None:
    """A view of no channel is somebody's base path: what it serves stays."""
    place = layout.view("canary")
    place.mkdir()
    (place / "1").symlink_to("../../v1")
    result = filled.cleanup(**ageless)
    assert reasons(result) == {"v1": ("serving:canary",)}
    assert removed(result) == ["v2", "v3"]


@pytest.mark.parametrize(("count", "kept"), [(1, ["v4"]), (2, ["v2", "v4"]), (3, ["v1", "v2", "v4"])])
def test_the_nearest_distinct_rollback_targets_stay(
    filled: Repository, model: Callable[[str], Path], ageless: Rules, count: int, kept: list[str]
) -> None:
    filled.push(model("four"), load=False)
    for number in (1, 2, 4, 2, 4, 3):
        filled.promote(f"v{number}")
    result = filled.cleanup(**{**ageless, "keep_rollback": count})
    assert sorted(name for name, why in reasons(result).items() if "rollback:latest" in why) == kept
    assert present(filled) == sorted([*kept, "v3"])


def test_a_rollback_target_that_is_the_present_one_too_is_not_counted(filled: Repository, ageless: Rules) -> None:
    for number in (1, 2, 1):
        filled.promote(f"v{number}")
    result = filled.cleanup(**ageless)
    assert reasons(result) == {"v2": ("rollback:latest",), "v1": ("channel:latest", "serving:latest")}


def test_pinned_stays_until_unpinned(filled: Repository, ageless: Rules) -> None:
    filled.pin("v2")
    assert reasons(filled.cleanup(**ageless)) == {"v2": ("pinned",)}
    filled.unpin("v2")
    assert removed(filled.cleanup(**ageless)) == ["v2"]


def test_leased_by_a_shell_stays_until_it_ends(
    filled: Repository, layout: Layout, other: Other, ageless: Rules
) -> None:
    """`(cd -P v1 && exec flock -s . CMD)`, as DESIGN says it; `in-use` too, by the working directory."""
    holder = other(f"cd -P {filled.root}/v1 && exec flock -s . sh -c 'echo ready; read x'")
    result = filled.cleanup(**ageless)
    assert "leased" in reasons(result)["v1"]
    assert removed(result) == ["v2", "v3"]
    assert filled.verify(["v1"]).ok
    holder.communicate("\n")
    assert removed(filled.cleanup(**ageless)) == ["v1"]
    assert os.listdir(layout.trash) == []


def test_a_lease_alone_protects(filled: Repository, flock: Other, ageless: Rules) -> None:
    """The holder stands elsewhere: where nobody may look into `/proc`, only the lock speaks for it."""
    flock(filled.root / "v1")
    assert "leased" in reasons(filled.cleanup(**ageless))["v1"]


USES = {
    "open file": "exec 3< {v1}/saved_model.pb; echo ready; read x",
    "working directory": "cd {v1}/variables && echo ready; read x",
    "open directory": "exec 3< {v1}; echo ready; read x",
    "mapped": (
        'exec "$PYTHON" -c \'import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDONLY);'
        ' m = mmap.mmap(f, 0, prot=mmap.PROT_READ); os.close(f); print("ready", flush=True);'
        " sys.stdin.read()' {v1}/variables/variables.index"
    ),
}


@pytest.mark.parametrize("use", USES)
def test_in_use_by_another_process_stays_until_it_ends(
    filled: Repository, other: Other, ageless: Rules, use: str
) -> None:
    holder = other(USES[use].format(v1=filled.root / "v1"))
    result = filled.cleanup(**ageless)
    assert reasons(result) == {"v1": ("in-use",)}
    holder.communicate("\n")
    assert removed(filled.cleanup(**ageless)) == ["v1"]


# Who holds it


def by(result: CleanupResult) -> dict[str, tuple[str, ...]]:
    return {str(kept.version): kept.by for kept in result.kept}


@pytest.mark.parametrize("dry_run", [True, False])
def test_who_leases_or_uses_a_version_is_named(
    filled: Repository,
    flock: Other,
    other: Other,
    ageless: Rules,
    dry_run: bool,  # noqa: FBT001
) -> None:
    leaser = flock(filled.root / "v1")
    user = other(f"exec 3< {filled.root}/v2/saved_model.pb; echo ready; exec sleep 60")
    filled.promote("v3")
    result = filled.cleanup(dry_run=dry_run, **ageless)
    python = os.path.basename(sys.executable)
    assert by(result) == {
        "v3": (),
        "v2": (f"process {user.pid} (sleep 60)",),
        "v1": (f"process {leaser.pid} ({python} hold.py {filled.root}/v1 shared)",),
    }


def test_who_leases_and_uses_a_version_is_named_once(filled: Repository, other: Other, ageless: Rules) -> None:
    holder = other(f"exec 9< {filled.root}/v1; flock -s 9; echo ready; exec sleep 60")
    result = filled.cleanup(**ageless)
    assert reasons(result) == {"v1": ("in-use", "leased")}
    assert by(result) == {"v1": (f"process {holder.pid} (sleep 60)",)}


@pytest.mark.parametrize("moment", [1, 2])
def test_who_comes_between_plan_and_deed_is_named(
    filled: Repository, ageless: Rules, flock: Other, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Behind the first plan, and behind the decision under the lock."""
    from modelrepo.repository import planning

    real = planning.plan
    holders: list[int | None] = []

    def plan(*arguments: Any, **options: Any) -> Any:
        proposal = real(*arguments, **options)
        holders.append(flock(filled.root / "v1").pid if len(holders) == moment - 1 else None)
        return proposal

    monkeypatch.setattr(planning, "plan", plan)
    result = filled.cleanup(**ageless)
    assert "leased" in reasons(result)["v1"]
    assert [who.split()[1] for who in by(result)["v1"]] == [str(holders[moment - 1])]
    assert removed(result) == ["v2", "v3"]


@pytest.mark.parametrize("lease", [True, False])
def test_a_holder_in_another_pid_namespace_is_said_to_be_unseen(
    filled: Repository,
    flock: Other,
    tmp_path: Path,
    lease: bool,  # noqa: FBT001
) -> None:
    """The program as in a container: it sees the lock, not who holds it."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if os.geteuid() != 0 or subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no PID namespace can be made here")
    if lease:
        flock(filled.root / "v1")
    words = ["--repo", str(filled.root), "--json", "cleanup", "--dry-run", "--keep-last", "2", "--min-age", "0s"]
    done = subprocess.run(
        [*apart, sys.executable, "-m", "modelrepo", *words], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    kept = [each for each in json.loads(done.stdout)["kept"] if each["version"] == "v1"]
    unseen = {"version": "v1", "reasons": ["leased"], "by": ["somebody who cannot be seen from here"]}
    assert kept == ([unseen] if lease else [])


@pytest.mark.parametrize("way", ["open file", "mapped"])
def test_of_versions_that_share_files_the_unused_ones_go(
    filled: Repository, other: Other, ageless: Rules, way: str
) -> None:
    """`cp -al`: a file with several names is used by the name that it was opened by."""
    for name in ("v2", "v3"):
        for path in sorted((filled.root / "v1" / "variables").iterdir()):
            (filled.root / name / "variables" / path.name).unlink()
            os.link(path, filled.root / name / "variables" / path.name)
    holder = other(USES[way].replace("saved_model.pb", "variables/variables.index").format(v1=filled.root / "v2"))
    result = filled.cleanup(**ageless)
    assert (removed(result), reasons(result)) == (["v1", "v3"], {"v2": ("in-use",)})
    holder.communicate("\n")
    assert removed(filled.cleanup(**ageless)) == ["v2"]


def test_younger_than_min_age_stays_and_a_repeated_push_counts(
    filled: Repository, ageless: Rules, tmp_path: Path
) -> None:
    time.sleep(1.1)
    filled.push(tmp_path / "exports" / "two", load=False)
    result = filled.cleanup(**{**ageless, "min_age": timedelta(seconds=1)})
    assert removed(result) == ["v1", "v3"]
    assert reasons(result) == {"v2": ("min-age",)}


def test_what_a_channel_left_lately_stays_for_the_grace(filled: Repository, ageless: Rules) -> None:
    for number in (1, 2, 3):
        filled.promote(f"v{number}")
    filled.promote("v2")
    result = filled.cleanup(**{**ageless, "grace": timedelta(hours=1)})
    assert removed(result) == []
    assert reasons(result)["v1"] == ("grace",)
    time.sleep(1.1)
    assert removed(filled.cleanup(**{**ageless, "grace": timedelta(seconds=1)})) == ["v1"]


def test_the_newest_stay(filled: Repository, ageless: Rules) -> None:
    result = filled.cleanup(**{**ageless, "keep_last": 2})
    assert removed(result) == ["v1"]
    assert reasons(result) == {"v3": ("keep-last",), "v2": ("keep-last",)}


def test_the_settings_count_where_nothing_is_said(filled: Repository, settings: Callable[[str], None]) -> None:
    settings('[retention]\nkeep_last = 1\nmin_age = "0s"\ngrace = "0s"')
    assert removed(filled.cleanup()) == ["v1", "v2"]


def test_all_reasons_are_said(filled: Repository) -> None:
    filled.promote("v1")
    filled.promote("v2")
    filled.pin("v1")
    (filled.root / "Old").symlink_to("v1")
    assert reasons(filled.cleanup())["v1"] == (
        "grace",
        "keep-last",
        "link:Old",
        "min-age",
        "pinned",
        "rollback:latest",
    )


def test_a_protection_that_comes_between_plan_and_deed_counts(
    filled: Repository, ageless: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelrepo.repository import planning

    real = planning.plan
    plans: list[int] = []

    def plan(*arguments: Any, **options: Any) -> Any:
        plans.append(1)
        proposal = real(*arguments, **options)
        if len(plans) == 1:
            (filled.root / "Old").symlink_to("v1")
        return proposal

    monkeypatch.setattr(planning, "plan", plan)
    result = filled.cleanup(**ageless)
    assert reasons(result) == {"v1": ("link:Old",)}
    assert removed(result) == ["v2", "v3"]


@pytest.mark.parametrize("rules", [{"keep_last": -1}, {"keep_rollback": 0}, {"keep_rollback": -1}])
def test_rules_that_are_none_are_refused(filled: Repository, rules: Rules) -> None:
    with pytest.raises(RequestError):
        filled.cleanup(**rules)
    assert present(filled) == ["v1", "v2", "v3"]


# Inconsistent: nothing goes


def break_config(layout: Layout) -> None:
    layout.config.write_text("format = 1\n[retention\n")


def unknown_key(layout: Layout) -> None:
    layout.config.write_text("format = 1\n[retention]\nkeep_lest = 3\n")


def no_rollback(layout: Layout) -> None:
    layout.config.write_text("format = 1\n[retention]\nkeep_rollback = 0\n")


def flip_journal(layout: Layout) -> None:
    data = bytearray(layout.journal.read_bytes())
    data[len(data) // 3] ^= 1
    layout.journal.write_bytes(data)


def drop_line(layout: Layout) -> None:
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    layout.journal.write_bytes(b"".join([*lines[:2], *lines[3:]]))


def remove_journal(layout: Layout) -> None:
    layout.journal.unlink()


def empty_journal(layout: Layout) -> None:
    layout.journal.write_bytes(b"")


def dangle(layout: Layout) -> None:
    layout.channel("latest").unlink()
    layout.channel("latest").symlink_to("v77")


def lose_target(layout: Layout) -> None:
    shutil.rmtree(layout.version(Version(2)))


def drop_link(layout: Layout) -> None:
    layout.channel("latest").unlink()


def remove_config(layout: Layout) -> None:
    layout.config.unlink()


@pytest.mark.parametrize(
    "harm",
    [
        break_config,
        unknown_key,
        no_rollback,
        flip_journal,
        drop_line,
        remove_journal,
        empty_journal,
        dangle,
        lose_target,
        drop_link,
        remove_config,
    ],
)
def test_an_inconsistent_repository_loses_nothing(
    filled: Repository, layout: Layout, ageless: Rules, harm: Callable[[Layout], None]
) -> None:
    filled.promote("v2")
    harm(layout)
    before = present(filled)
    for dry_run in (True, False):
        with pytest.raises(IntegrityError):
            filled.cleanup(dry_run=dry_run, **ageless)
    assert present(filled) == before
    assert os.listdir(layout.trash) == []


def test_foreign_entries_are_reported_and_stop_nothing(filled: Repository, ageless: Rules) -> None:
    (filled.root / "v9").mkdir()
    (filled.root / "v9" / "mine").touch()
    (filled.root / "notes.txt").touch()
    result = filled.cleanup(**ageless)
    assert removed(result) == ["v1", "v2", "v3"]
    assert sorted(problem.path for problem in result.problems) == ["notes.txt", "v9"]
    assert sorted(os.listdir(filled.root)) == [".modelrepo", "notes.txt", "serving", "v9"]
    assert (filled.root / "v9" / "mine").exists()


def test_a_foreign_name_that_is_no_utf8_stops_nothing(filled: Repository, ageless: Rules) -> None:
    Path(os.fsdecode(os.fsencode(filled.root) + b"/\xff")).touch()
    assert removed(filled.cleanup(**ageless)) == ["v1", "v2", "v3"]


def test_damaged_versions_elsewhere_stop_nothing(
    filled: Repository, ageless: Rules, edit: Callable[[Path, bytes], None]
) -> None:
    filled.promote("v1")
    edit(filled.root / "v2" / "manifest.json", b"{}")
    edit(filled.root / "v3" / "saved_model.pb", b"")
    assert removed(filled.cleanup(**ageless)) == ["v2", "v3"]
    assert filled.verify().ok


def test_trees_that_resist_are_deleted_too(filled: Repository, ageless: Rules) -> None:
    """Without recursion, whatever the modes, and never through a link."""
    deep = filled.root / "v1" / "variables"
    here = os.getcwd()
    os.chdir(deep)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    (deep / "out").symlink_to(filled.root / "v2")
    for path in (deep, filled.root / "v1"):
        path.chmod(0o500)
    filled.pin("v2")
    try:
        assert removed(filled.cleanup(**ageless)) == ["v1", "v3"]
        assert filled.verify().ok
    finally:  # pytest's own way of deleting is recursive
        subprocess.run(["rm", "-rf", str(filled.root)], check=False)


# Leftovers


def test_abandoned_staging_and_trash_are_swept(filled: Repository, layout: Layout) -> None:
    for place in (layout.staging / "push-0", layout.trash / "v8-0"):
        (place / "variables").mkdir(parents=True)
        (place / "variables" / "data").touch()
    (layout.staging / "tmp-1").symlink_to("v1")
    (layout.staging / "journal-2").touch()
    assert [problem.kind for problem in filled.verify().findings] == ["leftover"] * 4
    assert filled.verify().ok
    assert filled.cleanup().leftovers == 2
    assert os.listdir(layout.staging) == os.listdir(layout.trash) == []


def test_a_live_pushs_staging_is_not_swept(
    filled: Repository, model: Callable[[str], Path], ageless: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Inspector.read
    swept: list[CleanupResult] = []

    def read(self: Inspector, path: Path) -> Any:
        swept.append(filled.cleanup(**ageless))
        return real(self, path)

    monkeypatch.setattr(Inspector, "read", read)
    result = filled.push(model("four"), load=False)
    assert [len(each.removed) for each in swept] == [3]
    assert result.created
    assert filled.verify().ok


def test_staging_held_by_another_process_is_not_swept(filled: Repository, layout: Layout, other: Other) -> None:
    place = layout.staging / "push-0"
    place.mkdir()
    other(f"exec 9< {place}; flock -s 9; echo ready; read x")
    assert filled.cleanup().leftovers == 0
    assert os.listdir(layout.staging) == ["push-0"]


@pytest.mark.parametrize("step", ["rename_new", "sync_directory", "delete_tree"])
def test_a_cleanup_that_died_is_finished_by_the_next(
    filled: Repository, layout: Layout, ageless: Rules, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Died(BaseException):
        pass

    module = deletion if step == "delete_tree" else durable
    real = getattr(module, step)

    def die(*arguments: Any, **options: Any) -> Any:
        if step == "sync_directory" and arguments[0] != layout.trash:
            return real(*arguments, **options)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(module, step, die)
        with pytest.raises(Died):
            filled.cleanup(**ageless)
    assert all(row.problem is None for row in filled.list())
    filled.cleanup(**ageless)
    assert present(filled) == []
    assert os.listdir(layout.trash) == os.listdir(layout.staging) == []
    assert filled.verify().findings == ()
    removed_once = [str(entry.version) for entry in filled.history() if entry.action == "cleanup"]
    assert sorted(removed_once) == ["v1", "v2", "v3"]


def test_cleanup_recovers_also_when_there_is_nothing_to_delete(
    filled: Repository, append_fails: Callable[[int], None]
) -> None:
    append_fails(2)
    with pytest.raises(UnconfirmedError):
        filled.promote("v1")
    filled.cleanup()
    assert filled.history(limit=1)[0].action == "promote"
    assert filled.verify().findings == ()


def test_what_is_leased_in_the_trash_stays_until_the_next_cleanup(
    filled: Repository, layout: Layout, other: Other
) -> None:
    place = layout.trash / "v8-0"
    place.mkdir()
    holder = other(f"exec 9< {place}; flock -s 9; echo ready; read x")
    filled.cleanup()
    assert os.listdir(layout.trash) == ["v8-0"]
    holder.communicate("\n")
    filled.cleanup()
    assert os.listdir(layout.trash) == []


# The lock, and failures


def test_cleanup_does_not_wait_for_the_lock(filled: Repository, layout: Layout, ageless: Rules) -> None:
    with layout.lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(BusyError):
            filled.cleanup(**ageless)
        assert time.monotonic() - began < 1
    assert present(filled) == ["v1", "v2", "v3"]


def test_a_failure_in_the_middle_says_what_went_already(
    filled: Repository, ageless: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.rename_new

    def rename(old: Path, new: Path) -> None:
        if old.name == "v2":
            raise OSError(5, "Input/output error", str(old))
        real(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "rename_new", rename)
        with pytest.raises(StorageError) as caught:
            filled.cleanup(**ageless)
    assert removed(caught.value.partial) == ["v1"]
    assert present(filled) == ["v2", "v3"]
    assert filled.verify().ok


def test_a_deletion_that_is_not_confirmed_names_the_version_as_removed(
    filled: Repository, ageless: Rules, sync_fails: Callable[[Path, int], None], layout: Layout
) -> None:
    """The commit happened: the partial answer says so, and the next writer completes it."""
    sync_fails(layout.trash, 2)  # the first is the sweeping of staging
    with pytest.raises(UnconfirmedError) as caught:
        filled.cleanup(**ageless)
    assert (caught.value.durable, caught.value.recorded) == (False, False)
    assert present(filled) == ["v2", "v3"]
    assert removed(caught.value.partial) == ["v1"]
    filled.cleanup(**ageless)
    assert filled.verify().findings == ()


def test_a_deletion_that_is_durable_but_not_recorded_says_so(
    filled: Repository, ageless: Rules, append_fails: Callable[[int], None]
) -> None:
    append_fails(3)  # the first writes the journal's end anew, the second is the intent
    with pytest.raises(UnconfirmedError) as caught:
        filled.cleanup(**ageless)
    assert (caught.value.durable, caught.value.recorded) == (True, False)
    filled.pin("v3")
    assert [(entry.action, str(entry.version)) for entry in filled.history(limit=2)] == [
        ("pin", "v3"),
        ("cleanup", "v1"),
    ]


@pytest.mark.parametrize("command", ["list", "show"])
def test_readers_of_a_version_that_goes_meanwhile_see_no_damage(
    filled: Repository, ageless: Rules, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A cleanup comes between a reader's look at the tree and its look at the manifest: that is no damage."""
    from modelrepo.repository import snapshot

    real = snapshot.Snapshot.manifest_bytes
    cleaned: list[bool] = []

    def manifest_bytes(self: snapshot.Snapshot, version: Version) -> bytes:
        if not cleaned:
            cleaned.append(True)
            filled.cleanup(**ageless)
        return real(self, version)

    monkeypatch.setattr(snapshot.Snapshot, "manifest_bytes", manifest_bytes)
    if command == "list":
        assert filled.list() == ()
    else:
        assert filled.show("v1").removed_at is not None
    assert cleaned


def test_modes_of_the_kept_manifests_let_everybody_read(filled: Repository, layout: Layout, ageless: Rules) -> None:
    filled.cleanup(**ageless)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in layout.removed.iterdir()}
    assert {mode & 0o444 for mode in modes} == {0o444}
    assert {mode & 0o133 for mode in modes} == {0}
