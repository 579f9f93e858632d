"""Names of versions: strict parsing, and round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.refs import (
    MAX_NUMBER,
    ChannelRef,
    DigestRef,
    NewestRef,
    NumberRef,
    Ref,
    Version,
    is_channel,
    looks_like_path,
    parse_channel,
    parse_ref,
)
from modelrepo.errors import RequestError

NUMBERS = st.integers(1, MAX_NUMBER)
CHANNELS = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True).filter(is_channel)
REFS: st.SearchStrategy[Ref] = st.one_of(
    NUMBERS.map(Version).map(NumberRef),
    st.builds(ChannelRef, CHANNELS, st.integers(0, 999_999)),
    st.just(NewestRef()),
    st.from_regex(r"sha256:[0-9a-f]{8,64}", fullmatch=True).map(DigestRef),
)
MALFORMED = [
    "",
    " ",
    "../x",
    "./v1",
    "/",
    "v0",
    "0",
    "v007",
    "007",
    "v-1",
    "-1",
    "+1",
    "1.0",
    "1_000",
    "v1 ",
    " v1",
    "v1\n",
    "1\n",
    "latest\n",
    "V1",
    "LATEST",
    "Latest",
    "la-test",
    "la.test",
    "1latest",
    "_latest",
    "serving",
    "serving~1",
    "newest~1",
    "NEWEST",
    "v1~1",
    "v3x~",
    "latest~",
    "latest~01",
    "latest~-1",
    "latest~+1",
    "latest~1~1",
    "latest~x",
    "latest~1000000",
    "latest^",
    "~1",
    "@",
    "sha256:",
    "sha256:0123456",
    "sha256:ABCDEF01",
    "sha256:0123456g",
    "sha256:" + "0" * 65,
    "sha512:" + "0" * 64,
    "v" + str(MAX_NUMBER + 1),
    str(MAX_NUMBER + 1),
    str(10**30),
    "v" + str(10**30),
    "9" * 5000,
    "v\u0661",
    "\u0661",
    "\u00b2",
    "v\uff11",
    "latest~\u0661",
    "\u0142atest",
    "la\u0442est",
    "a" * 65,
    "latest\x00",
    "v1\x00",
    "\udcff",
    "sha256:0123456\u0667",
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: ascii(text)[:30])
def test_a_malformed_ref_is_refused_and_never_guessed(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_ref(text)
    assert caught.value.kind == "ref-malformed"
    assert len(caught.value.message) < 1300
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()


@given(REFS)
def test_what_a_ref_writes_is_read_as_the_same_ref(ref: Ref) -> None:
    assert parse_ref(str(ref)) == ref


@given(NUMBERS)
def test_a_number_may_be_written_with_or_without_its_letter(number: int) -> None:
    assert parse_ref(str(number)) == parse_ref(f"v{number}") == NumberRef(Version(number))


@given(st.text(max_size=30))
def test_any_text_is_a_ref_or_a_request_error(text: str) -> None:
    try:
        ref = parse_ref(text)
    except RequestError:
        return
    assert parse_ref(str(ref)) == ref
    assert not looks_like_path(text)


def test_zero_rollbacks_back_is_the_channel_itself() -> None:
    assert parse_ref("latest~0") == ChannelRef("latest")
    assert str(parse_ref("latest~0")) == "latest"


def test_words_that_only_look_reserved_are_channels() -> None:
    assert parse_ref("vv1") == ChannelRef("vv1")
    assert parse_ref("v") == ChannelRef("v")
    assert parse_ref("v1a") == ChannelRef("v1a")
    assert parse_ref("serving2") == ChannelRef("serving2")
    assert parse_ref("newest_") == ChannelRef("newest_")


@given(NUMBERS.map(Version))
def test_a_version_is_read_from_the_name_that_it_writes(version: Version) -> None:
    assert Version.from_name(str(version)) == version


@pytest.mark.parametrize(
    "name", ["7", "v", "v0", "v01", "V7", "v7 ", "v7\n", "v\u0667", f"v{MAX_NUMBER + 1}", "", "v-7", "v1.5"]
)
def test_a_directory_of_any_other_name_is_no_version(name: str) -> None:
    assert Version.from_name(name) is None


def test_the_highest_version_is_the_highest_that_tensorflow_serving_can_read() -> None:
    assert Version.from_name("v9223372036854775807") == Version(2**63 - 1)


@given(NUMBERS, NUMBERS)
def test_versions_order_by_number_not_by_text(one: int, other: int) -> None:
    assert (Version(one) < Version(other)) == (one < other)


@given(CHANNELS)
def test_a_channel_name_is_accepted_as_it_is(name: str) -> None:
    assert parse_channel(name) == name


@pytest.mark.parametrize("name", ["serving", "newest", "v1", "v0", "v00012", "v" + "9" * 60])
def test_a_reserved_channel_is_refused_as_reserved(name: str) -> None:
    with pytest.raises(RequestError, match="reserved word") as caught:
        parse_channel(name)
    assert caught.value.kind == "channel-malformed"


@pytest.mark.parametrize("name", ["", "Canary", "1st", "a-b", "a.b", "a/b", "..", "a" * 65, "caf\u00e9", "a\n", "_a"])
def test_a_malformed_channel_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="not a channel name"):
        parse_channel(name)


def test_a_channel_name_has_up_to_64_characters() -> None:
    assert parse_channel("a" * 64) == "a" * 64


@pytest.mark.parametrize("text", ["./export", "/a", "a/b", ".", "..", "v7/"])
def test_a_slash_or_dots_make_a_path(text: str) -> None:
    assert looks_like_path(text)


@pytest.mark.parametrize("text", ["v7", "latest", "...", ".hidden", "export", "latest~1", ""])
def test_all_else_is_a_ref(text: str) -> None:
    assert not looks_like_path(text)
