"""What moving channels gives, and saying what a version is worth."""

from __future__ import annotations

from modelrepo.core.refs import Version
from modelrepo.core.signatures import Change
from modelrepo.core.values import Value


class MoveResult(Value, renamed={"origin": "from"}):
    """What a promote or a rollback did.

    Attributes:
        channel: Which channel.
        origin: What it named before (`from` in JSON); None where it was new.
        to: What it names now.
        changed: Whether it moved; a plan says whether it would.
        breaking: What breaks callers of the version before; None where the contracts could not be or were not compared.
        warnings: What somebody should know.
    """

    channel: str
    origin: Version | None
    to: Version
    changed: bool
    breaking: tuple[Change, ...] | None
    warnings: tuple[str, ...] = ()


class PinResult(Value):
    """A version, and whether it is pinned now."""

    version: Version
    pinned: bool
    changed: bool


class AnnotateResult(Value):
    """What is said of a version now.

    Attributes:
        version: Which one.
        labels: Its manifest's labels, and what was said since.
        metrics: Likewise.
        message: Likewise.
        changed: Whether this call changed anything.
    """

    version: Version
    labels: dict[str, str]
    metrics: dict[str, float]
    message: str | None
    changed: bool


class ChannelRemoval(Value, renamed={"origin": "from"}):
    """A channel that is gone.

    Attributes:
        channel: Its name.
        removed: Whether it is gone.
        origin: What it named (`from` in JSON).
    """

    channel: str
    removed: bool
    origin: Version | None
