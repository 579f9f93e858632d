"""The commands that only read."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from modelrepo.cli import completion, describing, differences, exits, render
from modelrepo.cli.answers import Answer, Answers
from modelrepo.cli.app import Run, command
from modelrepo.cli.options import (
    AfterArgument,
    AllowOption,
    BeforeArgument,
    MemoryOption,
    RefArgument,
    SignatureOption,
    TimeoutOption,
    attempt,
    meaning,
    pairs,
    standard_input,
)
from modelrepo.cli.several import RootsArgument, several
from modelrepo.core.units import parse_duration, parse_size, parse_time
from modelrepo.errors import IntegrityError, NotFoundError, RefusedError, RequestError
from modelrepo.repository import Repository, results

LimitOption = Annotated[int | None, typer.Option("--limit", metavar="N", help="At most N.")]


@command("list")
def list_versions(
    run: Run,
    limit: LimitOption = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="Only with this label.")] = None,
    removed: Annotated[bool, typer.Option("--removed", help="Those that were deleted, instead.")] = False,
) -> Answer:
    """List the versions, highest number first."""
    result = run.repository().list(limit=limit, labels=pairs(label or [], "--label", str), removed=removed)
    return Answer(result, partial(render.versions, result), tuple(str(row.version) for row in result))


@command("show")
def show(run: Run, ref: RefArgument) -> Answer:
    """Show one version, also one that was deleted."""
    result = run.repository().show(ref)
    return Answer(result, describing.details(result), (str(result.version),))


@command("inspect")
def inspect(
    run: Run,
    target: Annotated[
        str,
        typer.Argument(
            metavar="PATH-or-REF", help="A SavedModel (./export), or a version.", autocompletion=completion.refs
        ),
    ],
    load: Annotated[bool, typer.Option("--load", help="Load it with TensorFlow, too.")] = False,
    load_timeout: TimeoutOption = "5m",
    load_memory: MemoryOption = None,
    allow_op: AllowOption = None,
) -> Answer:
    """Say what a SavedModel offers, and what the scan finds: signatures, tags, ops, findings."""
    with meaning(target):
        result, failed = attempt(
            run.repository().inspect,
            results.Inspection,
            target,
            allow_ops=allow_op or (),
            load=load,
            load_timeout=parse_duration(load_timeout),
            load_memory=None if load_memory is None else parse_size(load_memory),
        )
    return Answer(result, describing.inspection(result), tuple(result.signatures), error=failed)


@command("diff")
def diff(
    run: Run,
    before: BeforeArgument,
    after: AfterArgument,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 where B breaks callers of A, or nobody can tell.")
    ] = False,
) -> Answer:
    """Say what changes from one model to another: for callers, and on disk."""
    with meaning(before, after):
        result = run.repository().diff(before, after)
    breaking = result.signatures.breaking if result.signatures is not None else ()
    error = None
    if exit_code and (breaking or result.signatures is None):
        error = RefusedError(f"{after} could not be compared with {before}", kind="not-compared")
        if breaking:
            many = f"{len(breaking)} breaking change{'s' if len(breaking) > 1 else ''}"
            error = RefusedError(f"{after} breaks callers of {before}", kind="breaking", got=many)
    return Answer(result, differences.diff(result), tuple(change.text for change in breaking), result.warnings, error)


@command("predict")
def predict(
    run: Run,
    ref: RefArgument,
    inputs: Annotated[
        str, typer.Option("--input", metavar="FILE", help="The inputs, as JSON or .npz; - for standard input.")
    ],
    signature: SignatureOption = None,
    load_timeout: TimeoutOption = "5m",
    load_memory: MemoryOption = None,
    allow_op: AllowOption = None,
) -> Answer:
    """Call one signature of a version once, and print its outputs as JSON."""
    result = run.repository().predict(
        ref,
        standard_input() if inputs == "-" else inputs,
        signature=signature,
        allow_ops=allow_op or (),
        load_timeout=parse_duration(load_timeout),
        load_memory=None if load_memory is None else parse_size(load_memory),
    )
    text = json.dumps(result.as_json(), ensure_ascii=True, allow_nan=False)
    return Answer(result, text, (str(result.version),))


@command("history")
def history(
    run: Run,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="C", help="Only this channel's moves.", autocompletion=completion.channels),
    ] = None,
    limit: LimitOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Where the channels pointed then (2026-11-25T10:00Z).")
    ] = None,
) -> Answer:
    """Say who did what, when and why, the latest first."""
    if at is not None:
        if channel is not None or limit is not None:
            raise RequestError("--at stands without --channel and --limit", kind="options-exclude")
        then = run.repository().history_at(parse_time(at))
        return Answer(then, render.history_at(then), tuple(map(str, then.channels.values())))
    result = run.repository().history(channel=channel, limit=limit)
    return Answer(result, partial(render.history, result), tuple(str(entry.to or entry.version) for entry in result))


@command("status")
def status(
    run: Run,
    roots: RootsArgument = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 5 where there is a problem.")] = False,
) -> Answer | Answers:
    """Show channels, where a rollback would lead, space and problems."""
    return several(run, roots, lambda one: _status(one, check=check)) if roots else _status(run, check=check)


def _status(run: Run, *, check: bool) -> Answer:
    result = run.repository().status()
    problems = [problem for problem in result.problems if not problem.note]
    error = None
    if check and problems:
        what = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        error = IntegrityError(f"{result.repo} has {what}", kind="problems-found", hint="`modelrepo verify` says more")
    return Answer(
        result,
        render.status(result),
        tuple(str(target) for target in result.channels.values() if target is not None),
        (),
        error,
    )


@command("path")
def path(run: Run, ref: RefArgument) -> Answer:
    """Print a version's absolute path."""
    result = run.repository().path(ref)
    return Answer(result, result.path, (str(result.version),), path=result.path)


@command("serving-config")
def serving_configuration(
    run: Run,
    roots: RootsArgument = None,
    name: Annotated[str | None, typer.Option("--name", metavar="M", help="The model's name (the root's name).")] = None,
    base_path: Annotated[
        str | None, typer.Option("--base-path", metavar="DIR", help="Where the server sees ROOT, or all ROOTs.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", metavar="C", help="No entry for this channel.", autocompletion=completion.channels),
    ] = None,
) -> Answer:
    """Print TensorFlow Serving's configuration for the channels."""
    from modelrepo.repository.many import serving_config

    repositories = [Repository(root) for root in roots or [run.root]]
    result, failed = serving_config(repositories, name=name, base_path=base_path, leave_out=leave_out or ())
    notes = tuple(f"{root} has no channel to serve yet: promote a version first" for root in result.without)
    error = min(failed, key=lambda error: exits.rank(exits.code_of(error)), default=None)
    if error is not None:
        if len(repositories) == 1:
            raise error
        notes += tuple(other.message for other in failed if other is not error)
        error.hint = "the configuration is not complete: do not give it to a server"
    elif not result.models and result.left_out:
        error = NotFoundError(
            "every channel that could be served was left out",
            kind="nothing-to-serve",
            got=f"left out: {', '.join(result.left_out)}",
            hint="leave out fewer; a server that is given this configuration serves nothing any more",
        )
    elif not result.models:
        error = NotFoundError(
            "there is no channel to serve",
            kind="nothing-to-serve",
            hint="promote a version first; a server that is given this configuration serves nothing any more",
        )
        notes = ()
    text = result.config.rstrip("\n")
    return Answer(result, text, tuple(text.splitlines()), notes, error)
