"""The commands that take in, check and delete: `init`, `push`, `verify`, `cleanup`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from modelrepo.cli import completion, render
from modelrepo.cli.answers import Answer, Answers
from modelrepo.cli.app import LockOption, Run, command
from modelrepo.cli.options import (
    AllowOption,
    BreakingOption,
    DryRunOption,
    LabelOption,
    MemoryOption,
    MessageOption,
    MetricOption,
    ReasonOption,
    RefArgument,
    TimeoutOption,
    attempt,
    finite,
    pairs,
)
from modelrepo.cli.progress import bar, watched
from modelrepo.cli.several import RootsArgument, several
from modelrepo.core.refs import LATEST, looks_like_path
from modelrepo.core.units import parse_duration, parse_size
from modelrepo.errors import BusyError, IntegrityError, ModelRepoError, RequestError
from modelrepo.repository import results

#: Kinds of findings that `verify --repair` can do something about.
MENDABLE = {
    *("view", "journal-torn", "journal-damaged", "unfinished", "unrecorded", "directory-missing"),
    *("mode", "link-form"),
}


@command("init")
def init(
    run: Run,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over the vN directories that are there, and the links that name them.")
    ] = False,
    shared: Annotated[
        str | None, typer.Option("--shared", metavar="GROUP", help="Let all members of this group write.")
    ] = None,
    dedup: Annotated[
        Literal["reflink", "hardlink", "off"] | None,
        typer.Option(
            "--dedup", help="How to store what is stored already: by sharing blocks, as one more name, again."
        ),
    ] = None,
    allow_network_fs: Annotated[
        bool, typer.Option("--allow-network-fs", help="Write also on NFS, SMB or FUSE, where less is promised.")
    ] = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Make a repository in a missing or empty directory, or of a hand-made tree."""
    result, error = watched(
        "reading",
        run.repository(lock_timeout).init,
        results.InitResult,
        adopt=adopt,
        shared=shared,
        dedup=dedup,
        allow_network_fs=allow_network_fs,
    )
    return Answer(result, render.init(result), (result.repo,), result.warnings, error)


@command("push")
def push(
    run: Run,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The SavedModel's directory, or a .keras or .h5 file.")
    ],
    message: MessageOption = None,
    label: LabelOption = None,
    metric: MetricOption = None,
    promote: Annotated[bool, typer.Option("--promote", help="Promote it afterwards.")] = False,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel",
            metavar="C",
            help="Which channel --promote moves (latest).",
            autocompletion=completion.channels,
        ),
    ] = None,
    allow_breaking: BreakingOption = False,
    reason: ReasonOption = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="Do not let TensorFlow load it first.")] = False,
    load_timeout: TimeoutOption = "5m",
    load_memory: MemoryOption = None,
    golden: Annotated[
        str | None,
        typer.Option("--golden", metavar="FILE", help="Requests and right answers, JSON or .npz, that it must give."),
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Call every signature with zeros or empty strings; finite outputs must come."),
    ] = False,
    allow_op: AllowOption = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Store what symbolic links inside SOURCE name.")
    ] = False,
    links_into: Annotated[
        list[str] | None, typer.Option("--links-into", metavar="DIR", help="Where such links may lead besides.")
    ] = None,
    allow_duplicate: Annotated[
        bool, typer.Option("--allow-duplicate", help="Store it although a version has the same content.")
    ] = False,
    number: Annotated[
        int | None, typer.Option("--number", metavar="N", help="Its number, above all others (the next one).")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", metavar="N", min=1, help="Of a Keras file: add predict_batch, for batches of N."),
    ] = None,
    serving: Annotated[
        str | None,
        typer.Option("--serving", metavar="FILE.py:FUNCTION", help="Of a Keras file: what makes its signatures."),
    ] = None,
    custom_objects: Annotated[
        list[str] | None,
        typer.Option("--custom-objects", metavar="MODULE:NAME", help="Of a Keras file: where its own classes are."),
    ] = None,
    unsafe_deserialization: Annotated[
        bool, typer.Option("--unsafe-deserialization", help="Of a Keras file: let it bring code (Lambda layers).")
    ] = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="Of a Keras file: leave out variables that only training needs.")
    ] = False,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Of a Keras file: store it, too, in assets.extra.")
    ] = False,
    init_first: Annotated[bool, typer.Option("--init", help="Make the repository if there is none.")] = False,
    lock_timeout: LockOption = None,
) -> Answer:
    """Take in a SavedModel, or a Keras file that becomes one, as the next version."""
    if not promote and (channel is not None or allow_breaking or reason is not None):
        raise RequestError("--channel, --allow-breaking and --reason go with --promote", kind="options-need-promote")
    repository = run.repository(lock_timeout)
    arguments = {
        "labels": pairs(label or [], "--label", str),
        "metrics": pairs(metric or [], "--metric", finite),
        "load_timeout": parse_duration(load_timeout),
        "load_memory": None if load_memory is None else parse_size(load_memory),
    }
    outcome, error = watched(
        "copying",
        repository.push,
        results.PushResult,
        source,
        message=message,
        load=not no_load,
        allow_ops=allow_op or (),
        follow_links=follow_links,
        links_into=links_into or [],
        allow_duplicate=allow_duplicate,
        promote=promote,
        channel=channel or LATEST,
        allow_breaking=allow_breaking,
        reason=reason,
        init=init_first,
        number=number,
        golden=golden,
        smoke=smoke,
        batch_size=batch_size,
        serving=serving,
        custom_objects=custom_objects or [],
        unsafe_deserialization=unsafe_deserialization,
        strip=strip,
        keep_source=keep_source,
        **arguments,
    )
    return Answer(outcome, render.push(outcome, asked=promote), (str(outcome.version),), outcome.warnings, error)


