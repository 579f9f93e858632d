"""The settings: what is unknown or wrong is an error, never a default."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta

import pytest

from modelrepo.core.config import (
    DEFAULT_TEXT,
    Access,
    Config,
    Gates,
    Retention,
    Storage,
    config_text,
    parse_config,
)
from modelrepo.core.modes import PRIVATE, SHARED
from modelrepo.errors import IntegrityError

WHERE = "/models/.modelrepo/config.toml"


def test_the_text_that_init_writes_holds_every_key_with_its_default() -> None:
    config = parse_config(DEFAULT_TEXT.encode(), WHERE)
    assert config == Config(format=1, retention=Retention(), gates=Gates(), access=Access(), storage=Storage())
    written = tomllib.loads(DEFAULT_TEXT)
    assert {key: set(value) for key, value in written.items() if key != "format"} == {
        "retention": set(vars(Retention())),
        "gates": set(vars(Gates())),
        "access": set(vars(Access())),
        "storage": set(vars(Storage())),
    }


def test_the_defaults_are_the_designs() -> None:
    assert Retention() == Retention(
        keep_last=5, keep_rollback=2, min_age=timedelta(hours=24), grace=timedelta(hours=24)
    )
    assert Gates() == Gates(breaking="refuse", require_load="warn")


def test_the_format_alone_is_a_configuration() -> None:
    assert parse_config(b"format = 1\n", WHERE) == Config(format=1)


def test_settings_are_read() -> None:
    text = b'format = 1\n[retention]\nkeep_last = 0\nkeep_rollback = 7\nmin_age = "2w"\ngrace = "0s"\n'
    text += b'[gates]\nbreaking = "off"'
    config = parse_config(text, WHERE)
    assert config.retention == Retention(keep_last=0, keep_rollback=7, min_age=timedelta(weeks=2), grace=timedelta(0))
    assert config.gates.breaking == "off"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("network_fs", [False, True])
def test_what_init_was_asked_for_is_what_it_writes(shared: bool, network_fs: bool) -> None:  # noqa: FBT001
    config = parse_config(config_text(shared=shared, network_fs=network_fs).encode(), WHERE)
    assert (config.access.shared, config.storage.network_fs) == (shared, network_fs)
    assert config.modes == (SHARED if shared else PRIVATE)


DAMAGED = {
    "no format": b"",
    "format as text": b'format = "1"',
    "format as a truth value": b"format = true",
    "format as a fraction": b"format = 1.0",
    "an older format": b"format = 0",
    "not TOML": b"format = ",
    "a key twice": b"format = 1\nformat = 1",
    "not UTF-8": b"format = 1 # caf\xe9",
    "a torn file": DEFAULT_TEXT.encode()[:100],
    "zeros": b"\0" * 100,
    "unknown section": b"format = 1\n[retentoin]\nkeep_last = 1",
    "unknown key": b"format = 1\n[retention]\nkeep_lats = 1",
    "unknown key at the top": b"format = 1\nkeep_last = 1",
    "a section that is a number": b"format = 1\nretention = 5",
    "negative count": b"format = 1\n[retention]\nkeep_last = -1",
    "no rollback target": b"format = 1\n[retention]\nkeep_rollback = 0",
    "a count as text": b'format = 1\n[retention]\nkeep_last = "5"',
    "a count as a truth value": b"format = 1\n[retention]\nkeep_last = true",
    "a count as a fraction": b"format = 1\n[retention]\nkeep_last = 5.0",
    "a duration without a unit": b'format = 1\n[retention]\nmin_age = "24"',
    "a duration as a number": b"format = 1\n[retention]\nmin_age = 24",
    "a negative duration": b"format = 1\n[retention]\nmin_age = -3.5",
    "a duration as a time": b"format = 1\n[retention]\ngrace = 01:00:00",
    "a duration beyond all bounds": b'format = 1\n[retention]\ngrace = "999999999w"',
    "shared as text": b'format = 1\n[access]\nshared = "true"',
    "shared as a group": b'format = 1\n[access]\nshared = "ml"',
    "a network as a number": b"format = 1\n[storage]\nnetwork_fs = 1",
    "an unknown gate": b'format = 1\n[gates]\nbreaking = "maybe"',
    "nested too deep": b"format = 1\nx = " + b"[" * 100_000,
    "a number beyond all bounds": b"format = 1\nx = " + b"9" * 5000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_configuration_that_is_damaged_or_says_something_else_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_config(data, WHERE)
    assert caught.value.kind == "config-damaged"
    assert WHERE in caught.value.message


@pytest.mark.parametrize(
    ("text", "key"),
    [("[retention]\nkeep_lats = 1", "retention.keep_lats"), ("keep_last = 1", "keep_last"), ("[acess]\n", "acess")],
)
def test_an_unknown_key_is_named_with_its_section(text: str, key: str) -> None:
    with pytest.raises(IntegrityError, match=f": {key}: unknown key$"):
        parse_config(f"format = 1\n{text}".encode(), WHERE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('format = "1"', "format: it is not 1"),
        ("format = 0", "format: it is not 1"),
        ("format = 1\nretention = 5", "retention: it has no keys"),
        ("format = 1\n[[gates]]", "gates: it has no keys"),
        ("format = 1\n[retention]\nkeep_rollback = 0", "retention.keep_rollback: it is no whole number from 1 on"),
        ("format = 1\n[storage]\nnetwork_fs = 1", "storage.network_fs: it is neither true nor false"),
        ('format = 1\n[retention]\nmin_age = "24"', "retention.min_age: '24' is not a duration"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(IntegrityError, match=f": {re.escape(problem)}$"):
        parse_config(text.encode(), WHERE)


def test_who_keeps_all_versions_may_say_so_in_any_number() -> None:
    assert parse_config(b"format = 1\n[retention]\nkeep_last = 99999999999999999999", WHERE).retention.keep_last > 2**63


@pytest.mark.parametrize("rest", [b"", b"\n[storage]\ndedup = 'reflink'"])
def test_a_newer_format_is_named_whatever_else_it_holds(rest: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_config(b"format = 2" + rest, WHERE)
    assert (caught.value.kind, caught.value.expected, caught.value.got) == ("newer-format", "format 1", "format 2")
