"""The reading commands: what they say, and that they need neither a lock nor a right to write."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.core.values import as_json
from modelrepo.errors import IntegrityError, NotFoundError, RequestError, SourceError


def test_list_is_highest_number_first_and_says_what_each_is(
    repository: Repository, model: Callable[[str], Path]
) -> None:
    repository.push(model("one"), load=False, message="m", labels={"a": "b"}, metrics={"auc": 0.5}, promote=True)
    repository.push(model("two"), load=False)
    repository.pin("v1")
    newest, first = repository.list()
    assert [str(newest.version), str(first.version)] == ["v2", "v1"]
    assert (first.channels, first.pinned, first.load, first.message) == (("latest",), True, "skipped", "m")
    assert (first.labels, first.metrics, first.signatures) == ({"a": "b"}, {"auc": 0.5}, ("serving_default",))
    assert first.digest == repository.show("v1").digest
    assert (newest.channels, newest.pinned, newest.message) == ((), False, None)


def test_numbers_sort_as_numbers(repository: Repository, model: Callable[[str], Path]) -> None:
    repository.push(model("one"), load=False)
    (repository.root / "v9").mkdir()
    repository.push(model("two"), load=False)
    assert [str(row.version) for row in repository.list()] == ["v10", "v1"]
    assert str(repository.path("newest").version) == "v10"


def test_list_can_be_limited_and_chosen_by_label(filled: Repository, model: Callable[[str], Path]) -> None:
    filled.push(model("four"), load=False, labels={"team": "ads", "stage": "x"})
    assert [str(row.version) for row in filled.list(limit=2)] == ["v4", "v3"]
    assert [str(row.version) for row in filled.list(labels={"team": "ads"})] == ["v4"]
    assert filled.list(labels={"team": "ads", "stage": "y"}) == ()
    assert [str(row.version) for row in filled.list(limit=1, labels={"team": "ads"})] == ["v4"]
    with pytest.raises(RequestError):
        filled.list(limit=-1)


def test_list_goes_on_past_a_damaged_manifest_and_says_so(
    filled: Repository, edit: Callable[[Path, bytes], None]
) -> None:
    edit(filled.root / "v2" / "manifest.json", b"{}")
    rows = {str(row.version): row.problem for row in filled.list()}
    assert (rows["v1"], rows["v3"]) == (None, None)
    assert "manifest" in (rows["v2"] or "")


def test_show_is_the_manifest_and_the_state(filled: Repository) -> None:
    import hashlib

    filled.promote("v1", channel="canary")
    shown = filled.show("canary")
    raw = (filled.root / "v1" / "manifest.json").read_bytes()
    assert shown.manifest_digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert (shown.channels, shown.path, shown.removed_at) == (("canary",), str(filled.root / "v1"), None)
    assert [entry.path for entry in shown.files] == [
        "assets.extra/note.txt",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


def test_show_of_a_removed_version_is_of_that_version_or_5(filled: Repository, layout: Layout) -> None:
    filled.remove(["v1"])
    kept = layout.removed_manifest(Version(1))
    assert filled.show("v1").version == Version(1)
    kept.unlink()
    kept.write_bytes(layout.manifest(Version(2)).read_bytes())
    with pytest.raises(IntegrityError, match="of another version"):
        filled.show("v1")


def test_show_of_a_damaged_manifest_is_5(filled: Repository, edit: Callable[[Path, bytes], None]) -> None:
    path = filled.root / "v2" / "manifest.json"
    edit(path, path.read_bytes().replace(b'"size"', b'"Size"', 1))
    with pytest.raises(IntegrityError, match="not the manifest that was pushed"):
        filled.show("v2")
    path.unlink()
    with pytest.raises(IntegrityError):
        filled.show("v2")


def test_a_digest_names_a_version_when_it_is_unambiguous(filled: Repository, tmp_path: Path) -> None:
    digest = filled.show("v2").digest
    assert str(filled.path(digest).version) == "v2"
    assert str(filled.path(digest[:15]).version) == "v2"
    filled.push(tmp_path / "exports" / "two", load=False, allow_duplicate=True)
    assert str(filled.path(digest).version) == "v4"
    with pytest.raises(NotFoundError):
        filled.path("sha256:" + "f" * 64)


def test_history_is_newest_first_and_can_be_narrowed(filled: Repository) -> None:
    filled.promote("v1")
    filled.promote("v2", channel="canary")
    filled.pin("v1")
    assert [entry.action for entry in filled.history()] == ["pin", "promote", "promote", "push", "push", "push"]
    assert [str(entry.to) for entry in filled.history(channel="canary")] == ["v2"]
    assert [entry.action for entry in filled.history(limit=2)] == ["pin", "promote"]
    numbers = [entry.seq for entry in filled.history()]
    assert numbers == sorted(numbers, reverse=True)
    with pytest.raises(NotFoundError):
        filled.history(channel="blue")
    with pytest.raises(RequestError):
        filled.history(channel="v2")


def test_status_says_channels_ways_back_space_and_the_journals_head(filled: Repository, layout: Layout) -> None:
    import hashlib

    filled.promote("v1")
    filled.promote("v2")
    filled.promote("v3", channel="canary")
    filled.pin("v3")
    status = filled.status()
    assert status.repo == str(filled.root)
    assert status.channels == {"canary": Version(3), "latest": Version(2)}
    assert status.rollback_to == {"canary": None, "latest": Version(1)}
    assert (status.versions, status.size) == (3, sum(row.size for row in filled.list()))
    assert (status.pinned, status.problems) == ((Version(3),), ())
    last = layout.journal.read_bytes().splitlines(keepends=True)[-1]
    assert status.journal_head == f"sha256:{hashlib.sha256(last).hexdigest()}"


def test_reading_goes_on_where_the_journal_is_damaged(filled: Repository, layout: Layout) -> None:
    filled.promote("v2")
    layout.journal.write_bytes(b"{}\n" + layout.journal.read_bytes())
    assert [str(row.version) for row in filled.list()] == ["v3", "v2", "v1"]
    assert str(filled.path("latest").version) == "v2"
    assert str(filled.show("v1").version) == "v1"
    assert "journal-damaged" in {problem.kind for problem in filled.status().problems}
    for call in (filled.history, lambda: filled.path("latest~1"), lambda: filled.promote("v1", dry_run=True)):
        with pytest.raises(IntegrityError):
            call()


def test_a_foreign_directory_is_not_found_as_a_version(filled: Repository) -> None:
    (filled.root / "v9").mkdir()
    with pytest.raises(NotFoundError) as caught:
        filled.path("v9")
    assert caught.value.kind == "version-foreign"


def test_a_lost_directory_is_5(filled: Repository) -> None:
    (filled.root / "v2").rename(filled.root.parent / "v2")
    with pytest.raises(IntegrityError) as caught:
        filled.path("v2")
    assert caught.value.kind == "version-lost"
    assert [problem.path for problem in filled.status().problems] == ["v2"]


def test_inspect_reads_refs_and_paths(filled: Repository, samples: Path, tmp_path: Path) -> None:
    found = filled.inspect("v1")
    assert (found.version, found.path) == (Version(1), str(filled.root / "v1"))
    assert list(found.signatures) == ["serving_default"]
    assert (found.tags, found.load, found.loaded_by) == ((("serve",),), None, None)
    assert sum(found.ops.values()) > 3
    elsewhere = Repository(tmp_path / "nothing").inspect(str(samples / "vocabulary"))
    assert elsewhere.version is None
    assert elsewhere.fingerprint
    for target, kind in ((str(tmp_path / "x"), SourceError), (str(tmp_path), SourceError), ("v9", NotFoundError)):
        with pytest.raises(kind):
            filled.inspect(target)


def test_the_serving_config_names_each_channel_with_a_view(filled: Repository) -> None:
    filled.promote("v1")
    filled.promote("v2", channel="canary")
    (filled.root / "blue").symlink_to("v1")  # no view yet
    answer = filled.serving_config()
    assert answer.models == {
        "ranker": f"{filled.root}/serving/latest",
        "ranker_canary": f"{filled.root}/serving/canary",
    }
    assert filled.serving_config(name="m", base_path="/srv/").models == {
        "m": "/srv/serving/latest",
        "m_canary": "/srv/serving/canary",
    }


def test_the_serving_config_leaves_out_a_channel_that_is_about_to_go(filled: Repository) -> None:
    filled.promote("v1")
    filled.promote("v2", channel="canary")
    with pytest.raises(NotFoundError, match="there is no channel blue"):
        filled.serving_config(leave_out=["canary", "blue"])
    with pytest.raises(RequestError):
        filled.serving_config(leave_out=["v2"])
    answer = filled.serving_config(leave_out=["canary"])
    assert (set(answer.models), answer.left_out, answer.without) == ({"ranker"}, ("ranker_canary",), ())
    filled.channel_remove("canary")
    assert filled.serving_config().config == answer.config


def test_the_serving_config_is_a_model_server_config(filled: Repository) -> None:
    """Read back with the real protocol buffer, in a process of its own: it needs TensorFlow."""
    import subprocess
    import sys

    filled.promote("v1")
    filled.promote("v2", channel="canary")
    text = filled.serving_config(name='odd "name"\\ ü').config
    code = (
        "import sys; from google.protobuf import text_format;"
        "from tensorflow_serving.config import model_server_config_pb2 as m;"
        "c = text_format.Parse(sys.stdin.read(), m.ModelServerConfig());"
        "print(*[(each.name, each.base_path, each.model_platform) for each in c.model_config_list.config], sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(('odd "name"\\ ü_canary', f"{filled.root}/serving/canary", "tensorflow")),
        str(('odd "name"\\ ü', f"{filled.root}/serving/latest", "tensorflow")),
    ]


def test_a_view_follows_every_move(filled: Repository) -> None:
    filled.promote("v1")
    filled.promote("v2")
    assert os.listdir(filled.root / "serving" / "latest") == ["2"]
    filled.rollback()
    assert os.listdir(filled.root / "serving" / "latest") == ["1"]


def test_readers_do_not_wait_for_a_writer(filled: Repository, layout: Layout) -> None:
    filled.promote("v1")
    with layout.lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        began = time.monotonic()
        filled.list()
        filled.status()
        filled.path("latest")
        filled.history()
        filled.verify()
        filled.promote("v2", dry_run=True)
        filled.cleanup(dry_run=True)
        assert time.monotonic() - began < 3


def test_readers_open_no_lock_file(filled: Repository, layout: Layout) -> None:
    layout.lock.unlink()
    assert len(filled.list()) == 3
    assert filled.verify().ok
    assert not layout.lock.exists()


def test_names_that_are_no_utf8_in_the_root_are_noted_and_stop_no_reader(filled: Repository) -> None:
    import json

    Path(os.fsdecode(os.fsencode(filled.root) + b"/\xff")).touch()
    Path(os.fsdecode(os.fsencode(filled.root) + b"/l\xff")).symlink_to("v1")
    status = filled.status()
    assert [problem.note for problem in status.problems] == [True, True]
    assert filled.verify().ok
    assert json.dumps(status.as_json())


def test_results_round_trip_as_json(filled: Repository) -> None:
    import json

    filled.promote("v1")
    results: list[Any] = [filled.status(), filled.show("v1"), filled.verify(), *filled.history(), *filled.list()]
    for result in results:
        assert json.loads(json.dumps(as_json(result))) == as_json(result)
