"""The repository that hostile hands damage, what stands beside it, and the commands that are run on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from modelrepo import Repository

from .commands import AGELESS, SAMPLES, lasting
from .kept import keep

STATE = Path(".modelrepo")
#: A command for each that takes a root, but `predict` and `convert`, which load TensorFlow. `compare` reads and scans
#: both models, and the golden requests; then it ends at labels that are none, before it would load anything.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "list": ("list",),
    "list removed": ("list", "--removed"),
    "show": ("show", "v4"),
    "show removed": ("show", "v1"),
    "inspect": ("inspect", "latest"),
    "diff": ("diff", "v2", "v3"),
    "compare": ("compare", "v4", "v3", "--labels", "golden.json"),
    "history": ("history",),
    "status": ("status", "--check"),
    "path": ("path", "latest"),
    "verify": ("verify",),
    "channels": ("channel", "list"),
    "serving": ("serving-config",),
    "dry cleanup": ("cleanup", *AGELESS, "--dry-run"),
    "export": ("export", "v4", "copy"),
    "exec": ("exec", "latest", "--", "true"),
    "init": ("init",),
    "adopt": ("init", "--adopt"),
    "promote": ("promote", "v5"),
    "rollback": ("rollback",),
    "repair": ("verify", "--repair"),
    "pin": ("pin", "v2"),
    "unpin": ("unpin", "v5"),
    "annotate": ("annotate", "v2", "--label", "a=b"),
    "cleanup": ("cleanup", *AGELESS),
    "remove": ("remove", "v6"),
    "channel remove": ("channel", "remove", "canary"),
    "push": ("push", "exports/new", "--no-load"),
    "golden push": ("push", "exports/new", "--no-load", "--golden", "golden.json"),
    "push again": ("push", "exports/two", "--no-load"),
}
#: Those that only read, and ask for no lock; `init` changes nothing in a whole repository.
READING = tuple(COMMANDS)[: tuple(COMMANDS).index("promote")]
WRITING = tuple(name for name in COMMANDS if name not in READING)
#: How a command ends where nothing is wrong, if not with 0.
USUAL: Mapping[str, int] = {"compare": 2}
#: Those that may take versions out of sight.
DELETING = {"cleanup", "remove"}
TEXTS = ("one", "two", "three", "four", "five", "six")


@cache
def _template() -> Path:
    place = lasting()
    repository = Repository(place / "ranker")
    repository.init()
    for text in (*TEXTS, "new"):
        source = place / "exports" / text
        shutil.copytree(SAMPLES / "tf1_linear", source)
        (source / "note.txt").write_text(text)
    requests = {"requests": [{"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[4.75]]}}]}
    (place / "golden.json").write_text(json.dumps(requests))
    for text in TEXTS:
        golden = place / "golden.json" if text == "four" else None
        repository.push(place / "exports" / text, load=False, golden=golden)
    for version in ("v2", "v3"):
        repository.promote(version)
    repository.promote("v4", channel="canary")
    repository.pin("v5", reason="for ever")
    repository.annotate("v3", labels={"team": "search"})
    repository.remove(["v1"])
    keep(repository.root, "v4")
    outside = place / "outside"
    shutil.copytree(place / "exports" / "one", outside / "v7")
    shutil.copytree(place / "ranker" / STATE, outside / "state")
    shutil.copytree(place / "ranker" / "v3", outside / "v3")
    (outside / "file").write_text("not modelrepo's\n")
    (outside / "nothing").mkdir()
    return place


def golden_name() -> str:
    """The file of golden requests that v4 carries, below the root."""
    return str(STATE / "golden" / os.listdir(_template() / "ranker" / STATE / "golden")[0])


def derived_name() -> str:
    """What was made of v4 and is kept, below the root."""
    above = STATE / "derived" / "v4"
    return str(above / os.listdir(_template() / "ranker" / above)[0])


def set_up(place: Path) -> Path:
    """Copy the repository, and what stands beside it, into an empty directory; return the root."""
    shutil.copytree(_template(), place, symlinks=True, dirs_exist_ok=True)
    return place / "ranker"


def entries(directory: Path) -> Iterator[tuple[str, str, bytes]]:
    """Everything below a directory: its name, its kind and mode, its bytes or where it leads. Follows no link."""
    for above, names, files in os.walk(directory):
        for name in sorted([*names, *files]):
            path = Path(above, name)
            status = path.lstat()
            told = b""
            if path.is_symlink():
                told = os.fsencode(os.readlink(path))
            elif path.is_file():
                try:
                    told = path.read_bytes()
                except PermissionError:
                    told = b"unreadable"
            yield str(path.relative_to(directory)), f"{status.st_mode:o} {status.st_nlink}", told


def channels(root: Path) -> dict[str, str]:
    """Where the channels lead, of those whose link leads to a version."""
    found = {}
    for name in ("latest", "canary"):
        target = os.path.realpath(root / name)
        if (root / name).is_symlink() and os.path.isdir(target) and os.path.dirname(target) == str(root):
            found[name] = os.path.basename(target)
    return found


def versions(root: Path) -> dict[str, dict[str, bytes]]:
    """The bytes of every version that stands in the root, without manifests."""
    return {
        path.name: {
            name: told for name, kind, told in entries(path) if name != "manifest.json" and kind.startswith("10")
        }
        for path in sorted(root.glob("v*"))
        if path.is_dir() and not path.is_symlink()
    }
