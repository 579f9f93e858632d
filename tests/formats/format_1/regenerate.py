"""Makes `ranker/` beside this file: a small repository of format 1, by the program itself, with no trace of a machine.

Run it with `python tests/formats/format_1/regenerate.py` only while format 1 is not released: what is committed is what
every later program must open. Time, boot, user and host are invented; the ballast, which is random, is left out; git
keeps neither empty directories nor modes.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from modelrepo import Repository
from modelrepo.core.manifest import Origin
from modelrepo.core.moment import Moment
from modelrepo.core.values import Actor

HERE = Path(__file__).parent
MODEL = HERE.parents[2] / "sample_models" / "tf1_linear"


def moments() -> Moment:
    """A minute passes between any two looks at the clock."""
    passed = timedelta(minutes=next(_MINUTES))
    start = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
    return Moment(start + passed, "00000000-0000-4000-8000-000000000000", passed.total_seconds())


def origin(path: str, host: str) -> Origin:
    """Where a version came from, in words that fit every machine."""
    return Origin(path=f"/exports/{Path(path).name}", host=host)


def token(_: int) -> str:
    """What is random otherwise."""
    return f"{next(_TOKENS):016x}"


_MINUTES = itertools.count()
_TOKENS = itertools.count(1)


def live(repository: Repository, exports: Path) -> None:
    """A life that writes every action that format 1 knows, but a move by hand."""
    for text in ("one", "two", "three", "four"):
        source = exports / text
        shutil.copytree(MODEL, source)
        (source / "assets.extra").mkdir()
        (source / "assets.extra" / "note.txt").write_text(text)
        repository.push(source, load=False, message=f"number {text}", labels={"n": text}, metrics={"auc": 0.5})
    repository.promote("v1", reason="first")
    repository.promote("v2")
    repository.promote("v4")
    repository.promote("v4", channel="canary")
    repository.rollback(reason="slower")
    repository.push(exports / "four", load=False)
    repository.pin("v1", reason="audit")
    repository.pin("v2")
    repository.unpin("v2")
    repository.cleanup(keep_last=0, keep_rollback=1, min_age=timedelta(0), grace=timedelta(0))


def main() -> None:
    """Build it elsewhere, then put it here."""
    somebody = Actor(user="somebody", uid=1000, host="host.example")
    with (
        tempfile.TemporaryDirectory() as scratch,
        mock.patch("modelrepo.fs.machine.actor", return_value=somebody),
        mock.patch("modelrepo.fs.machine.now", moments),
        mock.patch("modelrepo.repository.pushing.Origin", origin),
        mock.patch("secrets.token_hex", token),
    ):
        repository = Repository(Path(scratch) / "ranker")
        repository.init()
        live(repository, Path(scratch) / "exports")
        shutil.rmtree(repository.root / ".modelrepo" / "ballast")
        for name in ("staging", "trash"):
            (repository.root / ".modelrepo" / name).rmdir()
        target = HERE / "ranker"
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(repository.root, target, symlinks=True)


if __name__ == "__main__":
    main()
