"""On a read-only mount, under another path, as a user without a name: everything that reads works and says the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

Container = Any
#: Where the repository stands in there, the program on it, and the user: as in conftest.py.
INSIDE = "/models/ranker"
PROGRAM = (sys.executable, "-m", "modelrepo", "--repo", INSIDE)
SOMEBODY = 54321

#: Follows what it is given and prints the digest of every file below.
_READ = """\
import hashlib, json, os, sys
read = {}
for place in sys.argv[1:]:
    read[place] = {}
    for directory, _, names in os.walk(os.path.realpath(place)):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                below = os.path.relpath(path, os.path.realpath(place))
                read[place][below] = hashlib.sha256(file.read()).hexdigest()
json.dump(read, sys.stdout)
"""

#: A model server's look at a base path: the children with a decimal name, the highest.
_HIGHEST = """\
import os, sys
for path in sys.argv[1:]:
    print(max((int(name) for name in os.listdir(path) if name.isdecimal()), default=None))
"""


def digests(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outside(repository: Repository, *words: str) -> Any:
    """What the program says about the repository where it really stands, told with the path inside."""
    program = [sys.executable, "-m", "modelrepo", "--repo", str(repository.root), *words]
    done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=120, cwd=repository.root)
    return json.loads(done.stdout.replace(str(repository.root), INSIDE))


def test_the_user_has_no_name_no_groups_and_may_not_write(container: Container) -> None:
    script = f"id -u; id -un; id -G; touch {INSIDE}/x; mkdir {INSIDE}/v1/x"
    done = container.run("sh", "-c", script)
    assert done.stdout.split() == [str(SOMEBODY)] * 3
    assert "cannot find name" in done.stderr
    assert done.stderr.count("Read-only file system") == 2


def test_channel_links_and_views_lead_to_whole_versions(live: Repository, container: Container) -> None:
    paths = [f"{INSIDE}/{path}" for path in ("serving/latest", "serving/canary")]
    assert container.run(sys.executable, "-c", _HIGHEST, *paths).stdout.split() == ["2", "3"]
    targets = {"latest": "v2", "canary": "v3", "serving/latest/2": "v2", "serving/canary/3": "v3"}
    done = container.run(sys.executable, "-c", _READ, *[f"{INSIDE}/{link}" for link in targets])
    expected = {f"{INSIDE}/{link}": digests(live.root / version) for link, version in targets.items()}
    assert json.loads(done.stdout) == expected
    assert len(expected[f"{INSIDE}/latest"]) > 3


@pytest.mark.parametrize(
    "words",
    [
        "list", "list --removed", "show v1", "show canary", "inspect latest", "inspect ./v1", "history",
        "history --channel latest", "status", "status --check", "path latest", "path latest~1", "verify --quick",
        "verify", "verify v1", "channel list", "cleanup --dry-run", f"serving-config --base-path {INSIDE}",
    ],
)  # fmt: skip
def test_every_reading_command_says_what_it_says_outside(live: Repository, container: Container, words: str) -> None:
    done = container.run("env", "--chdir", INSIDE, *PROGRAM, "--json", *words.split())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    expected = outside(live, "--json", *words.split())
    for varying in ("free", "unseen"):
        if isinstance(told, dict) and varying in told:
            told[varying] = expected[varying] = None
    assert told == expected


def test_what_was_live_then_can_be_asked(live: Repository, container: Container) -> None:
    first = outside(live, "--json", "history", "--channel", "latest")[-1]["time"]
    done = container.modelrepo("--json", "history", "--at", first)
    assert json.loads(done.stdout)["channels"] == {"latest": "v1"}


def test_an_export_is_whole_and_the_users_own(live: Repository, container: Container) -> None:
    done = container.modelrepo("export", "latest", "/out/copy")
    assert done.returncode == 0, done.stderr
    assert digests(container.out / "copy") == digests(live.root / "v2")
    assert {path.lstat().st_uid for path in (container.out / "copy").rglob("*")} == {SOMEBODY}


def test_exec_runs_a_program_on_the_version(container: Container) -> None:
    done = container.modelrepo(
        "exec", "latest", "--", "sh", "-c", 'cat "$MODELREPO_PATH/assets.extra/note.txt"; echo " $MODELREPO_VERSION"'
    )
    assert (done.returncode, done.stdout) == (0, "two v2\n")


def test_words_are_completed(container: Container) -> None:
    line = f"modelrepo\n--repo\n{INSIDE}\npromote\n"
    asked = ("_MODELREPO_COMPLETE=complete_bash", f"COMP_WORDS={line}", "COMP_CWORD=4")
    done = container.run("env", *asked, sys.executable, "-m", "modelrepo")
    assert {"v1", "v2", "v3", "canary"} <= set(done.stdout.split())


def test_moves_made_outside_are_seen_at_once(live: Repository, container: Container) -> None:
    """By somebody in there who started before them, and has looked already."""
    look = f"readlink {INSIDE}/latest; ls {INSIDE}/serving/latest"
    child = container.start(f"({look}) >/dev/null; echo ready; while read line; do {look}; done")
    assert child.stdin is not None
    assert child.stdout is not None
    for move, number in (("promote v3", 3), ("rollback", 2), ("promote v1", 1)):
        outside(live, "--json", *move.split())
        child.stdin.write("look\n")
        child.stdin.flush()
        assert [child.stdout.readline(), child.stdout.readline()] == [f"v{number}\n", f"{number}\n"]
