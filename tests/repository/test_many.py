"""One answer for several repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.errors import NotFoundError, RequestError
from modelrepo.repository.many import serving_config


def test_one_serving_config_for_several_repositories(filled: Repository, tmp_path: Path) -> None:
    import shutil

    filled.promote("v1")
    second = tmp_path / "reranker"
    shutil.copytree(filled.root, second, symlinks=True)
    answer, failed = serving_config([filled, Repository(second)], base_path="/models")
    assert failed == ()
    assert answer.models == {
        "ranker": "/models/ranker/serving/latest",
        "reranker": "/models/reranker/serving/latest",
    }
    with pytest.raises(RequestError):
        serving_config([filled, Repository(second)], name="m")
    with pytest.raises(RequestError):
        serving_config([filled, filled])


def test_one_that_cannot_be_read_leaves_the_others_and_is_said(filled: Repository, tmp_path: Path) -> None:
    filled.promote("v1")
    answer, (error,) = serving_config([Repository(tmp_path / "nothing"), filled])
    assert answer.models == {"ranker": str(filled.root / "serving" / "latest")}
    assert "nothing" in error.message


def test_a_channel_is_left_out_of_whichever_has_it(filled: Repository, tmp_path: Path) -> None:
    second = Repository(tmp_path / "reranker")
    second.init()
    filled.promote("v1")
    filled.promote("v2", channel="canary")
    answer, failed = serving_config([filled, second], leave_out=["canary"])
    assert (set(answer.models), answer.left_out, failed) == ({"ranker"}, ("ranker_canary",), ())
    assert answer.without == (str(second.root),)
    with pytest.raises(NotFoundError, match="there is no channel canary"):
        serving_config([second], leave_out=["canary"])
    _, (error,) = serving_config([second, Repository(tmp_path / "nothing")], leave_out=["canary"])
    assert "nothing" in error.message
