"""Writers and readers of one repository at once: nobody sees a mixture, nobody loses a record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from modelrepo import Repository
from modelrepo.core.records import chain_damage, parse_journal

SAMPLES = Path(__file__).parents[2] / "sample_models"

WRITER = """\
import json, random, shutil, sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from modelrepo import Repository
from modelrepo.errors import BusyError, NotFoundError, RefusedError

root, samples, place = map(Path, sys.argv[1:4])
seed, count = sys.argv[4], int(sys.argv[5])
chance = random.Random(seed)
repository = Repository(root)
done = Counter()

def push(number):
    source = place / f"{seed}-{number}"
    shutil.copytree(samples / "tf1_linear", source)
    (source / "note.txt").write_text(source.name if chance.random() < 0.7 else "common")
    repository.push(source, load=False, promote=chance.random() < 0.3, allow_breaking=True)

def some():
    return f"v{chance.choice(repository.list()).version.number}"

for number in range(count):
    what = chance.choice(["push", "promote", "promote", "rollback", "pin", "unpin", "cleanup", "repair"])
    channel = chance.choice(["latest", "latest", "canary"])
    try:
        match what:
            case "push": push(number)
            case "promote": repository.promote(some(), channel=channel)
            case "rollback": repository.rollback(channel=channel)
            case "pin": repository.pin(some())
            case "unpin": repository.unpin(some())
            case "cleanup": repository.cleanup(
                keep_last=3, keep_rollback=1, min_age=timedelta(0), grace=timedelta(0)
            )
            case "repair": repository.verify(repair=True, quick=True)
    except (BusyError, NotFoundError, RefusedError) as error:
        done[type(error).__name__] += 1
    else:
        done[what] += 1
print(json.dumps(done))
"""

READER = """\
import fcntl, hashlib, json, os, sys, time
from collections import Counter
from pathlib import Path
from modelrepo import Repository
from modelrepo.errors import NotFoundError

root, stop = Path(sys.argv[1]), Path(sys.argv[2])
repository = Repository(root)
done = Counter()

def read(path):
    # A lease as DESIGN says: hold the directory, look whether it is still the one, read relative to it.
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(directory).st_ino != os.stat(path).st_ino:
            return False
        manifest = json.loads(Path(f"/proc/self/fd/{directory}/manifest.json").read_bytes())
        assert manifest["version"] == os.path.basename(path), path
        for entry in manifest["files"]:
            data = Path(f"/proc/self/fd/{directory}/{entry['path']}").read_bytes()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == entry["digest"], (path, entry["path"])
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(directory)

def view(channel):
    # What TensorFlow Serving does: it lists, and loads what it finds.
    place = root / "serving" / channel
    names = os.listdir(place)
    assert names, f"{channel}: an empty view unloads the model"
    for name in names:
        if not (place / name / "saved_model.pb").exists():
            time.sleep(0.05)  # it may have left the view since the listing
            gone = name not in os.listdir(place)
            assert gone or (place / name / "saved_model.pb").exists(), f"{channel}/{name} dangles"
    done["view"] += 1

while not stop.exists():
    target = os.path.realpath(root / "latest")
    assert os.path.basename(target).startswith("v"), target
    view("latest")
    status = repository.status()
    bad = [problem for problem in status.problems if not problem.note]
    assert not bad, bad
    rows = repository.list()
    assert all(row.problem is None for row in rows), rows
    for ref in ("latest", "latest~1", "newest"):
        try:
            if read(repository.path(ref).path):
                done["read"] += 1
        except NotFoundError:
            pass
    numbers = [entry.seq for entry in repository.history()]
    assert numbers == sorted(set(numbers), reverse=True)
    done["round"] += 1
print(json.dumps(done))
"""


def start(script: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_four_writers_and_two_readers_agree(tmp_path: Path) -> None:
    """Every outcome is allowed or done; readers only ever see whole versions; no record is lost."""
    root, stop = tmp_path / "ranker", tmp_path / "stop"
    repository = Repository(root)
    repository.init()
    repository.push(SAMPLES / "tf1_linear", load=False, promote=True)
    readers = [start(READER, root, stop) for _ in range(2)]
    writers = [start(WRITER, root, SAMPLES, tmp_path / "exports", seed, 30) for seed in range(4)]
    said = [process.communicate(timeout=120) for process in writers]
    stop.touch()
    heard = [process.communicate(timeout=120) for process in readers]
    assert [(process.returncode, err) for process, (_, err) in zip(writers, said, strict=True)] == [(0, "")] * 4
    assert [(process.returncode, err) for process, (_, err) in zip(readers, heard, strict=True)] == [(0, "")] * 2
    for out, _ in heard:
        counts = json.loads(out)
        assert min(counts["read"], counts["round"], counts["view"]) >= 3, counts
    total: dict[str, int] = {}
    for out, _ in said:
        for name, count in json.loads(out).items():
            total[name] = total.get(name, 0) + count
    assert sum(total.values()) == 4 * 30
    assert {"push", "promote", "rollback", "cleanup"} <= set(total), total

    result = repository.verify()
    assert result.ok, result.findings
    parsed = parse_journal((root / ".modelrepo" / "journal.jsonl").read_bytes())
    assert parsed.damage is None
    assert chain_damage(parsed.lines) is None
    assert [line.record.seq for line in parsed.lines] == list(range(1, len(parsed.lines) + 1))
    entries = [line.record for line in parsed.lines if line.record.phase == "done"]
    assert "external" not in {entry.action for entry in entries}
    assert not [line for line in parsed.lines if line.record.recovered]
    pushed = [entry.version.number for entry in entries if entry.action == "push" and entry.version]
    assert pushed == sorted(set(pushed))
    for channel in ("latest", "canary"):  # each move begins where the one before ended
        moves = [entry for entry in entries if entry.channel == channel]
        assert [move.origin for move in moves[1:]] == [move.to for move in moves[:-1]]
        if moves:
            assert os.readlink(root / channel) == str(moves[-1].to)
    repository.cleanup()
    assert os.listdir(root / ".modelrepo" / "staging") == os.listdir(root / ".modelrepo" / "trash") == []


def test_pushes_of_the_same_content_at_once_make_one_version(tmp_path: Path) -> None:
    root = tmp_path / "ranker"
    Repository(root).init()
    words = [sys.executable, "-m", "modelrepo", "-q", "-r", str(root), "push", "--no-load"]
    both = [
        subprocess.Popen([*words, str(SAMPLES / "tf1_linear")], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert {process.communicate(timeout=60)[0] for process in both} == {"v1\n"}
    assert sorted(entry.action for entry in Repository(root).history()) == [
        "push",
        "push-again",
        "push-again",
        "push-again",
    ]
    assert Repository(root).verify().findings == ()


def test_a_promote_waits_for_a_promote_and_both_are_in_the_history(tmp_path: Path) -> None:
    root = tmp_path / "ranker"
    repository = Repository(root)
    repository.init()
    repository.push(SAMPLES / "tf1_linear", load=False)
    repository.push(SAMPLES / "vocabulary", load=False)
    program = [sys.executable, "-m", "modelrepo", "-r", str(root), "promote", "--allow-breaking"]
    running = [subprocess.Popen([*program, f"v{1 + number % 2}", "--channel", f"c{number}"]) for number in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert {entry.channel for entry in repository.history() if entry.action == "promote"} == {
        f"c{number}" for number in range(6)
    }
    assert repository.verify().findings == ()
