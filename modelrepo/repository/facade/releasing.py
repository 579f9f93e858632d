"""The methods that move channels, and that say what a version is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelrepo.core.annotations import Annotation
from modelrepo.core.refs import LATEST, Version, parse_channel
from modelrepo.core.values import check_key, check_labels, check_metrics, check_text
from modelrepo.errors import RequestError
from modelrepo.repository import results
from modelrepo.repository.border import border, parsed, said
from modelrepo.repository.facade.rooted import Rooted


class Releasing(Rooted):
    """`promote`, `rollback`, `channel_remove`, `annotate`, `pin`, `unpin`."""

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
        from modelrepo.repository.routing import Request

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
        from modelrepo.repository.routing import Request

        if steps is not None and to is not None:
            raise RequestError("steps and to exclude each other", kind="options-exclude")
        if steps is not None and steps < 1:
            raise RequestError("a rollback goes at least one step", kind="steps-malformed", expected=1, got=steps)
        request, target = Request(parse_channel(channel), said(reason)), None if to is None else parsed(to)
        with border("roll back"):
            return moving.rollback(
                self._layout, request, steps=steps or 1, to=target, dry_run=dry_run, timeout=self._timeout
            )

    def channel_remove(self, channel: str, *, reason: str | None = None) -> results.ChannelRemoval:
        """Take a channel and its TensorFlow Serving view away; the version that it named stays.

        A server whose configuration still names the view stops looking for new versions of all its models: take it out
        of the configuration first.

        Raises:
            NotFoundError: There is no such channel.
            RefusedError: It is `latest`, or something that is not modelrepo's is in the way.
        """
        from modelrepo.repository import channels

        with border("remove the channel"):
            return channels.remove(self._layout, parse_channel(channel), said(reason), self._timeout)

    def annotate(
        self,
        ref: str | Version,
        *,
        labels: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        unset: Sequence[str] = (),
        message: str | None = None,
    ) -> results.AnnotateResult:
        """Add to what `list` and `show` say of a version. Recorded; the manifest stays as it was pushed.

        Args:
            ref: Which version.
            labels: Words, by key; they replace those of the same key.
            metrics: Finite numbers, by key; likewise.
            unset: Keys of labels and metrics to take away first.
            message: A new message; an empty one takes it away.
        """
        from modelrepo.repository import annotating

        given = Annotation(
            check_labels(dict(labels or {})),
            check_metrics(dict(metrics or {})),
            None if message is None else check_text(message, "the message"),
            frozenset(check_key(key, "what is unset") for key in unset),
        )
        if given == Annotation():
            raise RequestError("there is nothing to annotate", kind="annotation-empty", expected="something to say")
        with border("annotate"):
            return annotating.annotate(self._layout, parsed(ref), given, self._timeout)

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
