"""The commands that change a repository: `init`, `push`, `promote`, `rollback`, `pin`, `unpin`, `cleanup`, `verify`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from modelrepo.cli import render
from modelrepo.cli.answers import Answer
from modelrepo.cli.app import LockOption, Run, command
from modelrepo.core.refs import LATEST
from modelrepo.core.units import parse_duration, parse_size
from modelrepo.errors import BusyError, IntegrityError, ModelRepoError, RequestError
from modelrepo.repository import results

T = TypeVar("T")

#: Kinds of findings that `verify --repair` can do something about.
MENDABLE = {
    *("view", "journal-torn", "journal-damaged", "unfinished", "unrecorded", "directory-missing"),
    *("mode", "link-form"),
}

RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="v7, 7, a channel, latest~1, newest, or sha256: with 8 or more digits.")
]
ChannelOption = Annotated[str, typer.Option("--channel", metavar="C", help="Which channel.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="What the history says about it.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
TimeoutOption = Annotated[
    str, typer.Option("--load-timeout", metavar="DURATION", help="How long TensorFlow may take to load it.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--load-memory", metavar="SIZE", help="Memory for the load (4 GiB and 3 times the model)."),
]
BreakingOption = Annotated[bool, typer.Option("--allow-breaking", help="Let it break callers of the present target.")]


def pairs(words: list[str], option: str, read: Callable[[str], T]) -> dict[str, T]:
    """Read `key=value` words."""
    found: dict[str, T] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise RequestError(f"{option} needs key=value", kind="pair-malformed", got=ascii(word))
        if key in found:
            raise RequestError(f"{option} {key} is given twice", kind="pair-malformed", got=ascii(word))
        found[key] = read(value)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RequestError(
            f"{text!a} is not a number", kind="metric-malformed", expected="a finite number", got=ascii(text)
        ) from None


def attempt(
    operation: Callable[..., T], expected: type[T], *words: object, **options: object
) -> tuple[T, ModelRepoError | None]:
    """Call an operation; where it failed but had done something, return that with the error."""
    try:
        return operation(*words, **options), None
    except ModelRepoError as error:
        if isinstance(error.partial, expected):
            return error.partial, error
        raise


@command("init")
def init(run: Run, lock_timeout: LockOption = None) -> Answer:
    """Make a repository in a missing or empty directory."""
    result = run.repository(lock_timeout).init()
    return Answer(result, render.init(result), (result.repo,))


@command("push")
def push(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The SavedModel's directory.")],
    message: Annotated[
        str | None, typer.Option("-m", "--message", metavar="TEXT", help="What to say about it.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="A word for programs.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", metavar="K=NUMBER", help="A finite number.")] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Promote it afterwards.")] = False,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="C", help="Which channel --promote moves (latest).")
    ] = None,
    allow_breaking: BreakingOption = False,
    reason: ReasonOption = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="Do not let TensorFlow load it first.")] = False,
    load_timeout: TimeoutOption = "5m",
    load_memory: MemoryOption = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Store what symbolic links inside SOURCE name.")
    ] = False,
    links_into: Annotated[
        list[str] | None, typer.Option("--links-into", metavar="DIR", help="Where such links may lead besides.")
    ] = None,
    allow_duplicate: Annotated[
        bool, typer.Option("--allow-duplicate", help="Store it although a version has the same content.")
    ] = False,
    init_first: Annotated[bool, typer.Option("--init", help="Make the repository if there is none.")] = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Take in a SavedModel as the next version."""
    if not promote and (channel is not None or allow_breaking or reason is not None):
        raise RequestError("--channel, --allow-breaking and --reason go with --promote", kind="options-need-promote")
    repository = run.repository(lock_timeout)
    arguments = {
        "labels": pairs(label or [], "--label", str),
        "metrics": pairs(metric or [], "--metric", _number),
        "load_timeout": parse_duration(load_timeout),
        "load_memory": None if load_memory is None else parse_size(load_memory),
    }
    outcome, error = attempt(
        repository.push,
        results.PushResult,
        source,
        message=message,
        load=not no_load,
        follow_links=follow_links,
        links_into=links_into or [],
        allow_duplicate=allow_duplicate,
        promote=promote,
        channel=channel or LATEST,
        allow_breaking=allow_breaking,
        reason=reason,
        init=init_first,
        **arguments,
    )
    return Answer(outcome, render.push(outcome, asked=promote), (str(outcome.version),), outcome.warnings, error)


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
    to: Annotated[str | None, typer.Option("--to", metavar="REF", help="Back to where it named this version.")] = None,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Move a channel back to where it was before."""
    result = run.repository(lock_timeout).rollback(channel=channel, steps=steps, to=to, reason=reason, dry_run=dry_run)
    return Answer(result, render.move(result, "rolled back", dry_run=dry_run), (str(result.to),), result.warnings)


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


@command("cleanup")
def cleanup(
    run: Run,
    keep_last: Annotated[int | None, typer.Option("--keep-last", metavar="N", help="Keep the newest N.")] = None,
    keep_rollback: Annotated[
        int | None, typer.Option("--keep-rollback", metavar="N", help="Keep N rollback targets of each channel.")
    ] = None,
    min_age: Annotated[str | None, typer.Option("--min-age", metavar="DURATION", help="Keep what is younger.")] = None,
    grace: Annotated[
        str | None, typer.Option("--grace", metavar="DURATION", help="Keep what a channel left less than this ago.")
    ] = None,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Delete the versions that retention lets go. Fit for cron: quiet where there was nothing to do."""
    result, error = attempt(
        run.repository(lock_timeout).cleanup,
        results.CleanupResult,
        keep_last=keep_last,
        keep_rollback=keep_rollback,
        min_age=None if min_age is None else parse_duration(min_age),
        grace=None if grace is None else parse_duration(grace),
        dry_run=dry_run,
    )
    notes = render.cleanup_notes(result) if result.removed and not dry_run else ()
    return Answer(result, render.cleanup(result), tuple(map(str, result.removed)), notes, error)


@command("verify")
def verify(
    run: Run,
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="[REF]...", help="Which versions; none for everything.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read no bytes: sizes, modes, links and journal only.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend views, journal, modes and leftovers; never model bytes or targets.")
    ] = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Check bytes, links and journal against what was promised."""
    result = run.repository(lock_timeout).verify(refs or [], quick=quick, repair=repair)
    error: ModelRepoError | None = None
    if not result.ok:
        bad = [problem for problem in result.findings if not problem.note and not problem.repaired]
        what = f"{len(bad)} problem{'s' if len(bad) > 1 else ''}"
        mendable = not repair and any(problem.kind in MENDABLE for problem in bad)
        hint = (
            "`modelrepo verify --repair` mends what can be mended without a guess"
            if mendable
            else "push a damaged model again; `modelrepo promote REF` points a channel at a sound version"
        )
        error = IntegrityError(f"{run.root} is not as it should be: {what}", kind="problems-found", hint=hint)
        if all(problem.kind == "held" for problem in bad):
            error = BusyError(f"not all of {run.root} could be checked", kind="held", hint="try again")
    if error is not None and run.quiet:
        error.items = tuple(render.problem(problem) for problem in bad)
    damaged = {problem.path.split("/")[0] for problem in result.findings if not problem.note and not problem.repaired}
    brief = tuple(str(version) for version in result.versions if str(version) in damaged)
    return Answer(result, render.verify(result), brief, error=error)
