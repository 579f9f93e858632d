"""What a repository must look like, in a few dozen lines, and a machine that holds the library against it.

The machine does anything in any order: pushes, moves, removals, cleanups, what an operator does by hand, and commands
that die or fail in the middle. Behind each step the repository is what the model says; behind an accident it is what
the model says before or after, and the next writing command goes on.
"""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from modelrepo import Repository
from modelrepo.cli import exits
from modelrepo.errors import ModelRepoError

from .commands import SAMPLES, build
from .invariants import check_tree
from .steps import Child
from .trials import Tally, Trial

CHANNELS = ("latest", "canary", "blue")


class NotDoneError(Exception):
    """What is not done: the exit code that says so, and whether that is said before the lock, without a recovery."""

    def __init__(self, code: int, *, early: bool = False) -> None:
        super().__init__()
        self.code = code
        self.early = early


def pushed(stack: list[int], to: int | None) -> list[int]:
    return stack if to is None or stack[-1:] == [to] else [*stack, to]


@dataclass
class Model:
    """A repository.

    Attributes:
        contents: Each version that is there, and what was pushed.
        lost: Versions whose directories went without a record.
        spent: The highest number ever used.
        links: What each channel's link says.
        stacks: What is recorded of each channel: its targets, the last one on top.
        pins: Pinned versions.
        labels: Each version's label `k`.
    """

    contents: dict[int, str]
    lost: set[int] = field(default_factory=set)
    spent: int = 0
    links: dict[str, int] = field(default_factory=dict)
    stacks: dict[str, list[int]] = field(default_factory=dict)
    pins: set[int] = field(default_factory=set)
    labels: dict[int, str] = field(default_factory=dict)

    def stack(self, channel: str) -> list[int]:
        """With a move by hand that nobody has recorded yet."""
        return pushed(self.stacks.get(channel, []), self.links.get(channel))

    def recover(self) -> None:
        """What every writing command does first."""
        for channel, target in self.links.items():
            if target in self.contents:
                self.stacks[channel] = self.stack(channel)

    def require(self, number: int) -> None:
        if number not in self.contents:
            raise NotDoneError(5 if number in self.lost else 3)

    def require_consistent(self) -> None:
        if any(target not in self.contents for target in self.links.values()):
            raise NotDoneError(5)

    def push(self, content: str, number: int | None = None) -> None:
        same = [each for each, there in self.contents.items() if there == content]
        if number is not None and number not in same and (same or number <= self.spent):
            raise NotDoneError(4, early=number <= self.spent and number not in self.contents)
        if not same:
            self.spent = number or self.spent + 1
            self.contents[self.spent] = content

    def move(self, channel: str, to: int, stack: list[int]) -> None:
        self.links[channel], self.stacks[channel] = to, stack

    def promote(self, channel: str, number: int) -> None:
        self.require(number)
        self.move(channel, number, pushed(self.stack(channel), number))

    def rollback(self, channel: str, steps: int) -> None:
        if channel not in self.links:
            raise NotDoneError(3)
        stack = self.stack(channel)
        if steps >= len(stack):
            raise NotDoneError(4)
        if stack[-1 - steps] not in self.contents:
            raise NotDoneError(5)
        self.move(channel, stack[-1 - steps], stack[: len(stack) - steps])

    def rollback_to(self, channel: str, number: int) -> None:
        if channel not in self.links:
            raise NotDoneError(3)
        stack = self.stack(channel)
        if number not in stack:
            self.require(number)
            raise NotDoneError(4)
        steps = stack[::-1].index(number)
        if number not in self.contents:
            raise NotDoneError(5)
        self.move(channel, number, stack[: len(stack) - steps])

    def channel_remove(self, channel: str) -> None:
        if channel == "latest":
            raise NotDoneError(4, early=True)
        if channel not in self.links:
            raise NotDoneError(3)
        del self.links[channel]
        self.stacks.pop(channel, None)

    def pin(self, number: int) -> None:
        self.require(number)
        self.pins.add(number)

    def unpin(self, number: int) -> None:
        self.require(number)
        self.pins.discard(number)

    def annotate(self, number: int, label: str) -> None:
        self.require(number)
        self.labels[number] = label

    def remove(self, number: int) -> None:
        self.require_consistent()
        if number not in self.lost:
            self.require(number)
            if number in {*self.links.values(), *self.pins} or len(self.contents) == 1:
                raise NotDoneError(4)
        self.drop(number)

    def drop(self, number: int) -> None:
        """A deletion: it leaves the stacks, and equal neighbours merge."""
        self.contents.pop(number, None)
        self.lost.discard(number)
        self.pins.discard(number)
        self.labels.pop(number, None)
        for channel, stack in self.stacks.items():
            merged: list[int] = []
            for each in stack:
                merged = merged if each == number else pushed(merged, each)
            self.stacks[channel] = merged

    def cleanup(self, keep_last: int, keep_rollback: int) -> None:
        for number in self.going(keep_last, keep_rollback):
            self.drop(number)

    def going(self, keep_last: int, keep_rollback: int) -> list[int]:
        """What a cleanup deletes, in its order."""
        self.require_consistent()
        kept = {*self.links.values(), *self.pins, *sorted(self.contents)[len(self.contents) - keep_last :]}
        for channel in self.links:
            stack = self.stack(channel)
            below = [each for each in dict.fromkeys(reversed(stack)) if each in self.contents and each != stack[-1]]
            kept.update(below[:keep_rollback])
        return sorted(set(self.contents) - kept)

    def seen(self) -> dict[str, Any]:
        """What a reader sees of it."""
        return {
            "contents": self.contents,
            "stacks": {channel: self.stack(channel) for channel in sorted(self.links)},
            "pins": {number for number in self.pins if number in self.contents},
            "labels": {number: label for number, label in self.labels.items() if number in self.contents},
        }


