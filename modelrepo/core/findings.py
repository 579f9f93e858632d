"""What a scan found in a model, and which of it keeps the model out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a model could do to the host that runs it, or that hides what it does.

    Attributes:
        op: The op; None where the finding is about the model as a whole: such a one cannot be let in by name.
        severity: `refused` keeps the model out; `noted` is recorded.
        rule: A short stable word for why.
        reason: The same in words.
        node: The node that holds the op, as the model names it.
        within: Where that stands, from the meta graph inwards: functions, and graphs in constants.
    """

    op: str | None
    severity: Literal["refused", "noted"]
    rule: str
    reason: str
    node: str
    within: str
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @property
    def text(self) -> str:
        """All of it, in one line."""
        where = ", ".join(part for part in (f"node {self.node}" if self.node else "", self.within) if part)
        return f"{self.op or 'model'} {self.reason}" + (f" ({where})" if where else "") + f" [{self.rule}]"


def refused(findings: Iterable[Finding], allowed: Collection[str]) -> tuple[Finding, ...]:
    """What keeps a model out, where these ops are allowed."""
    return tuple(
        each for each in findings if each.severity == "refused" and (each.op is None or each.op not in allowed)
    )


def let_in(findings: Iterable[Finding], allowed: Collection[str]) -> tuple[str, ...]:
    """The allowed ops that would have kept the model out."""
    return tuple(
        sorted({each.op for each in findings if each.severity == "refused" and each.op in set(allowed)} - {None})
    )
