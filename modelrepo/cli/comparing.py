"""The command that lets two models answer the same requests."""

from __future__ import annotations

from typing import Annotated

import typer

from modelrepo.cli import figures
from modelrepo.cli.answers import Answer
from modelrepo.cli.app import Run, command
from modelrepo.cli.options import (
    AfterArgument,
    AllowOption,
    BeforeArgument,
    MemoryOption,
    SignatureOption,
    TimeoutOption,
    attempt,
    meaning,
    standard_input,
)
from modelrepo.core.units import parse_duration, parse_size
from modelrepo.errors import ModelRepoError, RefusedError, RequestError
from modelrepo.repository import results


@command("compare")
def compare(
    run: Run,
    before: BeforeArgument,
    after: AfterArgument,
    requests: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="The requests, as JSON or .npz; - for standard input (golden, else generated ones).",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="FILE", help="The right class of each row, as JSON, .npy or .npz."),
    ] = None,
    signature: SignatureOption = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", metavar="KEY", help="Only this output; may be repeated.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option("--generate", metavar="N", help="Generate N requests, also where golden ones are.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="What generated requests come from.")] = 0,
    runs: Annotated[int, typer.Option("--runs", metavar="N", help="How often each request is timed.")] = 10,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="NUMBER", help="How far floats may differ, also relative to A's.")
    ] = 1e-5,
    require_agreement: Annotated[
        float | None,
        typer.Option("--require-agreement", metavar="SHARE", help="Exit with 4 where less agrees (0.99)."),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with plots, too; FILE must not exist.")
    ] = None,
    load_timeout: TimeoutOption = "5m",
    load_memory: MemoryOption = None,
    allow_op: AllowOption = None,
) -> Answer:
    """Let two models answer the same requests: compare answers, latency and memory."""
    if require_agreement is not None and not 0 <= require_agreement <= 1:
        raise RequestError(
            "the required agreement is no share", kind="number-malformed", expected="from 0 to 1", got=require_agreement
        )
    with meaning(before, after):
        result, failed = attempt(
            run.repository().compare,
            results.CompareResult,
            before,
            after,
            requests=standard_input() if requests == "-" else requests,
            labels=labels,
            signature=signature,
            outputs=output or (),
            generate=generate,
            seed=seed,
            runs=runs,
            tolerance=tolerance,
            html=html,
            allow_ops=allow_op or (),
            load_timeout=parse_duration(load_timeout),
            load_memory=None if load_memory is None else parse_size(load_memory),
        )
    failed = failed or _disagreement(result, require_agreement)
    brief = "none" if result.agreement is None else f"{result.agreement:.6g}"
    return Answer(result, figures.comparison(result), (brief,), result.warnings, failed)


def _disagreement(result: results.CompareResult, required: float | None) -> ModelRepoError | None:
    """The refusal where too little agrees, or nobody can tell."""
    if required is None or (result.agreement is not None and result.agreement >= required):
        return None
    lacking = [each.output for each in result.missing if each.missing_in == "to"]
    least = min(result.outputs, key=lambda each: 1 if each.agreement is None else each.agreement, default=None)
    which = f"it lacks output `{lacking[0]}`" if lacking else f"output `{least.output}`" if least else "no output"
    return RefusedError(
        f"{result.after.name} does not agree with {result.before.name}: {which}",
        kind="disagreement",
        expected=f"at least {required:g} of all rows",
        got="nothing to compare" if result.agreement is None else f"{result.agreement:.6g}",
    )
