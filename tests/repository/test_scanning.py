"""Push, inspect and adoption scan: what is refused stays out, what is let in is recorded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from modelrepo import Repository, Version
from modelrepo.core.manifest import parse_manifest
from modelrepo.errors import ModelError, RequestError

#: A model whose initialiser ends the process; nothing else of it is harmful.
ABORTS = """
meta_graphs {
  meta_info_def { tags: "serve" }
  graph_def {
    node { name: "abort" op: "Abort" attr { key: "error_msg" value { s: "loaded" } } }
    versions { producer: 2000 }
  }
  collection_def { key: "saved_model_main_op" value { node_list { value: "abort" } } }
}
"""
CLIMBS = 'meta_graphs { meta_info_def { tags: "serve" } asset_file_def { filename: "../../etc/passwd" } }'


def made(place: Path, text: str) -> Path:
    place.mkdir(parents=True)
    (place / "saved_model.pbtxt").write_text(text)
    return place


@pytest.fixture
def aborts(tmp_path: Path) -> Path:
    """A model that must not be loaded."""
    return made(tmp_path / "aborts", ABORTS)


def test_a_refused_model_is_not_stored_and_the_error_names_op_place_and_reason(
    repository: Repository, aborts: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        repository.push(aborts, load=False)
    assert caught.value.kind == "model-refused"
    (item,) = caught.value.items
    assert item == "Abort ends the process or lets it sleep (node abort, meta graph serve) [denial]"
    assert "--allow-op Abort" in str(caught.value.hint)
    assert repository.list() == ()
    assert os.listdir(repository.root / ".modelrepo" / "staging") == []


def test_an_op_that_is_let_in_is_recorded_in_manifest_result_and_history(repository: Repository, aborts: Path) -> None:
    result = repository.push(aborts, load=False, allow_ops=["Abort", "ReadFile"])
    assert result.allowed_ops == ("Abort",)
    assert result.findings is not None
    assert [(found.op, found.severity) for found in result.findings] == [("Abort", "refused")]
    assert any("ReadFile" in warning for warning in result.warnings), "it was not needed"
    path = repository.root / "v1" / "manifest.json"
    manifest = parse_manifest(path.read_bytes(), str(path))
    assert (manifest.allowed_ops, manifest.findings) == (("Abort",), result.findings)
    assert repository.history()[0].allowed_ops == ("Abort",)
    with pytest.raises(ModelError):
        repository.push(aborts, load=False)
    again = repository.push(aborts, load=False, allow_ops=["Abort"])
    assert (again.version, again.created, again.allowed_ops) == (Version(1), False, ("Abort",))
    assert repository.history()[0].allowed_ops == ("Abort",)


def test_what_is_wrong_with_the_model_as_a_whole_cannot_be_let_in(repository: Repository, tmp_path: Path) -> None:
    place = made(tmp_path / "climbs", CLIMBS)
    with pytest.raises(ModelError, match="refuses") as caught:
        repository.push(place, load=False, allow_ops=["Abort"])
    assert "--allow-op" not in str(caught.value.hint)
    assert "etc/passwd" in caught.value.items[0]


def test_two_forms_of_one_model_in_a_directory_are_refused(
    repository: Repository, samples: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(samples / "tf1_linear", tmp_path / "two"))
    (place / "saved_model.cpb").write_bytes(b"another model")
    with pytest.raises(ModelError, match="refuses") as caught:
        repository.push(place, load=False)
    assert caught.value.items[0].endswith("[ambiguous]")


@pytest.mark.parametrize("name", ["", "Read File", "x\x1b[31m"])
def test_a_malformed_op_is_a_wrong_request(repository: Repository, aborts: Path, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        repository.push(aborts, load=False, allow_ops=[name])
    assert caught.value.kind == "op-malformed"


def test_one_text_is_no_list_of_ops(repository: Repository, aborts: Path) -> None:
    with pytest.raises(RequestError):
        repository.push(aborts, load=False, allow_ops="Abort")


def test_an_ordinary_model_has_no_findings_and_says_by_which_rules(repository: Repository, samples: Path) -> None:
    result = repository.push(samples / "vocabulary", load=False)
    assert (result.findings, result.scanned_by, result.allowed_ops) == ((), "2.21.0", ())
    assert repository.show("v1").findings == ()


@pytest.mark.tensorflow
def test_a_refused_model_is_never_loaded_and_one_that_is_let_in_is(repository: Repository, aborts: Path) -> None:
    """A load would end the child."""
    with pytest.raises(ModelError) as caught:
        repository.inspect(str(aborts), load=True)
    assert caught.value.kind == "model-refused"
    assert [found.op for found in caught.value.partial.findings] == ["Abort"]
    with pytest.raises(ModelError) as caught:
        repository.push(aborts)
    assert caught.value.kind == "model-refused"
    with pytest.raises(ModelError) as caught:
        repository.push(aborts, allow_ops=["Abort"])
    assert caught.value.kind == "model-crash"


@pytest.fixture
def adopted(tmp_path: Path, aborts: Path) -> Repository:
    """A repository whose v1 no push would have taken in."""
    shutil.copytree(aborts, tmp_path / "hand-made" / "v1")
    repository = Repository(tmp_path / "hand-made")
    repository.init(adopt=True)
    return repository


def test_a_stored_version_that_the_scan_refuses_is_loaded_by_no_inspect_and_no_predict(adopted: Repository) -> None:
    """A load would end the child, which is another kind of failure."""
    with pytest.raises(ModelError) as caught:
        adopted.inspect("v1", load=True)
    assert caught.value.kind == "model-refused"
    assert [found.op for found in caught.value.partial.findings] == ["Abort"]
    with pytest.raises(ModelError) as caught:
        adopted.predict("v1", {"x": [1]})
    assert (caught.value.kind, caught.value.got) == ("model-refused", "Abort")


def test_neither_golden_requests_nor_a_trial_with_zeros_load_a_refused_model(
    repository: Repository, aborts: Path, tmp_path: Path
) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text('{"requests": [{"inputs": {"x": 1}, "outputs": {"y": 1}}]}')
    for asked in ({"smoke": True}, {"golden": golden}):
        with pytest.raises(ModelError) as caught:
            repository.push(aborts, **asked)
        assert caught.value.kind == "model-refused"
    assert repository.list() == ()


@pytest.mark.tensorflow
def test_inspect_and_predict_let_in_what_the_push_let_in_or_the_caller_names(
    repository: Repository, adopted: Repository, aborts: Path
) -> None:
    repository.push(aborts, load=False, allow_ops=["Abort"])
    for call in (
        lambda: repository.inspect("v1", load=True),
        lambda: repository.predict("v1", {"x": [1]}),
        lambda: adopted.inspect("v1", load=True, allow_ops=["Abort"]),
        lambda: adopted.predict("v1", {"x": [1]}, allow_ops=["Abort"]),
    ):
        with pytest.raises(ModelError) as caught:
            call()
        assert caught.value.kind == "model-crash"


@pytest.mark.tensorflow
def test_a_load_says_what_its_process_had_given_up(repository: Repository, samples: Path) -> None:
    repository.push(samples / "tf1_linear")
    cage = repository.show("v1").cage
    assert cage is not None
    assert {"nice", "gpu"} <= set(cage)


def test_adoption_scans_refuses_nothing_and_warns_of_each_version(tmp_path: Path, aborts: Path, samples: Path) -> None:
    root = tmp_path / "hand-made"
    shutil.copytree(samples / "tf1_linear", root / "v1")
    shutil.copytree(aborts, root / "v2")
    repository = Repository(root)
    result = repository.init(adopt=True)
    assert len(result.adopted) == 2
    (warning,) = [each for each in result.warnings if "just now" not in each]
    assert warning.startswith("v2:")
    assert "Abort" in warning
    assert repository.show("v1").findings == ()
    assert [found.op for found in repository.show("v2").findings or ()] == ["Abort"]


def test_a_manifest_from_before_the_scan_says_that_nobody_scanned(repository: Repository, samples: Path) -> None:
    repository.push(samples / "tf1_linear", load=False)
    path = repository.root / "v1" / "manifest.json"
    fields = json.loads(path.read_bytes())
    for name in ("findings", "scanned_by", "allowed_ops", "cage"):
        del fields[name]
    manifest = parse_manifest(json.dumps(fields).encode(), str(path))
    assert (manifest.findings, manifest.scanned_by, manifest.allowed_ops) == (None, None, ())
