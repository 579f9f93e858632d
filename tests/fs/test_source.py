"""Looking at a source: what is listed, what is refused, and that all problems are named."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo.core.contents import MAX_LEVELS, content_digest, name_problem
from modelrepo.errors import SourceError
from modelrepo.fs import copying, source
from modelrepo.fs.source import look


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The smallest thing that looks like a SavedModel."""
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"graph")
    return tmp_path / "export"


def problem(top: Path, *, follow_links: bool = False, links_into: tuple[Path, ...] = ()) -> str:
    with pytest.raises(SourceError) as caught:
        look(top, follow_links=follow_links, links_into=links_into)
    assert caught.value.kind == "source-unstorable"
    assert caught.value.message.isprintable()
    return caught.value.message


def test_everything_is_listed_by_the_bytes_of_its_path(top: Path) -> None:
    for path in ("variables/variables.index", "variables.x", "assets.extra/deep/er/a", "\u00e9", "z", "-x", ".hidden"):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(b"1234")
    (top / "assets").mkdir()
    listing = look(top)
    paths = [file.path for file in listing.files]
    assert paths == sorted(paths, key=str.encode)
    assert set(paths) == {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    assert listing.directories == ("assets", "assets.extra", "assets.extra/deep", "assets.extra/deep/er", "variables")
    assert listing.size == 5 + 7 * 4


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["saved_model.pb"], "pb"),
        (["saved_model.pbtxt"], "pbtxt"),
        (["saved_model.cpb"], "cpb"),
        (["saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"], "pb"),
    ],
)
def test_the_model_format_is_what_tensorflow_would_read(tmp_path: Path, names: list[str], kind: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert look(tmp_path).model_format == kind


@pytest.mark.parametrize(
    ("paths", "got"),
    [((), "an empty directory"), (("a", "b/saved_model.pb"), "a, b"), (tuple("abcdefg"), "a, b, c, d, e, …")],
)
def test_what_is_no_savedmodel_is_refused_with_what_is_there(tmp_path: Path, paths: tuple[str, ...], got: str) -> None:
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(SourceError) as caught:
        look(tmp_path)
    assert (caught.value.kind, caught.value.got) == ("not-a-savedmodel", got)


def make_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make devices")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a pipe"),
        (make_socket, "is a socket"),
        (make_device, "is a device"),
        (lambda path: path.symlink_to("saved_model.pb"), "is a symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "is a symbolic link"),
    ],
)
def test_what_is_neither_file_nor_directory_is_refused(top: Path, make: Callable[[Path], None], words: str) -> None:
    make(top / "odd")
    assert f"'odd' {words}" in problem(top)


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")])
def test_following_links_lets_no_pipe_socket_or_device_in(top: Path, make: Callable[[Path], None]) -> None:
    make(top / "odd")
    assert "'odd' is a" in problem(top, follow_links=True, links_into=(Path("/dev"),))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"caf\xe9", "is not valid UTF-8"),
        (b"a\nb", "holds control characters"),
        (b"\x1b[31m", "holds control characters"),
        (b"x" * 201, "is longer than 200 bytes"),
        ("\u00e9".encode() * 101, "is longer than 200 bytes"),
    ],
)
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_name_that_not_every_tool_can_handle_is_refused(
    top: Path, name: bytes, words: str, make: Callable[[bytes], None]
) -> None:
    make(os.fsencode(top) + b"/" + name)
    assert words in problem(top)


def test_a_manifest_at_the_top_is_listed_apart_and_one_below_is_a_file(top: Path) -> None:
    (top / "below").mkdir()
    (top / "below" / "manifest.json").touch()
    assert look(top).manifest is None
    (top / "manifest.json").touch()
    listing = look(top)
    assert listing.manifest is not None
    assert listing.manifest.path == "manifest.json"
    paths = {file.path for file in listing.files}
    assert "below/manifest.json" in paths
    assert "manifest.json" not in paths


def test_what_has_the_manifests_name_and_is_no_file_is_refused(top: Path) -> None:
    (top / "manifest.json").symlink_to("saved_model.pb")
    assert "'manifest.json' is a name that modelrepo keeps for itself" in problem(top)
    assert "'manifest.json' is a name that modelrepo keeps for itself" in problem(top, follow_links=True)


@pytest.mark.parametrize("place", [".modelrepo", "below/.modelrepo"])
def test_a_repository_inside_a_source_is_refused(top: Path, place: str) -> None:
    (top / place).mkdir(parents=True)
    assert f"{place!r} is a name that modelrepo keeps for itself" in problem(top)


