"""Golden requests are answered before a version is taken in, kept with it, and found again. And one call at a time."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError, ModelError, ModelRepoError, NotFoundError, RefusedError, RequestError

Models = Callable[[str], Path]
Write = Callable[..., Path]

#: What `tf1_linear` answers: 0.5 x0 - x1 + 2 x2 + 0.25.
RIGHT = {"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[4.75]]}}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of golden requests."""

    def call(*requests: Any, name: str = "golden.json", **fields: Any) -> Path:
        place = tmp_path / name
        place.write_text(json.dumps({"requests": list(requests), **fields}))
        return place

    return call


def kept(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.golden)) if layout.golden.exists() else []


def archive(**arrays: Any) -> bytes:
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


# Without loading: where they are kept


def test_they_are_kept_by_digest_read_only_and_named_by_the_manifest(
    repository: Repository, layout: Layout, model: Models, write: Write
) -> None:
    golden = write(RIGHT, RIGHT)
    result = repository.push(model("one"), load=False, golden=golden)
    assert result.golden is not None
    assert (result.golden.requests, result.golden.format, result.golden.size) == (2, "json", golden.stat().st_size)
    path = layout.golden_file(result.golden.digest, "json")
    assert path.read_bytes() == golden.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert repository.show("v1").golden == result.golden
    assert any("not run" in warning for warning in result.warnings)
    assert repository.verify().ok
    assert not list((repository.root / "v1").glob("*golden*"))


def test_versions_with_the_same_requests_share_the_file_and_cleanup_deletes_it_with_the_last(
    repository: Repository, layout: Layout, model: Models, write: Write, ageless: dict[str, Any]
) -> None:
    shared, other = write(RIGHT), write(RIGHT, RIGHT, name="other.json")
    for text, golden in (("one", shared), ("two", shared), ("three", other)):
        repository.push(model(text), load=False, golden=golden)
    assert len(kept(layout)) == 2
    repository.promote("v2")
    repository.cleanup(**ageless)
    assert [row.version for row in repository.list()] == [Version(2)]
    assert len(kept(layout)) == 1
    assert repository.verify().ok
    repository.push(model("four"), load=False, promote=True)
    repository.remove(["v2"])
    repository.cleanup(**ageless)
    assert kept(layout) == []
    digest = repository.show("v2").golden
    assert digest is not None


def test_where_a_manifest_cannot_be_read_no_golden_file_is_deleted(
    repository: Repository, layout: Layout, model: Models, write: Write, edit: Callable[[Path, bytes], None]
) -> None:
    repository.push(model("one"), load=False, golden=write(RIGHT))
    repository.push(model("two"), load=False)
    edit(repository.root / "v1" / "manifest.json", b"{}")
    repository.cleanup()
    assert len(kept(layout)) == 1


def test_a_version_without_any_makes_no_directory_for_them(filled: Repository, layout: Layout) -> None:
    assert not layout.golden.exists()
    filled.cleanup()
    assert filled.verify().ok


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_verify_finds_what_happened_to_them_and_the_version_is_sound_otherwise(
    repository: Repository, layout: Layout, model: Models, write: Write, edit: Callable[[Path, bytes], None], harm: str
) -> None:
    source = model("one")
    result = repository.push(source, load=False, golden=write(RIGHT))
    assert result.golden is not None
    path = layout.golden_file(result.golden.digest, "json")
    if harm == "gone":
        path.unlink()
    else:
        edit(path, path.read_bytes()[::-1])
    assert [problem.kind for problem in repository.verify().findings] == ["golden-damaged"]
    assert repository.verify(quick=True).ok is (harm == "changed")
    assert repository.push(source, load=False).created is False
    assert repository.promote("v1").changed
    with pytest.raises(IntegrityError) as caught:
        repository.inspect("v1", load=True)
    assert caught.value.kind == "golden-damaged"
    repository.push(source, load=False, golden=write(RIGHT), allow_duplicate=True)
    assert repository.verify().ok


def test_after_the_loss_of_modelrepo_an_adopted_version_says_which_it_misses_until_they_are_put_back(
    repository: Repository, layout: Layout, model: Models, write: Write
) -> None:
    golden = write(RIGHT)
    result = repository.push(model("one"), load=False, golden=golden)
    assert result.golden is not None
    path = layout.golden_file(result.golden.digest, "json")
    shutil.rmtree(layout.state)
    repository.init(adopt=True)
    (problem,) = repository.verify().findings
    assert (problem.path, problem.detail) == (str(path.relative_to(layout.root)), "v1's golden requests are gone")
    path.parent.mkdir(0o755)
    shutil.copyfile(golden, path)
    path.chmod(0o444)
    assert repository.verify().ok


