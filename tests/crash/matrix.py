"""Damage × command: every way of harming a repository, and every command on it."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from . import damages, forged, histories, places
from .damages import Damage
from .judging import judge, look, unchanged
from .runner import runner
from .scene import COMMANDS, READING, WRITING, set_up
from .trials import Tally, Trial

#: Longer than any command takes, the patience for what looks doubtful included.
_SECONDS = 30.0


@cache
def everything() -> tuple[Damage, ...]:
    """All damage."""
    return (*damages.damages(), *places.damages(), *forged.damages(), *histories.damages())


def trial(damage: Damage, names: Sequence[str]) -> Trial:
    """Run commands on a damaged repository, in turn: any that read, and one that writes as the last."""

    def run(place: Path) -> Tally:
        root = set_up(place)
        damage.do(root)
        before = look(place)
        try:
            for name in names:
                words = ["-r", "ranker", *(["--json"] if name != "exec" else []), *COMMANDS[name]]
                ran = runner().run(place, words, seconds=_SECONDS)
                try:
                    judge(damage, name, place, before, ran)
                    if name in READING and name != "adopt":  # which takes over links, too
                        unchanged(place, before)
                        _clear_export(place)
                    elif name == "repair" and ran.code == 0:
                        again = runner().run(place, ["-r", "ranker", "verify", "--json"], seconds=_SECONDS)
                        assert again.code == 0, f"repaired, and not well: {again.out}"
                except AssertionError as error:
                    raise AssertionError(f"{damage.name}: {' '.join(COMMANDS[name])}: {error}") from error
        finally:
            for path in place.rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o700)
        return Tally(Counter({"commands on damaged repositories": len(names)}), {damage.name})

    return Trial(f"{damage.name}: {', '.join(names)}", run)


def _clear_export(place: Path) -> None:
    shutil.rmtree(place / "copy", ignore_errors=True)
    (place / "copy.golden.json").unlink(missing_ok=True)


def trials(generator: random.Random) -> Iterator[Trial]:
    """All damage with all commands, once."""
    every = [(damage, READING) for damage in everything()]
    every += [(damage, (name,)) for damage in everything() for name in WRITING]
    generator.shuffle(every)
    for damage, names in every:
        yield trial(damage, names)


def sample(generator: random.Random, most: int) -> list[Trial]:
    """Each kind of damage at least once, whatever it is done to, each with one command.

    Args:
        generator: Chooses.
        most: How often a kind, at most.
    """
    kinds = groupby(sorted(everything(), key=lambda damage: damage.kind), key=lambda damage: damage.kind)
    chosen = []
    for _, group in kinds:
        found = list(group)
        chosen += generator.sample(found, min(most, len(found)))
    return [trial(damage, (generator.choice(list(COMMANDS)),)) for damage in chosen]