#: An operation: the name of a method of `Model` and of `Machine.library`, and its arguments.
Operation = tuple[Any, ...]


def after(model: Model, operation: Operation) -> tuple[Model, int]:
    """What the model is behind an operation, and the exit code."""
    model = copy.deepcopy(model)
    before = copy.deepcopy(model)
    model.recover()
    name, *words = operation
    try:
        getattr(model, name)(*words)
    except NotDoneError as refused:
        if refused.early:
            return before, refused.code
        before.recover()
        return before, refused.code
    return model, 0


def between(model: Model, operation: Operation) -> list[Model]:
    """What the model may be where an operation did not come to its end."""
    found = [model]
    if operation[0] == "cleanup" and after(model, operation)[1] == 0:
        half = copy.deepcopy(model)
        half.recover()
        for number in half.going(*operation[1:]):
            half.drop(number)
            found.append(copy.deepcopy(half))
    return [*found, after(model, operation)[0]]


class Library:
    """The library's calls, by the names of the model's methods."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "ranker"
        self.repository = Repository(self.root)

    def do(self, operation: Operation) -> None:
        name, *words = operation
        getattr(self, name)(*words)

    def push(self, content: str, number: int | None = None) -> None:
        source = self.place / "exports" / content
        if not source.exists():
            shutil.copytree(SAMPLES / "tf1_linear", source)
            (source / "note.txt").write_text(content)
        self.repository.push(source, load=False, number=number)

    def promote(self, channel: str, number: int) -> None:
        self.repository.promote(f"v{number}", channel=channel)

    def rollback(self, channel: str, steps: int) -> None:
        self.repository.rollback(channel=channel, steps=steps)

    def rollback_to(self, channel: str, number: int) -> None:
        self.repository.rollback(channel=channel, to=f"v{number}")

    def channel_remove(self, channel: str) -> None:
        self.repository.channel_remove(channel)

    def pin(self, number: int) -> None:
        self.repository.pin(f"v{number}")

    def unpin(self, number: int) -> None:
        self.repository.unpin(f"v{number}")

    def annotate(self, number: int, label: str) -> None:
        self.repository.annotate(f"v{number}", labels={"k": label})

    def remove(self, number: int) -> None:
        self.repository.remove([f"v{number}"])

    def cleanup(self, keep_last: int, keep_rollback: int) -> None:
        none = timedelta(0)
        self.repository.cleanup(keep_last=keep_last, keep_rollback=keep_rollback, min_age=none, grace=none)

    def seen(self) -> dict[str, Any]:
        """What a reader sees, in the model's words."""
        rows = self.repository.list()
        assert all(row.problem is None for row in rows), rows
        return {
            "contents": {
                row.version.number: (self.root / str(row.version) / "note.txt").read_text() for row in reversed(rows)
            },
            "stacks": {
                channel.channel: [version.number for version in channel.stack] for channel in self.repository.channels()
            },
            "pins": {row.version.number for row in rows if row.pinned},
            "labels": {row.version.number: row.labels["k"] for row in rows if row.labels},
        }

    def highest(self) -> int:
        """The highest number in the journal."""
        journal = (self.root / ".modelrepo" / "journal.jsonl").read_bytes()
        return max(map(int, re.findall(rb'"(?:version|to|from)":"v(\d+)"', journal)))


#: A number, to be taken modulo those that there are.
ANY = st.integers(0, 99)
CHANNEL = st.sampled_from(CHANNELS)
OPERATION = st.one_of(
    st.tuples(st.just("push"), st.sampled_from(["one", "two", "four", "five", "six", "seven"])),
    st.tuples(st.just("promote"), CHANNEL, ANY),
    st.tuples(st.just("rollback"), CHANNEL, st.integers(1, 3)),
    st.tuples(st.just("rollback_to"), CHANNEL, ANY),
    st.tuples(st.just("channel_remove"), CHANNEL),
    st.tuples(st.sampled_from(["pin", "unpin", "remove"]), ANY),
    st.tuples(st.just("annotate"), ANY, st.sampled_from("abc")),
    st.tuples(st.just("cleanup"), st.integers(0, 3), st.integers(1, 2)),
)
#: What does not take another's number.
_PLAIN = {"push", "rollback", "cleanup", "channel_remove"}