def test_a_repeated_push_says_that_other_requests_are_not_stored(
    repository: Repository, layout: Layout, model: Models, write: Write
) -> None:
    source = model("one")
    repository.push(source, load=False)
    again = repository.push(source, load=False, golden=write(RIGHT))
    assert (again.created, again.golden, kept(layout)) == (False, None, [])
    assert any("golden requests" in warning for warning in again.warnings)


def test_in_a_shared_repository_and_as_another_users_root_they_belong_like_everything_else(
    tmp_path: Path, model: Models, write: Write
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    repository = Repository(tmp_path / "shared")
    repository.init(shared="65534")
    os.chown(repository.root, 65534, 65534)
    repository.push(model("one"), load=False, golden=write(RIGHT))
    directory = repository.root / ".modelrepo" / "golden"
    assert (stat.S_IMODE(directory.stat().st_mode), directory.stat().st_gid) == (0o2775, 65534)
    assert [(stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) for path in directory.iterdir()] == [(0o444, 65534)]
    directory.chmod(0o777)
    next(directory.iterdir()).chmod(0o666)
    assert [problem.kind for problem in repository.verify().findings if not problem.note] == ["mode", "mode"]
    assert repository.verify(repair=True).ok


def test_an_export_has_them_beside_it_and_a_push_of_it_finds_them(
    repository: Repository, model: Models, write: Write, tmp_path: Path
) -> None:
    repository.push(model("one"), load=False, golden=write(RIGHT))
    result = repository.export("v1", tmp_path / "copy")
    assert result.golden == str(tmp_path / "copy.golden.json")
    assert Path(result.golden).read_bytes() == write(RIGHT).read_bytes()
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {
        path.name for path in (repository.root / "v1").iterdir()
    }
    there = Repository(tmp_path / "there")
    pushed = there.push(tmp_path / "copy", init=True, load=False)
    assert pushed.golden == repository.show("v1").golden
    os.unlink(result.golden)
    here = repository.push(tmp_path / "copy", load=False, allow_duplicate=True)
    assert here.golden == pushed.golden
    elsewhere = Repository(tmp_path / "elsewhere").push(tmp_path / "copy", init=True, load=False)
    assert elsewhere.golden is None
    assert any("were not found" in warning for warning in elsewhere.warnings)


def test_an_export_overwrites_nothing_and_goes_on_without_lost_requests(
    repository: Repository, layout: Layout, model: Models, write: Write, tmp_path: Path
) -> None:
    repository.push(model("one"), load=False, golden=write(RIGHT))
    taken = tmp_path / "copy.golden.json"
    taken.write_text("mine")
    with pytest.raises(RefusedError) as caught:
        repository.export("v1", tmp_path / "copy")
    assert (caught.value.kind, taken.read_text(), (tmp_path / "copy").exists()) == ("not-empty", "mine", False)
    shutil.rmtree(layout.golden)
    result = repository.export("v1", tmp_path / "copy")
    assert result.golden is None
    assert "without its golden requests" in result.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nothing",
        "{}",
        '{"requests": []}',
        '{"requests": [{}]}',
        '{"requests": [{"inputs": {}}]}',
        '{"requests": [{"inputs": {}, "outputs": {}}]}',
        '{"requests": [{"inputs": [], "outputs": {"y": 1}}]}',
        '{"requests": [{"inputs": {}, "outputs": {"y": 1}, "extra": 1}]}',
        '{"requests": [{"inputs": {}, "outputs": {"y": 1}}], "tolerance": {"absolute": -1}}',
        '{"requests": [{"inputs": {}, "outputs": {"y": 1}}], "tolerance": {"absolute": NaN}}',
        '{"requests": [{"inputs": {}, "outputs": {"y": 1}}], "tolerance": 1}',
        '{"requests": [{"inputs": {}, "outputs": {"y": 1}}], "signature": 1}',
        '{"requests": [{"inputs": {}, "inputs": {}, "outputs": {"y": 1}}]}',
        "[" * 100_000,
        '{"requests": ' + "9" * 5000 + "}",
        "PK\x03\x04 no archive",
    ],
)
def test_what_is_no_file_of_requests_is_refused_before_anything_is_copied(
    repository: Repository, model: Models, tmp_path: Path, look: Callable[[Path], dict[str, Any]], text: str
) -> None:
    (tmp_path / "golden").write_text(text)
    source, before = model("one"), look(repository.root / ".modelrepo" / "journal.jsonl")
    with pytest.raises(RequestError) as caught:
        repository.push(source, load=False, golden=tmp_path / "golden")
    assert caught.value.kind == "requests-malformed"
    assert caught.value.message.isprintable()
    assert repository.list() == ()
    assert os.listdir(repository.root / ".modelrepo" / "staging") == []
    assert look(repository.root / ".modelrepo" / "journal.jsonl") == before


