"""Room kept back for a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelrepo.fs import ballast


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A full ballast."""
    ballast.replenish(tmp_path / "ballast")
    return tmp_path / "ballast"


def held(directory: Path) -> int:
    """How many pieces hold their room."""
    return sum(file.stat().st_blocks * 512 >= 65536 for file in directory.iterdir())


def act(directory: Path, times: int, number: int = errno.ENOSPC) -> int:
    tries: list[int] = []

    def action() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise OSError(number, os.strerror(number))
        return "done"

    assert ballast.with_room(directory, action) == "done"
    return len(tries)


def test_the_ballast_is_16_private_files_of_64_kib_that_take_real_room(directory: Path) -> None:
    assert sorted(os.listdir(directory)) == [f"{number:02}" for number in range(16)]
    for file in directory.iterdir():
        status = file.stat()
        assert (status.st_size, status.st_mode & 0o777) == (65536, 0o600)
        assert status.st_blocks * 512 >= 65536
    assert len({file.read_bytes() for file in directory.iterdir()}) == 16


@pytest.mark.parametrize("times", [0, 1, 3, 16])
def test_each_failure_for_want_of_room_gives_up_one_piece(directory: Path, times: int) -> None:
    assert act(directory, times) == times + 1
    assert held(directory) == 16 - times


def test_when_all_is_given_up_the_failure_is_passed_on(directory: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        act(directory, 17)
    assert held(directory) == 0
    assert sorted(os.listdir(directory)) == [f"{number:02}" for number in range(16)], "each keeps its name"


def test_a_quota_counts_as_a_full_disk(directory: Path) -> None:
    assert act(directory, 1, errno.EDQUOT) == 2


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
def test_any_other_failure_costs_no_ballast(directory: Path, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        act(directory, 1, number)
    assert held(directory) == 16


def test_without_ballast_the_failure_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        act(tmp_path / "missing", 1)


def test_missing_pieces_are_made_again_and_the_others_left_alone(directory: Path) -> None:
    act(directory, 1)
    for name in ("00", "07"):
        (directory / name).unlink()
    kept = {file.name: file.stat().st_ino for file in directory.iterdir()}
    ballast.replenish(directory)
    now = {file.name: file.stat().st_ino for file in directory.iterdir()}
    assert held(directory) == len(now) == 16
    assert kept.items() <= now.items()


def test_no_piece_is_made_where_room_is_scarce(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act(directory, 3)
    monkeypatch.setattr(ballast, "room", lambda _path: (1024, 1024))
    ballast.replenish(directory)
    assert held(directory) == 13


def test_what_was_given_up_is_taken_back_as_far_as_there_is_room(directory: Path) -> None:
    act(directory, 3)
    ballast.take_back(directory)
    assert held(directory) == 16
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in directory.iterdir())
    (directory / "03").unlink()
    ballast.take_back(directory)
    assert "03" not in os.listdir(directory), "to make it anew takes more than its room: that waits for plenty"


def test_a_piece_with_another_name_is_only_unlinked(directory: Path, tmp_path: Path) -> None:
    """Who owns a repository may give somebody's file a name there, and root gives up a piece."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("14", "15"):
        (directory / name).unlink()
    os.link(victim, directory / "15")
    (directory / "14").symlink_to(victim)
    act(directory, 2)
    ballast.take_back(directory)
    assert victim.read_text() == "precious"
    assert "15" not in os.listdir(directory)


@pytest.mark.parametrize("place", ["a file", "a link to nowhere", "below a file"])
def test_replenishing_never_fails_whatever_stands_in_its_place(tmp_path: Path, place: str) -> None:
    directory = tmp_path / "ballast"
    if place == "a file":
        directory.touch()
    elif place == "a link to nowhere":
        directory.symlink_to("nowhere")
    else:
        directory.touch()
        directory /= "below"
    ballast.replenish(directory)


def test_a_full_disk_is_still_reported_as_a_full_disk_where_the_ballast_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "ballast").touch()
    with pytest.raises(OSError, match="No space left"):
        act(tmp_path / "ballast", 1)


@pytest.mark.parametrize("linked", ["ballast", "the directory above"])
def test_files_behind_a_link_are_no_ballast(tmp_path: Path, linked: str) -> None:
    """Who owns a repository may put a link there, and root gives up a piece."""
    victim = tmp_path / "victim"
    victim.mkdir()
    ballast.replenish(victim / "ballast")
    state = tmp_path / "state"
    if linked == "ballast":
        state.mkdir()
        (state / "ballast").symlink_to(victim / "ballast")
    else:
        state.symlink_to(victim)
    with pytest.raises(OSError, match="No space left"):
        act(state / "ballast", 1)
    assert held(victim / "ballast") == 16
    os.unlink(victim / "ballast" / "07")
    ballast.replenish(state / "ballast")
    assert len(os.listdir(victim / "ballast")) == 15, "nor are pieces made there"


def test_only_pieces_are_given_up(directory: Path) -> None:
    for name in ("zz", "16", "1", "007"):
        (directory / name).write_text("theirs")
    with pytest.raises(OSError, match="No space left"):
        act(directory, 17)
    assert {file.name for file in directory.iterdir() if file.stat().st_size} == {"007", "1", "16", "zz"}


def test_a_piece_that_somebody_wrote_to_is_cut_to_its_size(directory: Path) -> None:
    with (directory / "03").open("ab") as file:
        file.truncate(10 * ballast.PIECE_BYTES)
    ballast.replenish(directory)
    assert {file.stat().st_size for file in directory.iterdir()} == {ballast.PIECE_BYTES}
