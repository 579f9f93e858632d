"""What the Tab key offers: through the real program, with what the shells set, and in the real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import modelrepo
from modelrepo import Repository

Run = Callable[..., Any]
Offer = Callable[..., Any]
#: Each part would be run, or be more than text, where a shell or Typer took it for code or markup; zsh runs the first.
NASTY = r"\$(touch ran) it's `touch ran` ; [/b] :smile:"


@pytest.fixture
def offer(run: Run) -> Offer:
    """Asks the program what could stand next, as a shell does; the last word is the one being typed."""

    def call(shell: str, *words: object, env: dict[str, str] | None = None, **options: Any) -> Any:
        line = ["modelrepo", *map(str, words)]
        asked = {
            "bash": {"COMP_WORDS": "\n".join(line), "COMP_CWORD": str(len(words))},
            "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(line)},
            "fish": {"_TYPER_COMPLETE_ARGS": " ".join(line), "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        }[shell]
        return run(env={"_MODELREPO_COMPLETE": f"complete_{shell}", **asked, **(env or {})}, **options)

    return call


@pytest.fixture
def bin_directory(tmp_path: Path) -> Path:
    """A directory for `PATH` that holds the program under its own name."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "modelrepo"
    top = Path(modelrepo.__file__).parents[1]
    program.write_text(f"#!/bin/sh\nPYTHONPATH='{top}' exec '{sys.executable}' -m modelrepo \"$@\"\n")
    program.chmod(0o755)
    return place


