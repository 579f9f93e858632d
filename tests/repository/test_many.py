"""One answer for several repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.errors import RequestError
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
