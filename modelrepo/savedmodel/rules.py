"""What the scan knows: the ops that act on the host, and the names of all ops, from `ops.toml` and `registry.txt`."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

#: What an op's name looks like; functions may have other names.
_OP = re.compile(r"[A-Z_][A-Za-z0-9_>]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """When an op is a finding; see `ops.toml`.

    Attributes:
        name: The rule's name.
        severity: `refused` or `noted`.
        reason: What the op does.
        inputs: Which inputs name a file; none where the op is a finding wherever it stands.
        own: Where such names may come from.
        attribute: The attribute that makes it a finding.
        prefixes: What the attribute starts with then.
    """

    name: str
    severity: str
    reason: str
    inputs: tuple[int, ...] = ()
    own: frozenset[str] = frozenset()
    attribute: str | None = None
    prefixes: tuple[bytes, ...] = (b"",)


@dataclass(frozen=True, slots=True)
class Rules:
    """All of them.

    Attributes:
        tensorflow: The version that they were drawn from.
        by_op: The rule of each op that has one.
        known: The names of all ops of that version.
    """

    tensorflow: str
    by_op: dict[str, Rule]
    known: frozenset[str]

    def is_op(self, name: str) -> bool:
        """Whether this can be an op's name: bytes that parse by accident have none."""
        return name in self.known or _OP.fullmatch(name) is not None


@functools.cache
def load() -> Rules:
    """Read both files, once."""
    data = tomllib.loads(_text("ops.toml"))
    by_op: dict[str, Rule] = {}
    for entry in data["rule"]:
        base = {"name": entry["id"], "severity": entry["severity"], "reason": entry["reason"]}
        for op in entry.get("ops", ()):
            by_op[op] = Rule(**base)
        for op, inputs in entry.get("names", {}).items():
            by_op[op] = Rule(**base, inputs=tuple(inputs), own=frozenset(entry["own"]))
        for op, attribute in entry.get("attributes", {}).items():
            prefixes = tuple(prefix.encode() for prefix in entry.get("prefixes", ("",)))
            by_op[op] = Rule(**base, attribute=attribute, prefixes=prefixes)
    return Rules(data["tensorflow"], by_op, frozenset(_text("registry.txt").split()))


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="ascii")
