"""The program as scripts and people use it: options, root, exit codes, output."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Terminal = Callable[..., tuple[int, str]]


# Options and root


def test_options_stand_before_or_after_the_command(run: Run, root: Path) -> None:
    before = run("--repo", root, "--json", "path", "latest")
    after = run("path", "latest", "-r", root, "--json")
    mixed = run("-r", root, "path", "--json", "latest")
    assert before.json == after.json == mixed.json
    assert run("-q", "-r", root, "path", "v1").out == run("-r", root, "path", "v1", "-q").out == "v1\n"


def test_the_root_is_repo_then_environment_then_a_parent(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(root, tmp_path / "second", symlinks=True)
    third = tmp_path / "third"
    shutil.copytree(root, third, symlinks=True)

    def where(*words: object, **options: Any) -> str:
        done = run("status", "--json", *words, **options)
        assert done.code == 0, done.err
        return Path(done.json["repo"]).name

    environment = {"MODELREPO_REPO": str(tmp_path / "second")}
    assert where("--repo", root, env=environment, cwd=third) == "ranker"
    assert where(env=environment, cwd=third) == "second"
    assert where(cwd=third / "v1" / "variables") == "third"
    assert where(env={"MODELREPO_REPO": ""}, cwd=third) == "third"
    assert where("--repo", "ranker") == "ranker"
    done = run("status", cwd=tmp_path / "empty")
    assert done.code == 10
    assert "/models" in done.err


def test_the_last_repo_given_counts(run: Run, root: Path, tmp_path: Path) -> None:
    assert run("--repo", tmp_path / "nothing", "path", "v1", "--repo", root).code == 0


def test_help_is_there_for_everything(run: Run) -> None:
    import re

    top = run("-h")
    assert (top.code, top.err) == (0, "")
    assert top.out == run("--help").out
    words = [[name] for name in re.findall(r"^  ([a-z][a-z-]*)", top.out.partition("Commands:\n")[2], re.MULTILINE)]
    assert words.pop() == ["channel"]
    below = run("channel", "-h").out.partition("Commands:\n")[2]
    words += [["channel", name] for name in re.findall(r"^  ([a-z]+)", below, re.MULTILINE)]
    assert len(words) > 20
    for command in words:
        done = run(*command, "-h")
        assert (done.code, done.err) == (0, "")
        assert all(option in done.out for option in ("--repo", "--json", "--quiet"))
        assert max(map(len, done.out.splitlines())) <= 100


def test_the_version_is_said(run: Run) -> None:
    from modelrepo import __version__

    assert run("-V").out == run("--version").out == f"modelrepo {__version__}\n"


def test_quiet_prints_versions_only(run: Run, root: Path) -> None:
    assert run("-r", root, "-q", "list").out == "v3\nv2\nv1\n"
    assert run("-r", root, "-q", "push", "exports/four", "--no-load").out == "v4\n"
    assert run("-r", root, "-q", "promote", "v3").out == "v3\n"
    assert run("-r", root, "-q", "rollback").out == "v2\n"
    assert run("-r", root, "-q", "pin", "v1").out == "v1\n"
    done = run("-r", root, "-q", "cleanup", "--keep-last", 0, "--min-age", "0s", "--grace", "0s")
    assert done.out == "v3\nv4\n"


def test_verify_says_what_it_has_read(run: Run, root: Path) -> None:
    assert run("-r", root, "verify", "--quick").out.endswith(
        "3 versions checked, no bytes read: all is as it should be\n"
    )
    assert run("-r", root, "verify", "v1").out == "1 version checked: all is as it should be\n"
    again = run("-r", root, "verify", "--unchecked-for", "1d")
    assert again.out.endswith("3 versions checked, bytes of 2 read: all is as it should be\n")
    assert run("-r", root, "verify", "--unchecked-for", "1d", "--json").json["read"] == []
    both = run("-r", root, "verify", "--unchecked-for", "1d", "--quick", "--json")
    assert (both.code, both.json["error"]["kind"]) == (2, "options-exclude")


def test_cleanup_is_silent_where_it_did_nothing(run: Run, root: Path) -> None:
    done = run("-r", root, "cleanup")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_plan_says_below_each_version_who_holds_it(run: Run, terminal: Terminal, root: Path) -> None:
    """In a pipe each holder has one line; on a terminal it is folded to the width."""
    words = ["sh", "-c", 'exec 3< "$0/v1/saved_model.pb"; echo ready; read line', str(root), *["word" * 5] * 5]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        plan = run("-r", root, "cleanup", "--dry-run", "--json").json
        piped = run("-r", root, "cleanup", "--dry-run").out.splitlines()
        code, shown = terminal("-r", root, "cleanup", "--dry-run")
        holder.communicate("\n")
    ((who,),) = [kept["by"] for kept in plan["kept"] if kept["version"] == "v1"]
    assert who.startswith(f"process {holder.pid} (sh -c exec 3< ")
    assert piped[piped.index(f"        {who}") - 1].startswith("keep    v1  (")
    assert code == 0
    lines = shown.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"        process {holder.pid} (sh"))
    assert lines[first - 1].startswith("keep    v1  (")
    assert lines[first + 1].startswith("          ")
    assert max(map(len, lines)) <= 80


def test_path_is_ready_for_a_shell(run: Run, root: Path) -> None:
    assert run("-r", root, "path", "latest").out == f"{root}/v2\n"


def test_push_can_make_the_repository(run: Run, tmp_path: Path, samples: Path) -> None:
    words = ("push", samples / "tf1_linear", "--no-load", "--repo", tmp_path / "new")
    assert run(*words).code == 10
    assert run(*words, "--init").code == 0
    assert run("-r", tmp_path / "new", "path", "v1").code == 0


def test_a_name_that_is_a_directory_here_is_answered_with_did_you_mean(run: Run, root: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "exports" / "one", tmp_path / "export")
    shutil.copytree(tmp_path / "exports" / "one", tmp_path / "Export-2")
    for name in ("export", "Export-2"):
        done = run("-r", root, "inspect", name)
        assert done.code in {2, 3}
        assert f"did you mean ./{name}?" in done.err
    assert run("-r", root, "inspect", "./export").code == 0


# Exit codes


def test_a_breaking_promote_is_4_and_says_what_breaks(run: Run, tmp_path: Path, samples: Path) -> None:
    words = ("-r", tmp_path / "r", "push", "--no-load")
    run(*words, "--init", "--promote", samples / "classifier_v1")
    run(*words, samples / "renamed_input")
    done = run("-r", tmp_path / "r", "promote", "v2")
    assert done.code == 4
    assert "signature `serving_default`" in done.err
    assert "--allow-breaking" in done.err
    assert run("-r", tmp_path / "r", "promote", "v2", "--allow-breaking").code == 0


def test_no_repository_is_10(run: Run, tmp_path: Path) -> None:
    for command in ("status", "list", "history", "verify", "cleanup", "rollback"):
        assert run("-r", tmp_path / "nothing", command).code == 10
    assert run("-r", tmp_path, "init").code == 0


def test_a_directory_with_something_in_it_is_4(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert run("-r", tmp_path, "init").code == 4


def edit_config(root: Path) -> None:
    (root / ".modelrepo" / "config.toml").write_text("format = 1\nsurprise = 1\n")


def newer(root: Path) -> None:
    (root / ".modelrepo" / "config.toml").write_text("format = 2\n")


def half_deleted(root: Path) -> None:
    (root / ".modelrepo" / "config.toml").unlink()


def no_journal(root: Path) -> None:
    (root / ".modelrepo" / "journal.jsonl").unlink()


def edited_journal(root: Path) -> None:
    journal = root / ".modelrepo" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"reason":"first"', b'"reason":"FIRST"'))


def edited_manifest(root: Path) -> None:
    manifest = root / "v1" / "manifest.json"
    data = manifest.read_bytes()
    manifest.chmod(0o644)
    manifest.write_bytes(data.replace(b"number one", b"number two"))
    manifest.chmod(0o444)


def newer_manifest(root: Path) -> None:
    manifest = root / "v1" / "manifest.json"
    data = manifest.read_bytes()
    manifest.chmod(0o644)
    manifest.write_bytes(data.replace(b'"format": 1', b'"format": 2'))
    manifest.chmod(0o444)


def dangling(root: Path) -> None:
    (root / "latest").unlink()
    (root / "latest").symlink_to("v77")


@pytest.mark.parametrize(
    ("harm", "commands"),
    [
        (newer, ["status", "promote v1", "init", "push exports/four --no-load"]),
        (edit_config, ["status", "list", "cleanup"]),
        (half_deleted, ["status", "init", "push exports/four --no-load --init"]),
        (no_journal, ["status", "rollback", "verify"]),
        (edited_journal, ["history", "rollback", "verify", "cleanup", "status --check"]),
        (edited_manifest, ["show v1", "rollback", "promote v1", "verify"]),
        (newer_manifest, ["show v1", "verify"]),
        (dangling, ["path latest", "verify", "cleanup", "status --check"]),
    ],
)
def test_what_is_not_as_it_should_be_is_5(
    run: Run, root: Path, harm: Callable[[Path], None], commands: list[str]
) -> None:
    harm(root)
    for command in commands:
        done = run("-r", root, *command.split())
        assert done.code == 5, (command, done)
        assert done.err.startswith("modelrepo: ")


def test_a_model_that_tensorflow_cannot_load_is_6(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "exports" / "four" / "variables" / "variables.index").write_bytes(b"rubbish")
    done = run("-r", root, "push", "exports/four", "--json")
    assert done.code == 6
    assert done.json["error"]["kind"].startswith("model-")
    assert sorted(name for name in os.listdir(root) if name.startswith("v")) == ["v1", "v2", "v3"]
    assert os.listdir(root / ".modelrepo" / "staging") == []


def test_a_view_that_cannot_follow_is_7_with_its_facts(run: Run, root: Path) -> None:
    (root / "serving" / "canary").touch()
    done = run("-r", root, "promote", "v3", "--channel", "canary", "--json")
    assert done.code == 7
    assert (done.json["durable"], done.json["view"], done.json["recorded"]) == (True, False, True)
    assert (done.json["to"], done.json["changed"], done.json["error"]["code"]) == ("v3", True, 7)
    (root / "serving" / "canary").unlink()
    assert run("-r", root, "pin", "v1").code == 0
    assert os.listdir(root / "serving" / "canary") == ["3"]


def test_the_lock_held_by_another_process_is_11_naming_it(run: Run, root: Path) -> None:
    with (root / ".modelrepo" / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        began = time.monotonic()
        done = run("-r", root, "promote", "v3", "--lock-timeout", "0")
        assert done.code == 11
        assert f"process {os.getpid()}" in done.err
        assert run("-r", root, "cleanup").code == 11
        assert run("-r", root, "promote", "v3", env={"MODELREPO_LOCK_TIMEOUT": "0"}).code == 11
        assert time.monotonic() - began < 10
        assert run("-r", root, "status").code == 0


def test_a_reader_may_read_everything_and_write_nothing(
    as_nobody: Callable[..., subprocess.CompletedProcess[str]], root: Path, tmp_path: Path
) -> None:
    commands = ["list", "show v1", "history", "status", "path latest", "verify", "cleanup --dry-run"]
    for command in [*commands, "promote v3 --dry-run", "rollback --dry-run", "serving-config"]:
        done = as_nobody(root, *command.split())
        assert done.returncode == 0, (command, done.stderr)
    for command in ["promote v3", "rollback", "pin v1", "cleanup", "verify --repair", f"push {tmp_path}/exports/four"]:
        done = as_nobody(root, *command.split())
        assert done.returncode == 8, (command, done.stderr)
        assert "ermission denied" in done.stderr
    assert os.readlink(root / "latest") == "v2"
    assert as_nobody(tmp_path / "new", "init").returncode == 8
    (tmp_path / "exports" / "four" / "saved_model.pb").chmod(0)
    (tmp_path / "exports" / "four").chmod(0)
    assert as_nobody(root, "push", f"{tmp_path}/exports/four").returncode == 8


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_an_interrupted_push_leaves_nothing_behind(
    started: Callable[..., subprocess.Popen[str]], root: Path, tmp_path: Path, number: int, code: int, words: Any
) -> None:
    """It is stopped while TensorFlow starts in the child: the bytes are in staging by then."""
    staging = root / ".modelrepo" / "staging"
    journal = (root / ".modelrepo" / "journal.jsonl").read_bytes()
    child = started("-r", root, "push", tmp_path / "exports" / "four", *words)
    deadline = time.monotonic() + 30
    while not list(staging.glob("push-*/saved_model.pb")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in err
    assert ("interrupted" in err) or ("terminated" in err)
    assert bool(out) == bool(words)
    assert os.listdir(staging) == os.listdir(root / ".modelrepo" / "trash") == []
    assert sorted(name for name in os.listdir(root) if name.startswith("v")) == ["v1", "v2", "v3"]
    assert (root / ".modelrepo" / "journal.jsonl").read_bytes() == journal
    workers = [
        line
        for line in subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )
        if "savedmodel.worker" in line and str(child.pid) in line
    ]
    assert workers == []


# Output


def piped(root: Path, shell: str) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m modelrepo -r {root}"
    return subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", shell.replace("modelrepo", program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["list", "status --json", "show v1", "history", "--help"])
def test_a_reader_that_went_away_is_no_traceback(root: Path, command: str) -> None:
    done = piped(root, f"modelrepo {command} | head -0")
    assert done.stderr == ""


@pytest.mark.parametrize("where", [">/dev/full", ">&-", "2>&- >&-", ">/dev/full 2>&1"])
@pytest.mark.parametrize("command", ["list", "status --json", "path v9", "--help"])
def test_output_that_cannot_be_written_is_no_traceback(root: Path, where: str, command: str) -> None:
    done = piped(root, f"modelrepo {command} {where}")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "/dev/full" in where:
        assert done.returncode != 0


@pytest.fixture
def talkative(root: Path, tmp_path: Path) -> Path:
    """A repository with long texts, and with texts that would act on a terminal where that is possible."""
    from modelrepo import Repository

    repository = Repository(root)
    labels = {f"key{number}": "value" * 8 for number in range(6)}
    repository.push(
        tmp_path / "exports" / "four",
        load=False,
        message="a long message about nothing in particular, " * 5 + "end",
        labels=labels,
        metrics={"area_under_the_curve": 0.123456789},
        promote=True,
        reason="because " * 30 + "end",
    )
    repository.promote("v4", channel="a_channel_with_a_very_long_name_" + "x" * 30)
    (root / "foreign\x1b]0;owned\x07\x1b[31mred\nlatest -> v9").touch()
    (root / "Odd\x1b[2J").symlink_to("v1\x1b[2J")
    (root / "canary").symlink_to("v9\x1b[2J\u202e")
    return root


@pytest.mark.parametrize("command", ["list", "history", "status", "show v4", "verify", "inspect v1"])
def test_in_a_pipe_nothing_is_coloured_folded_or_cut(run: Run, talkative: Path, command: str) -> None:
    done = run("-r", talkative, *command.split(), env={"TERM": "xterm", "COLUMNS": "40", "FORCE_COLOR": "1"})
    assert "\x1b" not in done.out + done.err
    if command in {"list", "history"}:
        ends = [line for line in done.out.splitlines() if "end" in line]
        assert len(ends) == 1
        assert len(ends[0]) > 200
        assert "…" not in done.out


@pytest.mark.parametrize("command", ["list", "history", "status", "verify", "show v4", "cleanup --dry-run"])
def test_nothing_that_somebody_named_acts_on_a_terminal(terminal: Terminal, talkative: Path, command: str) -> None:
    _, text = terminal("-r", talkative, *command.split(), env={"NO_COLOR": "1"})
    for bad in ("\x1b]", "\x1b[31m", "\x1b[2J", "\x07", "\u202e"):
        assert bad not in text
    assert "latest -> v9" not in [line.strip().partition(":")[0] for line in text.split("\n")]


def plain(text: str) -> list[str]:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n")


@pytest.mark.parametrize("command", ["list", "history"])
def test_tables_keep_to_the_80_columns_of_a_terminal_and_cut_nothing(
    terminal: Terminal, talkative: Path, command: str
) -> None:
    code, text = terminal("-r", talkative, command)
    assert code == 0
    assert [line for line in plain(text) if len(line) > 80] == []
    assert "end" in text


def test_status_keeps_to_the_80_columns_of_a_terminal(terminal: Terminal, root: Path) -> None:
    """Of what has a length of its own: the root's path is as long as it is."""
    code, text = terminal("-r", root, "status")
    assert code == 0
    assert [line for line in plain(text.replace(str(root), "/models/ranker")) if len(line) > 80] == []


