"""Which number a push gets: the next, above every one that was ever used, or the one that was asked for."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from modelrepo.core.history import State
from modelrepo.core.layout import Layout
from modelrepo.core.refs import MAX_NUMBER, Version
from modelrepo.errors import RefusedError
from modelrepo.fs import look

#: A foreign name this far above all others is refused, not followed.
_GAP = 1_000_000


def meant(same: AbstractSet[Version], wanted: int | None) -> Version:
    """Which of the versions with the same content a push means.

    Raises:
        RefusedError: It shall have a number that none of them has: hosts that agree on numbers would not agree.
    """
    if wanted is None or Version(wanted) in same:
        return max(same) if wanted is None else Version(wanted)
    raise RefusedError(
        f"{max(same)} has this content already, so it is not stored as v{wanted}",
        kind="content-elsewhere",
        expected=f"content that is new, or that v{wanted} has",
        got=f"the content of {', '.join(map(str, sorted(same)))}",
        hint="--allow-duplicate stores it a second time",
    )


def following(layout: Layout, state: State, wanted: int | None) -> Version:
    """The next number, above every one in a record or a name; or the wanted one, if it is above them too.

    Raises:
        RefusedError: The wanted number is spent; or a foreign name claims one that is absurdly high: taking the next
            would waste all between.
    """
    highest = max(0, *look.used_numbers(layout), state.highest)
    if wanted is not None:
        if wanted > highest:
            return Version(wanted)
        raise RefusedError(
            f"v{wanted} cannot be used: numbers only go up, and none is used twice",
            kind="number-spent",
            expected=f"a number above {highest}",
            got=wanted,
            hint=f"push it as v{highest + 1}, or without --number",
        )
    if highest > state.highest + _GAP or highest >= MAX_NUMBER:
        raise RefusedError(
            f"the next version would be v{highest + 1}, because something has the name v{highest}",
            kind="number-gap",
            expected=f"names near v{state.highest}",
            got=f"v{highest}",
            hint=f"move v{highest} away, if it is not modelrepo's",
        )
    return Version(highest + 1)
