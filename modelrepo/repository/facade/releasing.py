"""The methods that move channels, and that say what a version is worth."""

from __future__ import annotations

from modelrepo.core.refs import LATEST, Version, parse_channel
from modelrepo.errors import RequestError
from modelrepo.repository import results
from modelrepo.repository.border import border, parsed, said
from modelrepo.repository.facade.rooted import Rooted
from modelrepo.repository.moving import Request


class Releasing(Rooted):
    """`promote`, `rollback`, `pin`, `unpin`."""

    def promote(
        self,
        ref: str | Version,
        *,
        channel: str = LATEST,
        allow_breaking: bool = False,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> results.MoveResult:
        """Move a channel to a version.

        Others see the link name the old version or the new one, at every instant. On return the move is on the disk.

        Args:
            ref: Which version.
            channel: Which channel; a new one is made.
            allow_breaking: Let it break callers of the present target.
            reason: What the history says.
            dry_run: Only say what would happen.

        Raises:
            NotFoundError: There is no such version.
            RefusedError: It breaks callers.
            IntegrityError: The version's files are not what was pushed.
            UnconfirmedError: The link moved, and something after that is unfinished.
        """
        from modelrepo.repository import moving

        request = Request(parse_channel(channel), said(reason), allow_breaking)
        with border("promote"):
            return moving.promote(self._layout, parsed(ref), request, dry_run=dry_run, timeout=self._timeout)

    def rollback(
        self,
        *,
        channel: str = LATEST,
        steps: int | None = None,
        to: str | Version | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> results.MoveResult:
        """Move a channel back to where it was before; deletes nothing, needs no TensorFlow.

        Args:
            channel: Which channel.
            steps: How many targets back, 1 where neither this nor `to` is given; all or nothing.
            to: Back to the nearest place where the channel named this version.
            reason: What the history says.
            dry_run: Only say what would happen.

        Raises:
            RefusedError: There is nothing to roll back to.
            IntegrityError: The target is gone or damaged.
        """
        from modelrepo.repository import moving

        if steps is not None and to is not None:
            raise RequestError("steps and to exclude each other", kind="options-exclude")
        if steps is not None and steps < 1:
            raise RequestError("a rollback goes at least one step", kind="steps-malformed", expected=1, got=steps)
        request, target = Request(parse_channel(channel), said(reason)), None if to is None else parsed(to)
        with border("roll back"):
            return moving.rollback(
                self._layout, request, steps=steps or 1, to=target, dry_run=dry_run, timeout=self._timeout
            )

    def pin(self, ref: str | Version, *, reason: str | None = None) -> results.PinResult:
        """Keep a version for ever."""
        from modelrepo.repository import pinning

        with border("pin"):
            return pinning.pin(self._layout, parsed(ref), said(reason), self._timeout)

    def unpin(self, ref: str | Version) -> results.PinResult:
        """Keep a version no longer than retention says."""
        from modelrepo.repository import pinning

        with border("unpin"):
            return pinning.unpin(self._layout, parsed(ref), self._timeout)
