"""What the machine knows: the time, the boot, the user."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelrepo.fs import machine


def test_now_is_now_in_utc_and_moves_on_within_one_boot() -> None:
    one = machine.now()
    time.sleep(0.02)
    other = machine.now()
    assert abs(one.time - datetime.now(UTC)) < timedelta(seconds=10)
    assert one.time.tzinfo is UTC
    assert one.boot == other.boot
    assert timedelta(milliseconds=15) < one.age(other) < timedelta(seconds=10)


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").exists(), reason="Linux only")
def test_the_boot_is_the_kernels() -> None:
    assert machine.now().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip() != ""


def test_the_actor_is_what_the_system_knows() -> None:
    actor = machine.actor()
    assert (actor.uid, actor.user) == (os.geteuid(), machine.user_name(os.geteuid()))
    assert actor.host == platform.node()
    assert actor.claims == {}


def test_a_user_without_a_name_is_a_number() -> None:
    assert machine.user_name(4_000_123_456) == "4000123456"
    assert machine.owner(4_000_123_456).user == "4000123456"


def test_what_the_environment_claims_stands_beside_and_never_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELREPO_ACTOR", "ci job 7 caf\u00e9")
    monkeypatch.setenv("SUDO_USER", "ada")
    actor = machine.actor()
    assert actor.claims == {"MODELREPO_ACTOR": "ci job 7 caf\u00e9", "SUDO_USER": "ada"}
    assert actor.user == machine.user_name(os.geteuid())


@pytest.mark.parametrize("value", ["", "\x1b[31m", "a\nb", "\udcff", "\u202e"])
def test_a_claim_that_would_act_on_a_terminal_is_left_out(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MODELREPO_ACTOR", value)
    assert machine.actor().claims == {}


def test_a_claim_is_cut_at_200_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELREPO_ACTOR", "x" * 5000)
    assert machine.actor().claims == {"MODELREPO_ACTOR": "x" * 200}