def test_a_file_that_is_too_large_missing_or_no_file_is_refused(
    repository: Repository, model: Models, tmp_path: Path
) -> None:
    os.truncate(os.open(tmp_path / "large", os.O_CREAT | os.O_WRONLY), 16 * 1024 * 1024 + 1)
    os.mkfifo(tmp_path / "pipe")
    source = model("one")
    for name, kind in (("large", "requests-malformed"), ("none", "requests-missing"), ("pipe", "requests-missing")):
        with pytest.raises(RequestError) as caught:
            repository.push(source, load=False, golden=tmp_path / name)
        assert caught.value.kind == kind


def test_nothing_of_an_archive_is_unpickled(repository: Repository, model: Models, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "evil"),)

    (tmp_path / "evil.npz").write_bytes(
        archive(**{"inputs/x": np.array([Evil()], dtype=object), "outputs/y": np.zeros(1)})
    )
    with pytest.raises(RequestError) as caught:
        repository.push(model("one"), load=False, golden=tmp_path / "evil.npz")
    assert "pickle" in caught.value.message
    assert not (tmp_path / "evil").exists()


def test_smoke_without_a_load_is_no_request(repository: Repository, model: Models) -> None:
    with pytest.raises(RequestError) as caught:
        repository.push(model("one"), load=False, smoke=True)
    assert caught.value.kind == "options-exclude"


# With TensorFlow


@pytest.mark.tensorflow
def test_a_wrong_answer_refuses_the_push_and_the_largest_difference_is_named(
    repository: Repository, layout: Layout, samples: Path, write: Write
) -> None:
    near, far = (
        {"inputs": {"x": [[1, 2, 3], [0, 0, 0]]}, "outputs": {"y": [[4.75], [wrong]]}} for wrong in (0.5, 9.25)
    )
    with pytest.raises(ModelError) as caught:
        repository.push(samples / "tf1_linear", golden=write(RIGHT, near, far, RIGHT))
    error = caught.value
    assert (error.kind, error.expected, error.got) == ("golden-mismatch", "9.25", "0.25")
    assert "golden request 3 (signature `serving_default`): output `y`[1,0] differs by 9" in error.message
    assert (repository.list(), kept(layout)) == ((), [])


@pytest.mark.tensorflow
def test_right_answers_are_taken_in_and_asked_for_again_at_any_time(
    repository: Repository, samples: Path, write: Write
) -> None:
    off = {"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[4.8]]}}
    golden = write(RIGHT, off, tolerance={"absolute": 0.1, "relative": 0})
    result = repository.push(samples / "tf1_linear", golden=golden, smoke=True, promote=True)
    assert (result.load, result.warnings, result.promoted is not None) == ("passed", (), True)
    assert repository.inspect("latest", load=True).golden == 2


@pytest.mark.tensorflow
def test_a_version_says_what_it_gives(repository: Repository, samples: Path) -> None:
    repository.push(samples / "vocabulary", load=False)
    result = repository.predict("v1", {"tokens": ["the", "\u2603"]})
    assert (result.version, result.signature) == (Version(1), "serving_default")
    assert result.outputs["ids"][1] == 12


@pytest.mark.parametrize("given", [b"", b"[]", b"nothing", b"\xff", {"x": object()}, {"x": b"raw"}])
def test_what_are_no_inputs_is_refused(repository: Repository, samples: Path, given: Any) -> None:
    repository.push(samples / "tf1_linear", load=False)
    with pytest.raises(RequestError) as caught:
        repository.predict("v1", given)
    assert caught.value.kind == "requests-malformed"


def test_a_version_that_is_not_there_cannot_be_called(filled: Repository) -> None:
    with pytest.raises(NotFoundError):
        filled.predict("v9", {"x": [[1, 2, 3]]})


def test_what_is_not_a_golden_file_or_lies_behind_a_link_is_left_alone(
    repository: Repository, layout: Layout, model: Models, write: Write, tmp_path: Path
) -> None:
    repository.push(model("one"), load=False, golden=write(RIGHT))
    (layout.golden / "notes.txt").write_text("mine")
    stray = layout.golden / f"{'a' * 64}.json"
    stray.write_text("nobody's")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(layout.golden, elsewhere)
    repository.cleanup()
    assert (layout.golden / "notes.txt").exists()
    assert not stray.exists()
    shutil.rmtree(layout.golden)
    layout.golden.symlink_to(elsewhere)
    repository.cleanup()
    assert len(list(elsewhere.iterdir())) == 3
    with pytest.raises(ModelRepoError):
        repository.push(model("two"), load=False, golden=write(RIGHT, RIGHT))
    assert len(list(elsewhere.iterdir())) == 3
    assert [row.version for row in repository.list()] == [Version(1)]