def test_all_problems_are_collected_and_five_of_them_named(top: Path) -> None:
    for number in range(7):
        os.mkfifo(top / f"pipe{number}")
    message = problem(top)
    assert len(re.findall(r"'pipe\d' is a pipe", message)) == 5
    assert message.endswith("; and 2 more")


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("directories", [False, True])
def test_files_and_directories_are_bounded(
    top: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    directories: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(source, "MAX_FILES", 4)
    for number in range(count + directories):
        (top / f"d{number}").mkdir() if directories else (top / f"f{number}").touch()
    if count == 3:
        look(top)
    else:
        assert "more than 4 files or directories" in problem(top)


def test_a_scan_stops_soon_after_the_bound(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links into a directory above multiply: the scan must not walk them all."""
    monkeypatch.setattr(source, "MAX_FILES", 200)
    for level in range(12):
        (top / f"l{level}").mkdir()
        for way in "abcdefgh":
            if level < 11:
                (top / f"l{level}" / way).symlink_to(f"../l{level + 1}", target_is_directory=True)
    assert "more than 200 files or directories" in problem(top, follow_links=True)


@pytest.mark.parametrize("levels", [MAX_LEVELS, MAX_LEVELS + 1])
def test_a_file_may_stand_32_levels_deep_and_no_deeper(top: Path, levels: int) -> None:
    place = top.joinpath(*["d"] * (levels - 1))
    place.mkdir(parents=True)
    (place / "file").touch()
    if levels == MAX_LEVELS:
        assert "d/" * 31 + "file" in {file.path for file in look(top).files}
    else:
        assert "is more than 32 levels deep" in problem(top)


def test_names_within_the_bounds_whose_path_no_call_can_take_are_refused_as_a_source(top: Path) -> None:
    """32 levels of 200 bytes are more than the 4,096 bytes of a path."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("x" * 200, dir_fd=here)
        below = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        problem(top)
    finally:
        subprocess.run(["rm", "-r", "--", top], check=True)  # pytest cannot delete it either


def test_a_followed_link_is_listed_as_what_it_names(top: Path) -> None:
    (top / "assets").mkdir()
    (top / "assets" / "words").write_bytes(b"words")
    (top / "file link").symlink_to("assets/words")
    (top / "directory link").symlink_to("assets", target_is_directory=True)
    (top / "chain").symlink_to("file link")
    listing = look(top, follow_links=True)
    real = str(top / "assets" / "words")
    followed = {file.path: file.real for file in listing.files if file.path != "saved_model.pb"}
    assert followed == dict.fromkeys(("assets/words", "file link", "directory link/words", "chain"), real)
    assert listing.directories == ("assets", "directory link")


@pytest.mark.parametrize("target", ["..", "/etc", "../export2/file", "/etc/passwd", "../export2"])
def test_a_followed_link_may_not_lead_out(top: Path, target: str) -> None:
    """Not into a directory either whose name only begins like the source's."""
    (top.parent / "export2").mkdir()
    (top.parent / "export2" / "file").touch()
    (top / "link").symlink_to(target)
    assert "'link' is a symbolic link that leads out" in problem(top, follow_links=True)


def test_a_link_may_lead_into_an_allowed_directory_and_not_further(top: Path) -> None:
    blobs = top.parent / "blobs"
    blobs.mkdir()
    (blobs / "abc").write_bytes(b"blob")
    (top.parent / "secret").write_bytes(b"secret")
    (top / "weights").symlink_to("../blobs/abc")
    assert [file.real for file in look(top, links_into=[blobs]).files][-1] == str(blobs / "abc")
    (blobs / "escape").symlink_to("../secret")
    (top / "all").symlink_to(blobs, target_is_directory=True)
    assert "'all/escape' is a symbolic link that leads out" in problem(top, links_into=(blobs,))


def test_an_allowed_directory_may_itself_be_named_by_a_link(top: Path) -> None:
    blobs = top.parent / "blobs"
    blobs.mkdir()
    (blobs / "abc").touch()
    (top.parent / "cache").symlink_to("blobs")
    (top / "weights").symlink_to("../cache/abc")
    assert {file.path for file in look(top, links_into=[top.parent / "cache"]).files} == {"saved_model.pb", "weights"}


@pytest.mark.parametrize("target", [".", "..", "../b"])
def test_a_cycle_of_followed_links_is_refused(top: Path, target: str) -> None:
    (top / "a").mkdir()
    (top / "b").mkdir()
    (top / "a" / "link").symlink_to(target)
    (top / "b" / "link").symlink_to("../a")
    assert "leads back into itself" in problem(top, follow_links=True)


def test_a_link_to_itself_leads_nowhere(top: Path) -> None:
    (top / "loop").symlink_to("loop")
    (top / "gone").symlink_to("gone/below")
    assert problem(top, follow_links=True).count("leads nowhere") == 2


def test_a_file_that_goes_away_during_the_look_is_a_changed_source(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / "temporary").touch()

    def vanish(name: str) -> str | None:
        if name == "temporary":
            (top / name).unlink()
        return name_problem(name)

    monkeypatch.setattr("modelrepo.fs.source.name_problem", vanish)
    with pytest.raises(SourceError):
        look(top)


def test_what_is_listed_has_the_digest_that_the_shell_prints_or_is_refused(top: Path) -> None:
    """`sha256sum -- -` reads its standard input, so a file of that name at the top has no digest in the shell."""
    (top / "-").write_bytes(b"dash")
    try:
        listing = look(top)
    except SourceError:
        return
    (top.parent / "copy").mkdir()
    entries = copying.copy(listing, top.parent / "copy")
    pipeline = r"find . -type f ! -path ./manifest.json -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum --"
    done = subprocess.run(["sh", "-c", f"{pipeline} | sha256sum"], cwd=top, check=True, capture_output=True, text=True)
    assert content_digest(entries) == f"sha256:{done.stdout.split()[0]}"


def test_a_source_that_is_missing_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "missing")