class Machine(RuleBasedStateMachine):
    """The library beside the model."""

    tally = Tally()
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(dir=self.template.parent))
        shutil.copytree(self.template, self.place, symlinks=True, dirs_exist_ok=True)
        self.library = Library(self.place)
        self.model = Model({1: "one", 2: "two", 3: "three"}, set(), 3, {"latest": 2}, {"latest": [1, 2]})

    def teardown(self) -> None:
        shutil.rmtree(self.place)

    def _meant(self, operation: Operation) -> Operation:
        """With a number that there was, or the next one."""
        numbers = range(1, self.model.spent + 2)
        name, *words = operation
        if name not in _PLAIN:
            words = [numbers[word % len(numbers)] if isinstance(word, int) else word for word in words]
        return (name, *words)

    @rule(operation=OPERATION)
    def operation(self, operation: Operation) -> None:
        """Something is done."""
        self._do(self._meant(operation))

    @rule(content=st.sampled_from(["two", "eight", "nine"]), ahead=st.integers(-2, 2))
    def push_as(self, content: str, ahead: int) -> None:
        """A push asks for a number."""
        self._do(("push", content, max(1, self.model.spent + ahead)))

    def _do(self, operation: Operation) -> None:
        self.model, expected = after(self.model, operation)
        code = 0
        try:
            self.library.do(operation)
        except ModelRepoError as error:
            code = exits.code_of(error)
        assert code == expected, f"{operation}: {code}, not {expected}"
        self._count("operations")

    @rule(channel=CHANNEL, number=ANY)
    def moved_by_hand(self, channel: str, number: int) -> None:
        """`ln -sfn`."""
        there = sorted(self.model.contents)
        if not there:
            return
        target = there[number % len(there)]
        link = self.place / "new"
        link.symlink_to(f"v{target}")
        link.rename(self.library.root / channel)
        self.model.links[channel] = target
        self._count("moves by hand")

    @rule(number=ANY)
    def deleted_by_hand(self, number: int) -> None:
        """`rm -rf`, of what no unrecorded move names."""
        unrecorded = {
            target
            for channel, target in self.model.links.items()
            if self.model.stacks.get(channel, [])[-1:] != [target]
        }
        there = sorted(self.model.contents.keys() - unrecorded)
        if len(there) < 2:
            return
        version = there[number % len(there)]
        shutil.rmtree(self.library.root / f"v{version}")
        del self.model.contents[version]
        self.model.lost.add(version)
        self._count("deletions by hand")

    @rule(repair=st.booleans())
    def verify(self, *, repair: bool) -> None:
        """It finds what is wrong, and nothing else; a repair leaves what it cannot know."""
        unrecorded = any(self.model.stacks.get(name, [])[-1:] != [to] for name, to in self.model.links.items())
        result = self.library.repository.verify(repair=repair)
        if repair:
            self.model.recover()
        assert result.ok == (not self.model.lost and (repair or not unrecorded)), result.findings
        kinds = {each.kind for each in result.findings if not each.note and not each.repaired}
        assert ("version-lost" in kinds) == bool(self.model.lost), result.findings
        self._count("operations")

    @rule(operation=OPERATION, step=st.integers(1, 130), fate=st.sampled_from(["die", "fail"]))
    def accident(self, operation: Operation, step: int, fate: Any) -> None:
        """A command dies at one of its steps, or is told that the disk is broken; before or after, never between."""
        operation = self._meant(operation)
        outcome = Child(lambda: self.library.do(operation), self.library.root, step, fate=fate).outcome()
        done, expected = after(self.model, operation)
        possible = between(self.model, operation)
        if outcome.code == 0:
            assert expected == 0, f"{operation}: 0, not {expected}"
            possible = [done]
        seen = self.library.seen()
        found = [model for model in possible if model.seen() == seen]
        assert found, f"{operation}, {outcome}: {seen}, not {[model.seen() for model in possible]}"
        self.library.repository.verify(repair=True)
        assert self.library.seen() == seen, f"{operation}, {outcome}: the recovery changed something"
        self.model = copy.deepcopy(found[-1])
        self.model.recover()
        highest = self.library.highest()
        assert highest in {self.model.spent, done.spent}, highest
        self.model.spent = highest
        self._count("deaths" if outcome.code is None else "failures" if outcome.code else "operations")

    def _count(self, what: str) -> None:
        self.tally.counts[what] += 1

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        """Behind each step."""
        assert self.library.seen() == self.model.seen()
        for channel, target in self.model.links.items():
            assert os.readlink(self.library.root / channel) == f"v{target}"
        if not self.model.lost:
            check_tree(self.library.root)
        self._count("steps")


def run(place: Path, *, number: int, examples: int, steps: int) -> Tally:
    """So many programs of so many steps, by a seed."""
    template = place / "template"
    build(template)

    class Seeded(Machine):
        pass

    Seeded.tally, Seeded.template = Tally(), template
    run_state_machine_as_test(
        seed(number)(Seeded),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    Seeded.tally.counts["programs"] += examples
    return Seeded.tally


def trials(random: random.Random) -> Iterator[Trial]:
    """Without an end: programs by another seed."""
    while True:
        number = random.getrandbits(32)
        yield Trial(f"programs by seed {number}", partial(run, number=number, examples=20, steps=30))