def script(shell: str, bin_directory: Path) -> Path:
    """What `--show-completion` prints in a shell, in a file."""
    place = bin_directory.parent / f"completion.{shell}"
    environment = {**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    # The true behind it keeps the shell from becoming the program, whose parent is what Typer looks at.
    words = [shell, "-c", "modelrepo --show-completion; true"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    assert "complete" in done.stdout
    place.write_text(done.stdout)
    return place


def names(done: Any) -> list[str]:
    assert (done.code, done.err) == (0, "")
    return [line.partition("\t")[0] for line in done.out.split("\n") if line]


# What is offered


def test_versions_come_newest_first_then_channels_then_newest(offer: Offer, root: Path) -> None:
    Repository(root).promote("v3", channel="canary")
    everything = ["v3", "v2", "v1", "canary", "latest", "newest"]
    for command in ("promote", "show", "path", "pin", "unpin", "inspect", "verify"):
        assert names(offer("bash", "-r", root, command, "")) == everything
    assert names(offer("bash", "-r", root, "rollback", "--to", "")) == everything
    assert names(offer("bash", "-r", root, "verify", "v1", "")) == everything
    assert names(offer("bash", "-r", root, "promote", "v")) == ["v3", "v2", "v1"]
    assert names(offer("bash", "-r", root, "promote", "la")) == ["latest"]
    assert names(offer("bash", "-r", root, "promote", "v9")) == []


def test_channel_names_are_offered_to_channel(offer: Offer, root: Path) -> None:
    Repository(root).promote("v3", channel="canary")
    for words in (("promote", "v1"), ("rollback",), ("history",), ("push", "./export")):
        assert names(offer("bash", "-r", root, *words, "--channel", "")) == ["canary", "latest"]


def test_a_channel_that_names_no_version_is_offered_too(offer: Offer, root: Path) -> None:
    (root / "canary").symlink_to("v9")
    assert "canary\tnames no version" in offer("fish", "-r", root, "rollback", "--channel", "").out.split("\n")


def test_dates_and_messages_are_the_help(offer: Offer, root: Path) -> None:
    lines = offer("fish", "-r", root, "promote", "").out.rstrip("\n").split("\n")
    assert re.fullmatch(r"v3\t\d{4}-\d\d-\d\d \d\d:\d\d  number three", lines[0])
    assert lines[-2:] == ["latest\tnames v2", "newest\tthe highest number"]
    assert '"v3":"' in offer("zsh", "-r", root, "promote", "").out


def test_commands_and_options_are_offered(offer: Offer, root: Path) -> None:
    assert names(offer("bash", "pro")) == ["promote"]
    assert {"init", "push", "rollback", "verify"} <= set(names(offer("bash", "")))
    assert names(offer("bash", "-r", root, "promote", "--allow")) == ["--allow-breaking"]
    # Each on one line, however long and in whatever terminal: a shell takes each line for an offer.
    for line in offer("fish", "promote", "--", env={"COLUMNS": "20"}).out.rstrip("\n").split("\n"):
        assert re.match(r"--[a-z-]+\t\S", line), line


def test_printing_the_version_waits_for_the_real_command(offer: Offer) -> None:
    assert "init" in names(offer("bash", "--version", ""))


# Which repository


@pytest.mark.parametrize(
    "words",
    [
        ("--repo", "ROOT", "promote", ""),
        ("promote", "-r", "ROOT", ""),
        ("promote", "--repo", "=", "ROOT", ""),  # as bash takes it apart
        ("--repo", "elsewhere", "promote", "--repo", "ROOT", "--reason", "x", ""),
    ],
)
def test_repo_on_the_line_counts(offer: Offer, root: Path, words: tuple[str, ...]) -> None:
    assert "v3" in names(offer("bash", *(str(root) if word == "ROOT" else word for word in words)))


def test_repo_is_read_as_the_shell_would(offer: Offer, root: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "WHERE": str(tmp_path)}
    for written in ("~/ranker", "$WHERE/ranker", '"$WHERE/ranker"'):
        assert "v3" in names(offer("bash", "-r", written, "promote", "", env=environment))
    spaced = tmp_path / "my models"
    root.rename(spaced)
    assert "v3" in names(offer("bash", "-r", f'"{spaced}"', "promote", ""))


def test_without_repo_the_environment_counts_then_the_working_directory(offer: Offer, root: Path) -> None:
    assert "v3" in names(offer("bash", "promote", "", env={"MODELREPO_REPO": str(root)}))
    assert "v3" in names(offer("bash", "promote", "", cwd=root / "v1"))


def test_a_value_behind_an_equals_sign_is_offered(offer: Offer, root: Path) -> None:
    for words in (("--channel", "=", "la"), ("--channel", "=")):
        assert names(offer("bash", "-r", root, "rollback", *words)) == ["latest"]
    assert names(offer("bash", "-r", root, "push", "--label", "a", "=", "b", "--channel", "")) == ["latest"]


def test_what_stands_behind_the_cursor_does_not_count(run: Run, root: Path) -> None:
    words = f"modelrepo\n-r\n{root}\npromote\n\n--dry-run"
    done = run(env={"_MODELREPO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"})
    assert names(done)[0] == "v3"


# Silence


def no_config(root: Path) -> None:
    (root / ".modelrepo" / "config.toml").unlink()


def newer(root: Path) -> None:
    (root / ".modelrepo" / "config.toml").write_text("format = 99\n")


def no_journal(root: Path) -> None:
    (root / ".modelrepo" / "journal.jsonl").unlink()


def nothing(root: Path) -> None:
    shutil.rmtree(root)


@pytest.mark.parametrize("spoil", [no_config, newer, no_journal, nothing])
def test_nothing_is_said_where_nothing_can_be_offered(offer: Offer, root: Path, spoil: Callable[[Path], None]) -> None:
    spoil(root)
    for words in (("promote", ""), ("rollback", "--channel", "")):
        assert names(offer("bash", "-r", root, *words)) == []
        assert names(offer("fish", "-r", root, *words)) == []
        done = offer("zsh", "-r", root, *words)
        assert (done.code, done.out, done.err) == (0, "_files\n", "")


def test_damage_in_places_takes_only_the_help_away(offer: Offer, root: Path) -> None:
    manifest = root / "v2" / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_text("{")
    journal = root / ".modelrepo" / "journal.jsonl"
    text = journal.read_text().rstrip("\0").splitlines(keepends=True)
    journal.write_text("".join([*text[:-1], "rubbish\n"]))
    done = offer("fish", "-r", root, "promote", "v")
    assert set(names(done)) >= {"v3", "v1"}
    assert "number three" in done.out


def test_a_root_that_can_be_none_is_silent(offer: Offer, tmp_path: Path) -> None:
    """A file, and a name that no file system takes."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / ("x" * 300)):
        assert names(offer("bash", "-r", place, "promote", "")) == []


def test_a_repository_that_may_not_be_read_is_silent(
    as_nobody: Callable[..., subprocess.CompletedProcess[str]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f"modelrepo\n-r\n{root}\npromote\n"
    asked = {"_MODELREPO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert "v3" in as_nobody(root).stdout.splitlines()
    (root / ".modelrepo" / "config.toml").chmod(0)
    done = as_nobody(root)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "asked",
    [
        {"_MODELREPO_COMPLETE": "complete_bash"},
        {"_MODELREPO_COMPLETE": "complete_bash", "COMP_WORDS": "modelrepo promote", "COMP_CWORD": "x"},
        {"_MODELREPO_COMPLETE": "complete_bash", "COMP_WORDS": "modelrepo 'unclosed", "COMP_CWORD": "9"},
        {"_MODELREPO_COMPLETE": "complete_zsh"},
    ],
)
def test_a_question_that_makes_no_sense_is_silent(run: Run, asked: dict[str, str]) -> None:
    done = run(env=asked)
    assert (done.code, done.err) == (0, "")


def test_fish_is_told_whether_there_is_anything(offer: Offer, root: Path, tmp_path: Path) -> None:
    """Its script asks first; where there is nothing, files are offered instead."""
    asked = {"_TYPER_COMPLETE_FISH_ACTION": "is-args"}
    assert offer("fish", "-r", root, "promote", "", env=asked).code == 0
    done = offer("fish", "-r", tmp_path, "promote", "", env=asked)
    assert (done.code, done.out, done.err) == (1, "", "")


# What somebody wrote into a message


@pytest.fixture
def nasty(root: Path, tmp_path: Path) -> Path:
    """A repository whose v4 has a message that is code to a shell, and markup."""
    Repository(root).push(str(tmp_path / "exports" / "four"), load=False, message=NASTY)
    return root


def test_a_message_is_only_text(offer: Offer, nasty: Path) -> None:
    assert names(offer("bash", "-r", nasty, "promote", "v4")) == ["v4"]
    for shell in ("zsh", "fish"):
        done = offer(shell, "-r", nasty, "promote", "v4")
        assert (done.code, done.err) == (0, "")
        assert "it·s ·touch ran·" in done.out
        assert not re.search(r"[`$\\]", done.out.replace(r"\\:", ":"))  # zsh's own way to write a colon


def test_an_old_encoding_takes_no_offer_away(offer: Offer, nasty: Path) -> None:
    assert names(offer("fish", "-r", nasty, "promote", "v4", env={"PYTHONIOENCODING": "ascii"})) == ["v4"]


# The real shells


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_itself_completes(nasty: Path, bin_directory: Path, tmp_path: Path) -> None:
    sourced = script("bash", bin_directory)
    ask = f"""
        PATH='{bin_directory}':$PATH
        . '{sourced}'
        ask() {{
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            "$(complete -p modelrepo | sed 's/.*-F \\([^ ]*\\).*/\\1/')" modelrepo
            echo "${{COMPREPLY[*]}}"
        }}
        ask modelrepo -r '{nasty}' promote ''
        ask modelrepo -r '{tmp_path}' promote ''
        cd '{nasty}'; ask modelrepo rollback --channel = la
    """
    done = subprocess.run(["bash", "-c", ask], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.stdout, done.stderr) == ("v4 v3 v2 v1 latest newest\n\nlatest\n", "")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_install_completion_is_all_that_bash_needs(root: Path, bin_directory: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}", "HOME": str(home)}
    for words in ("modelrepo --install-completion; true", '. "$HOME/.bashrc"; complete -p modelrepo'):
        done = subprocess.run(
            ["bash", "-c", words], check=True, capture_output=True, text=True, env=environment, cwd=root, timeout=60
        )
        assert done.stderr == ""
    assert done.stdout.startswith("complete -o default -F ")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_itself_completes(nasty: Path, bin_directory: Path, tmp_path: Path) -> None:
    sourced = script("fish", bin_directory)
    environment = {**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ask = f"source '{sourced}'; complete --do-complete 'modelrepo -r {nasty} promote '"
    words = ["fish", "--no-config", "-c", ask]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    offers = dict(line.partition("\t")[::2] for line in done.stdout.splitlines())
    assert offers.keys() == {"v4", "v3", "v2", "v1", "latest", "newest"}
    assert offers["v3"].endswith("number three")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_itself_completes(nasty: Path, bin_directory: Path, tmp_path: Path) -> None:
    """On a terminal: zsh completes nowhere else."""
    sourced = script("zsh", bin_directory)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ.update(PATH=f"{bin_directory}:{os.environ['PATH']}", TERM="dumb", HOME=str(tmp_path))
        os.execvp("zsh", ["zsh", "-f", "-i"])  # noqa: S606 - it is the shell
    try:
        seen = ""

        def until(pattern: str) -> None:
            nonlocal seen
            end = time.monotonic() + 60
            while not re.search(pattern, seen) and time.monotonic() < end:
                if select.select([terminal], [], [], 1)[0]:
                    seen += os.read(terminal, 65536).decode(errors="replace")
            assert re.search(pattern, seen), seen

        os.write(terminal, f"autoload -U compinit; compinit -D -u; . '{sourced}'; echo be''gin\n".encode())
        until(r"\bbegin\b")
        os.write(terminal, f"modelrepo -r {nasty} promote v\t".encode())
        for number in (1, 2, 3, 4):
            until(rf"v{number} +-- \d{{4}}-")
        until(r"number three")
        assert "it·s ·touch ran·" in seen
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
    assert not (tmp_path / "ran").exists()
