"""The repository that accidents happen to, and the commands that they happen in."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelrepo import Repository

from .kept import keep

SAMPLES = Path(__file__).parents[2] / "sample_models"
SAMPLE = 6
AGELESS = ("--keep-last", "0", "--keep-rollback", "1", "--min-age", "0s", "--grace", "0s")


@dataclass(frozen=True)
class Case:
    """A command, what it may do to `latest`, and what must be there before."""

    words: tuple[str, ...]
    latest: frozenset[str]
    prepare: Callable[[Path], None] = lambda _: None
    sample: int = SAMPLE


def harm(root: Path) -> None:
    """All that a repair mends."""
    (root / "latest").unlink()
    (root / "latest").symlink_to(root / "v2")
    (root / "v1" / "saved_model.pb").chmod(0o644)
    (root / ".modelrepo" / "staging" / "push-dead").mkdir()
    journal = root / ".modelrepo" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], *lines[5:]]))


def requests(root: Path) -> None:
    """A file of golden requests beside the exports."""
    text = json.dumps({"requests": [{"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[4.75]]}}]})
    (root.parent / "golden.json").write_text(text)


def carried(root: Path) -> None:
    """A version whose golden requests go with it."""
    requests(root)
    source = root.parent / "exports" / "four"
    Repository(root).push(source, load=False, golden=root.parent / "golden.json", number=9)


def kept(root: Path) -> None:
    """Versions with something that was made of them."""
    for version in ("v1", "v2"):
        keep(root, version)


def blue(root: Path) -> None:
    """One more channel."""
    Repository(root).promote("v3", channel="blue")


def pinned(root: Path) -> None:
    """A version that is kept for ever."""
    Repository(root).pin("v1")


def nothing(root: Path) -> None:
    """No repository at all."""
    shutil.rmtree(root)


def foreign(root: Path) -> None:
    """What somebody kept by hand: two versions and an absolute link."""
    shutil.rmtree(root)
    for version, text in (("v1", "one"), ("v2", "two")):
        shutil.copytree(root.parent / "exports" / text, root / version)
    (root / "latest").symlink_to(root / "v2")


CASES = {
    "push": Case(("push", "exports/four", "--no-load"), frozenset({"v2"})),
    "push and promote": Case(("push", "exports/four", "--no-load", "--promote"), frozenset({"v2", "v4"})),
    "golden push": Case(("push", "exports/four", "--no-load", "--golden", "golden.json"), frozenset({"v2"}), requests),
    "golden cleanup": Case(("cleanup", *AGELESS), frozenset({"v2"}), carried, sample=3),
    "cleanup of what is kept": Case(("cleanup", *AGELESS), frozenset({"v2"}), kept),
    "remove of what is kept": Case(("remove", "v1"), frozenset({"v2"}), kept),
    "promote": Case(("promote", "v3"), frozenset({"v2", "v3"})),
    "first promote": Case(("promote", "v3", "--channel", "canary"), frozenset({"v2"}), sample=100),
    "rollback": Case(("rollback",), frozenset({"v2", "v1"})),
    "cleanup": Case(("cleanup", *AGELESS), frozenset({"v2"})),
    "export": Case(("export", "v1", "copy"), frozenset({"v2"}), sample=3),
    "remove": Case(("remove", "v1", "v3"), frozenset({"v2"})),
    "channel remove": Case(("channel", "remove", "blue"), frozenset({"v2"}), blue),
    "annotate": Case(("annotate", "v1", "--label", "a=b"), frozenset({"v2"})),
    "pin": Case(("pin", "v1"), frozenset({"v2"})),
    "unpin": Case(("unpin", "v1"), frozenset({"v2"}), pinned),
    "repair": Case(("verify", "--repair"), frozenset({"v2"}), harm),
}

#: What makes a repository of what is none yet.
FOUNDINGS = {
    "init": Case(("init",), frozenset(), nothing),
    "adopt": Case(("init", "--adopt"), frozenset({"v2"}), foreign),
}


def lasting() -> Path:
    """An empty directory that goes when this process ends."""
    place = Path(tempfile.mkdtemp(prefix="modelrepo-crash-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def build(place: Path) -> None:
    """A repository `ranker` with v1 to v3, latest at v2, and five exports beside it."""
    repository = Repository(place / "ranker")
    repository.init()
    for text in ("one", "two", "three", "four", "five"):
        source = place / "exports" / text
        shutil.copytree(SAMPLES / "tf1_linear", source)
        (source / "note.txt").write_text(text)
        if text in {"one", "two", "three"}:
            repository.push(source, load=False)
    repository.promote("v1")
    repository.promote("v2")
