"""What must hold of a repository at every instant, and what the next commands must find behind any accident.

Looked at with the standard library where the promise is about the tree, so that a mistake in the package's own
reading cannot hide itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import timedelta
from pathlib import Path

from modelrepo import Repository
from modelrepo.errors import IntegrityError


def is_complete(version: Path) -> bool:
    """Whether a version is there with every byte that its manifest promises, by nothing but the manifest."""
    try:
        manifest = json.loads((version / "manifest.json").read_bytes())
    except FileNotFoundError:
        return False
    there = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    return there == {"manifest.json", *(entry["path"] for entry in manifest["files"])} and all(
        f"sha256:{hashlib.sha256((version / entry['path']).read_bytes()).hexdigest()}" == entry["digest"]
        for entry in manifest["files"]
    )


def targets(root: Path) -> dict[str, str]:
    """Where the links in a directory lead; none where it is not there."""
    return {path.name: os.path.realpath(path) for path in root.glob("*") if path.is_symlink()}


def check_tree(root: Path) -> None:
    """What must hold at every instant."""
    for path in root.iterdir():
        if path.name.startswith("v"):
            assert is_complete(path), f"{path} is not whole"
            golden = json.loads((path / "manifest.json").read_bytes()).get("golden")
            if golden is not None:
                name = golden["digest"].removeprefix("sha256:")
                kept = (root / ".modelrepo" / "golden" / f"{name}.{golden['format']}").read_bytes()
                assert hashlib.sha256(kept).hexdigest() == name
    for record in (root / ".modelrepo" / "derived").glob("v*/*/record.json"):
        names = {"record.json", *(entry["path"] for entry in json.loads(record.read_bytes())["files"])}
        assert set(os.listdir(record.parent)) == names, f"{record.parent} is not whole"
    for name, target in targets(root).items():
        assert is_complete(Path(target)), f"{name} leads to what is not whole"
    for view in (root / "serving").iterdir():
        links = list(view.iterdir())
        assert links, f"{view} is empty"
        assert all(is_complete(Path(os.path.realpath(link))) for link in links), links


def go_on(place: Path, *, damaged: bool = False) -> None:
    """The next writing command, and all that must be right behind it; `damaged` says that the journal was before."""
    root = place / "ranker"
    repository = Repository(root)
    before = targets(root)
    try:
        repository.pin("v2", reason="next")
    except IntegrityError:
        assert damaged  # the journal was, before the command, and still is
        repository.verify(repair=True)
        repository.pin("v2", reason="next")
    assert targets(root) == before, "recovery moved a link"
    check_tree(root)
    result = repository.verify(repair=damaged)
    assert result.ok, result.findings
    highest = max(
        int(number) for number in re.findall(rb'"version":"v(\d+)"', (root / ".modelrepo/journal.jsonl").read_bytes())
    )
    pushed = repository.push(place / "exports" / "five", load=False)
    assert pushed.version.number == highest + 1, "a number was used again, or left out"
    repository.cleanup(min_age=timedelta(days=1))
    assert os.listdir(root / ".modelrepo" / "staging") == os.listdir(root / ".modelrepo" / "trash") == []
    derived = root / ".modelrepo" / "derived"
    left = {path.name for path in derived.glob("*")} - {path.name for path in root.glob("v*")}
    assert not left, f"left of versions that are gone: {left}"
    result = repository.verify()
    assert result.findings == (), result.findings
