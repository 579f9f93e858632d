"""The commands that move channels, and that say what a version is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from modelrepo.cli import completion, render
from modelrepo.cli.answers import Answer
from modelrepo.cli.app import LockOption, Run, command
from modelrepo.cli.app import channel as channel_group
from modelrepo.cli.options import (
    BreakingOption,
    ChannelOption,
    DryRunOption,
    LabelOption,
    MessageOption,
    MetricOption,
    ReasonOption,
    RefArgument,
    attempt,
    finite,
    pairs,
)
from modelrepo.core.refs import LATEST
from modelrepo.repository import results


@command("promote")
def promote(
    run: Run,
    ref: RefArgument,
    channel: ChannelOption = LATEST,
    allow_breaking: BreakingOption = False,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Move a channel to a version."""
    result = run.repository(lock_timeout).promote(
        ref, channel=channel, allow_breaking=allow_breaking, reason=reason, dry_run=dry_run
    )
    return Answer(result, render.move(result, "promoted", dry_run=dry_run), (str(result.to),), result.warnings)


@command("rollback")
def rollback(
    run: Run,
    channel: ChannelOption = LATEST,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="How many targets back (1).")] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="REF", help="Back to where it named this version.", autocompletion=completion.refs
        ),
    ] = None,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Move a channel back to where it was before."""
    result = run.repository(lock_timeout).rollback(channel=channel, steps=steps, to=to, reason=reason, dry_run=dry_run)
    return Answer(result, render.move(result, "rolled back", dry_run=dry_run), (str(result.to),), result.warnings)


@command("remove", channel_group)
def channel_remove(
    run: Run,
    channel: Annotated[str, typer.Argument(metavar="C", help="Which channel.", autocompletion=completion.channels)],
    reason: ReasonOption = None,
    lock_timeout: LockOption = None,
) -> Answer:
    """Take a channel and its TensorFlow Serving base path away; the version stays."""
    result, error = attempt(run.repository(lock_timeout).channel_remove, results.ChannelRemoval, channel, reason=reason)
    return Answer(result, render.channel_removal(result), (result.channel,), error=error)


@command("list", channel_group)
def channel_list(run: Run) -> Answer:
    """List the channels: their targets, and where rollbacks would lead."""
    result = run.repository().channels()
    return Answer(result, render.channels(result), tuple(row.channel for row in result))


@command("annotate")
def annotate(
    run: Run,
    ref: RefArgument,
    label: LabelOption = None,
    metric: MetricOption = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="K", help="Take a label or metric away, before any is given.")
    ] = None,
    message: MessageOption = None,
    lock_timeout: LockOption = None,
) -> Answer:
    """Add to what `list` and `show` say of a version; the manifest stays."""
    result = run.repository(lock_timeout).annotate(
        ref,
        labels=pairs(label or [], "--label", str),
        metrics=pairs(metric or [], "--metric", finite),
        unset=unset or [],
        message=message,
    )
    return Answer(result, render.annotation(result), (str(result.version),))


@command("pin")
def pin(run: Run, ref: RefArgument, reason: ReasonOption = None, lock_timeout: LockOption = None) -> Answer:
    """Keep a version for ever."""
    result = run.repository(lock_timeout).pin(ref, reason=reason)
    return Answer(result, render.pin(result), (str(result.version),))


@command("unpin")
def unpin(run: Run, ref: RefArgument, lock_timeout: LockOption = None) -> Answer:
    """Keep a version no longer than retention says."""
    result = run.repository(lock_timeout).unpin(ref)
    return Answer(result, render.pin(result), (str(result.version),))
