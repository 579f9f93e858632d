"""What mounts and container engines do to a repository, as docs/serving.md tells it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelrepo import Repository

Container = Any
#: Where the repository stands in a container, as in conftest.py.
INSIDE = "/models/ranker"

#: Mounts a base path, a channel and a file on their own, and looks at them when told to.
_PARTS = f"""
cd /tmp && mkdir base latest && touch config
mount --bind {INSIDE}/serving/latest base
mount --bind {INSIDE}/latest latest
mount --bind /out/config config
echo ready
read line
cat config latest/assets.extra/note.txt {INSIDE}/latest/assets.extra/note.txt
ls base
test -e base/3 || echo dangles
"""


def test_only_the_whole_root_and_a_whole_directory_follow_what_changes(live: Repository, container: Container) -> None:
    """A base path alone dangles; a mounted channel or file stays at what it was."""
    (container.out / "config").write_text("old\n")
    child = container.start(_PARTS, user=0)
    live.promote("v3")
    (container.out / "config.new").write_text("new\n")
    (container.out / "config.new").rename(container.out / "config")
    assert child.communicate("look\n", timeout=60)[0] == "old\ntwothree3\ndangles\n"


def as_fsgroup(root: Path, group: int) -> None:
    """What the kubelet does with `fsGroup` to a volume that may be written (pkg/volume/volume_linux.go)."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            os.chown(path, -1, group)
            path.chmod(path.stat().st_mode & 0o7777 | (0o2770 if path.is_dir() else 0o660))


def test_what_fsgroup_does_to_modes_is_noted_harms_no_reader_and_can_be_mended(
    live: Repository, container: Container, run: Callable[..., Any]
) -> None:
    as_fsgroup(live.root, 2000)
    done = run("--json", "-r", live.root, "verify")
    assert done.code == 0
    assert {(finding["kind"], finding["note"]) for finding in done.json["findings"]} == {("mode", True)}
    assert run("-r", live.root, "status", "--check").code == 0
    assert container.run("cat", f"{INSIDE}/serving/latest/2/assets.extra/note.txt").stdout == "two"
    assert container.modelrepo("path", "latest").stdout == f"{INSIDE}/v2\n"
    assert run("-r", live.root, "promote", "v1").code == 0
    assert run("-r", live.root, "verify", "--repair").code == 0
    assert run("-r", live.root, "verify").code == 0
    modes = subprocess.run(["find", live.root / "v1", "-perm", "/022"], check=True, capture_output=True, text=True)
    assert modes.stdout == ""