def test_no_color_is_honoured_and_a_terminal_has_some(terminal: Terminal, root: Path) -> None:
    assert "\x1b[" in terminal("-r", root, "list")[1]
    assert "\x1b[" not in terminal("-r", root, "list", env={"NO_COLOR": "1"})[1]


def test_complaints_say_what_expected_got_and_next(run: Run, root: Path) -> None:
    lines = run("-r", root, "promote", "V1").err.splitlines()
    assert lines[0] == "modelrepo: 'V1' is not a ref"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["expected", "got", "next"]
    assert lines[-1] == "  next: did you mean v1?"
    assert run("-r", root, "promote").err.endswith("next: `modelrepo promote --help` says what it takes\n")
    lines = run("-r", root, "rollback", "--steps", 5).err.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["modelrepo", "expected", "got", "next"]


def test_in_an_old_encoding_text_is_escaped_not_a_traceback(run: Run, root: Path) -> None:
    run("-r", root, "pin", "v1", "--reason", "très ✓")
    done = run("-r", root, "history", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.code == 0
    assert "tr\\xe8s" in done.out


def test_init_says_what_it_could_not_share_with_and_what_it_did_not_change(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("--repo", tmp_path / "new", "init", "--json")
    failed = run(*words, "--shared", "no-such-group")
    assert (failed.code, failed.json["error"]["kind"]) == (3, "group-missing")
    assert not (tmp_path / "new").exists()
    group = str(os.getegid())
    assert run(*words, "--shared", group).json["created"] is True
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o2775
    again = run(*words, "--shared", group, "--allow-network-fs")
    (warning,) = again.json["warnings"]
    assert (again.code, again.json["created"]) == (0, False)
    assert again.err == f"modelrepo: warning: {warning}\n"
