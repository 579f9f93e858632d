"""Modes: what each repository gives, and what is wrong with another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.modes import FILE, PRIVATE, SHARED, Modes, is_fs_group

BITS = st.integers(0, 0o7777)
BOTH = pytest.mark.parametrize("modes", [PRIVATE, SHARED])


@BOTH
def test_what_is_given_is_right(modes: Modes) -> None:
    for right in (modes.directory, modes.private, modes.state, modes.lock, FILE):
        assert modes.fault(right, right) is None


@given(BITS, st.sampled_from([0o755, 0o700, 0o644, 0o600, FILE]))
def test_in_an_unshared_one_only_a_right_to_write_too_much_is_wrong(mode: int, right: int) -> None:
    assert (PRIVATE.fault(mode, right) is not None) == bool(mode & 0o222 & ~right)


@pytest.mark.parametrize(
    ("mode", "right"), [(0o755, 0o2775), (0o775, 0o2775), (0o2770 & ~0o010, 0o2770), (0o644, 0o664), (0o400, FILE)]
)
def test_in_a_shared_one_the_group_must_be_able_to_work(mode: int, right: int) -> None:
    assert SHARED.fault(mode, right) == "members of the group cannot work with it"


@pytest.mark.parametrize(("mode", "right"), [(0o2777, 0o2775), (0o666, 0o664), (0o662, 0o660), (0o464, FILE)])
def test_in_a_shared_one_others_must_not_write_nor_anybody_to_a_model(mode: int, right: int) -> None:
    assert SHARED.fault(mode, right) == "others may change it"


@BOTH
def test_the_modes_of_kubernetes_are_known_bit_by_bit(modes: Modes) -> None:
    for right, directory in ((modes.directory, True), (modes.private, True), (modes.state, False), (FILE, False)):
        left = right | (0o2770 if directory else 0o660)
        assert is_fs_group(left, right, directory=directory)
        assert not any(is_fs_group(left ^ 1 << bit, right, directory=directory) for bit in range(12))