@command("export")
def export(
    run: Run,
    ref: RefArgument,
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The copy: missing, or an empty directory.")],
) -> Answer:
    """Copy a version out: verified, with its manifest. A push of the copy checks it, and records where it came from."""
    result, error = watched("copying", run.repository().export, results.ExportResult, ref, directory)
    return Answer(result, render.export(result), (str(result.version),), result.warnings, error)


@command("verify")
def verify(
    run: Run,
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REF]... or [ROOT]...",
            help="Which versions; or, with a /, which repositories; none for everything.",
            autocompletion=completion.refs,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read no bytes: sizes, modes, links and journal only.")
    ] = False,
    unchecked_for: Annotated[
        str | None,
        typer.Option(
            "--unchecked-for", metavar="DURATION", help="Read only bytes that no full check has read for so long."
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend views, journal, modes and leftovers; never model bytes or targets.")
    ] = False,
    lock_timeout: LockOption = None,
) -> Answer | Answers:
    """Check bytes, links and journal against what was promised."""
    roots = [word for word in refs or [] if looks_like_path(word)]
    options: dict[str, Any] = {
        "quick": quick,
        "unchecked_for": None if unchecked_for is None else parse_duration(unchecked_for),
        "repair": repair,
    }
    if not roots:
        return _verify(run, refs or [], lock_timeout, options)
    if refs != roots:
        raise RequestError(
            "versions and repositories exclude each other",
            kind="options-exclude",
            expected="REF..., or ROOT... with a / each",
            got=" ".join(refs or []),
        )
    return several(run, roots, lambda one: _verify(one, [], lock_timeout, options))


def _verify(run: Run, refs: list[str], lock_timeout: str | None, options: dict[str, Any]) -> Answer:
    with bar("reading") as progress:
        result = run.repository(lock_timeout).verify(refs, progress=progress, **options)
    error: ModelRepoError | None = None
    if not result.ok:
        bad = [problem for problem in result.findings if not problem.note and not problem.repaired]
        what = f"{len(bad)} problem{'s' if len(bad) > 1 else ''}"
        mendable = not options["repair"] and any(problem.kind in MENDABLE for problem in bad)
        hint = (
            "`modelrepo verify --repair` mends what can be mended without a guess"
            if mendable
            else "`modelrepo rollback` or `promote` leads to a sound version; push a damaged one again, then remove it"
        )
        error = IntegrityError(f"{run.root} is not as it should be: {what}", kind="problems-found", hint=hint)
        if all(problem.kind == "held" for problem in bad):
            error = BusyError(f"not all of {run.root} could be checked", kind="held", hint="try again")
    if error is not None and run.quiet:
        error.items = tuple(render.problem(problem) for problem in bad)
    damaged = {problem.path.split("/")[0] for problem in result.findings if not problem.note and not problem.repaired}
    brief = tuple(str(version) for version in result.versions if str(version) in damaged)
    return Answer(result, render.verify(result), brief, error=error)


@command("cleanup")
def cleanup(
    run: Run,
    roots: RootsArgument = None,
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
) -> Answer | Answers:
    """Delete the versions that retention lets go. Fit for cron: quiet where there was nothing to do."""
    rules = {
        "keep_last": keep_last,
        "keep_rollback": keep_rollback,
        "min_age": None if min_age is None else parse_duration(min_age),
        "grace": None if grace is None else parse_duration(grace),
    }

    def one(run: Run) -> Answer:
        cleanup = run.repository(lock_timeout).cleanup
        result, error = watched("deleting", cleanup, results.CleanupResult, dry_run=dry_run, **rules)
        notes = render.cleanup_notes(result) if result.removed and not dry_run else ()
        return Answer(result, render.cleanup(result), tuple(map(str, result.removed)), notes, error)

    return several(run, roots, one) if roots else one(run)


@command("remove")
def remove(
    run: Run,
    refs: Annotated[
        list[str], typer.Argument(metavar="REF...", help="Which versions.", autocompletion=completion.refs)
    ],
    reason: ReasonOption = None,
    lock_timeout: LockOption = None,
) -> Answer:
    """Delete versions now, past retention's ages and counts; never one that somebody needs."""
    result, error = attempt(run.repository(lock_timeout).remove, results.RemoveResult, refs, reason=reason)
    notes = render.unseen_notes(result.unseen)
    return Answer(result, render.removal(result), tuple(map(str, result.removed)), notes, error)
