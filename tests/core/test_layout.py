"""Where everything is, and what links name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.layout import Layout, version_in_view, version_of_path, view_target
from modelrepo.core.modes import PRIVATE
from modelrepo.core.refs import MAX_NUMBER, Version

ROOT = Path("/models")
VERSIONS = st.integers(1, MAX_NUMBER).map(Version)


def test_the_tree_is_the_designs() -> None:
    layout = Layout(ROOT)
    paths = {
        layout.version(Version(2)): "v2",
        layout.manifest(Version(2)): "v2/manifest.json",
        layout.channel("latest"): "latest",
        layout.serving: "serving",
        layout.view("canary"): "serving/canary",
        layout.state: ".modelrepo",
        layout.config: ".modelrepo/config.toml",
        layout.lock: ".modelrepo/lock",
        layout.journal: ".modelrepo/journal.jsonl",
        layout.ballast: ".modelrepo/ballast",
        layout.removed: ".modelrepo/removed",
        layout.removed_manifest(Version(7)): ".modelrepo/removed/v7.json",
        layout.staging: ".modelrepo/staging",
        layout.trash: ".modelrepo/trash",
    }
    for path, expected in paths.items():
        assert path == ROOT / expected


def test_modelrepos_own_directories_keep_what_is_half_done_private() -> None:
    layout = Layout(ROOT)
    assert dict(layout.own_directories(PRIVATE)) == {
        layout.state: 0o755,
        layout.removed: 0o755,
        layout.staging: 0o700,
        layout.trash: 0o700,
        layout.serving: 0o755,
    }


@given(VERSIONS)
def test_an_entry_of_a_view_stands_for_the_version_of_its_number(version: Version) -> None:
    assert version_in_view(str(version.number), view_target(version)) == version


@pytest.mark.parametrize("root", ["/models", "/", "/a b/c"])
@given(version=VERSIONS)
def test_a_path_leads_into_the_version_that_it_names_or_lies_below(root: str, version: Version) -> None:
    place = root.rstrip("/")
    assert version_of_path(Path(root), f"{place}/{version}") == (version, True)
    assert version_of_path(Path(root), f"{place}/{version}/assets/a") == (version, False)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/models", "/models/", "/models2/v2", "/other/v2", "/v2", "v2", "/models/v0", "/models/v02", "/models/2",
     "/models/latest", "/models/.modelrepo/v2", "/models/v2x", "/models/V2", "/models/v2\n", "/models/v\u0662"],
)  # fmt: skip
def test_any_other_path_leads_into_no_version(path: str) -> None:
    assert version_of_path(ROOT, path) == (None, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [("3", "../../v4"), ("03", "../../v3"), ("v3", "../../v3"), ("3", "../v3"), ("3", "/models/v3"), ("3", ""),
     ("", ""), ("3", "../../v3/"), ("0", "../../v0"), ("notes", "../../vnotes")],
)  # fmt: skip
def test_any_other_entry_of_a_view_is_not_modelrepos(name: str, text: str) -> None:
    assert version_in_view(name, text) is None


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_makes_reading_a_link_fail(root: str, text: str) -> None:
    version, exact = version_of_path(Path(f"/{root}"), text)
    assert not exact or version is not None
    assert version_in_view(text, root) is None or view_target(Version(int(text))) == root
