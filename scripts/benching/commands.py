"""What every command costs, as a whole process, beside a Typer program that does nothing; and with many versions."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benching.clock import PROGRAM, SAMPLES, Row, beside, call, modelrepo, rows

NOTHING = """
import typer
app = typer.Typer()
@app.command()
def main(name: str) -> None: pass
app()
"""
_FLOOR = "a Typer program that does nothing"


def moves(place: Path, runs: int) -> Iterator[Row]:
    """Promote, rollback and path of a small repository; and `--version`."""
    root, program = place / "moves", place / "nothing.py"
    program.write_text(NOTHING)
    call(modelrepo(root, "init"))
    for name in ("classifier_v1", "classifier_v2"):
        call(modelrepo(root, "push", str(SAMPLES / name), "--no-load"))
    call(modelrepo(root, "promote", "v1"))
    found = rows(
        [_FLOOR, "import typer", "modelrepo --version", "promote", "rollback", "path"],
        runs,
        {
            _FLOOR: lambda _: call([sys.executable, program, "x"]),
            "import typer": lambda _: call([sys.executable, "-c", "import typer"]),
            "modelrepo --version": lambda _: call([PROGRAM, "--version"]),
            "promote": lambda _: call(modelrepo(root, "promote", "v2")),
            "rollback": lambda _: call(modelrepo(root, "rollback")),
            "path": lambda _: call(modelrepo(root, "path", "latest")),
        },
    )
    yield beside(found["modelrepo --version"], found["import typer"])
    for name in ("promote", "rollback", "path"):
        yield beside(found[name], found[_FLOOR])


def grown(root: Path, versions: int, records: int) -> None:
    """Make a repository of many small versions whose files are the same, and a journal of pushes and promotes."""
    import hashlib
    import random

    from modelrepo import Repository, Version
    from modelrepo.core.layout import Layout
    from modelrepo.core.manifest import parse_manifest
    from modelrepo.core.records import Chain
    from modelrepo.fs import machine

    Repository(root).push(SAMPLES / "tf1_linear", init=True, load=False)
    layout, chain = Layout(root), Chain(machine.now(), machine.actor())
    first, at, chance = root / "v1", None, random.Random(1)
    manifest = parse_manifest(layout.manifest(Version(1)).read_bytes(), "v1")
    chain.add(phase="start")
    for version in map(Version, range(1, versions + 1)):
        raw = manifest.model_copy(update={"version": version}).to_bytes()
        if version != manifest.version:
            shutil.copytree(first, layout.version(version), copy_function=os.link)
            layout.manifest(version).unlink()
            layout.manifest(version).write_bytes(raw)
            layout.manifest(version).chmod(0o444)
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        facts = {"digest": manifest.digest, "size": manifest.size, "files": len(manifest.files)}
        chain.add(action="push", version=version, manifest_digest=digest, **facts)
    for number in range(versions + 2, records, 2):
        to = Version(chance.randint(1, versions))
        move = {"action": "promote", "channel": "latest", "origin": at, "to": to}
        chain.add(phase="intent", **move)
        chain.add(intent=number, **move)
        at = to
    layout.journal.write_bytes(chain.data)
    if at is not None:
        (root / "latest").symlink_to(str(at))
    call(modelrepo(root, "pin", "1"))  # which makes the index


def scale(place: Path, runs: int, versions: int, records: int) -> Iterator[Row]:
    """What is done every day, with many versions and records, beside 10 versions and 20 records."""
    small, large = place / "few", place / "many"
    grown(small, 10, 20)
    grown(large, versions, records)
    for command in ("path latest", "status", "promote {}", "rollback", "pin 2", "unpin 2", "list --limit 20"):

        def run(root: Path, number: int, command: str = command) -> None:
            call(modelrepo(root, *command.format(3 + number % 5).split()))

        name = f"{command.partition(' {')[0]}, {versions:,} versions"
        found = rows(["with 10", name], runs, {"with 10": lambda n: run(small, n), name: lambda n: run(large, n)})
        yield beside(found[name], found["with 10"])
    plan = "cleanup --dry-run --min-age 0s --grace 0s"
    for command in ("list", "list --json", "history --limit 20", "history", plan):
        name = f"{' '.join(command.split()[:2])}, {versions:,} versions"
        words = command.split()
        found = rows(
            ["modelrepo --version", name],
            min(runs, 5),
            {
                "modelrepo --version": lambda _: call([PROGRAM, "--version"]),
                name: lambda _, words=words: call(modelrepo(large, *words)),  # type: ignore[misc]
            },
        )
        yield beside(found[name], found["modelrepo --version"])
    (large / ".modelrepo" / "index").unlink()
    name = "path latest without the index"
    yield rows([name], 3, {name: lambda _: call(modelrepo(large, "path", "latest"))})[name]


def adoption(place: Path, versions: int) -> Iterator[Row]:
    """Taking over a hand-made tree of small versions, once."""
    root = place / "by-hand"
    first = root / "v1"
    shutil.copytree(SAMPLES / "tf1_linear", first)
    for number in range(2, versions + 1):
        shutil.copytree(first, root / f"v{number}", copy_function=os.link)
    name = f"init --adopt of {versions:,} small versions"
    yield rows([name], 1, {name: lambda _: call(modelrepo(root, "init", "--adopt"))})[name]
