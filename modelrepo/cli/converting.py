"""The command that makes something else of a version: `convert`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from modelrepo.cli import describing
from modelrepo.cli.answers import Answer
from modelrepo.cli.app import LockOption, Run, command
from modelrepo.cli.options import AllowOption, MemoryOption, RefArgument, SignatureOption, TimeoutOption
from modelrepo.core.units import parse_duration, parse_size


@command("convert")
def convert(
    run: Run,
    ref: RefArgument,
    to: Annotated[Literal["tflite", "tfjs"], typer.Option("--to", help="For LiteRT on devices, or for browsers.")],
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="Where it goes; of tfjs, a directory.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Let the repository keep it, beside the version.")] = False,
    signature: SignatureOption = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Let it take batches of just this size.")
    ] = None,
    quantize: Annotated[
        Literal["none", "dynamic", "float16", "int8"], typer.Option("--quantize", help="With smaller numbers.")
    ] = "none",
    calibration: Annotated[
        str | None, typer.Option("--calibration", metavar="FILE", help="For int8: typical requests, JSON or .npz.")
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE", help="Requests to compare by (golden ones, else made-up ones)."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", metavar="NUMBER", help="How far answers may be off, relative to the largest."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="What requests are made up from.")] = 0,
    load_timeout: TimeoutOption = "5m",
    load_memory: MemoryOption = None,
    allow_op: AllowOption = None,
    lock_timeout: LockOption = None,
) -> Answer:
    """Make a TensorFlow Lite or TensorFlow.js model of a version, which answers as it does."""
    result = run.repository(lock_timeout).convert(
        ref,
        to,
        output=output,
        keep=keep,
        signature=signature,
        batch_size=batch_size,
        quantize=quantize,
        calibration=calibration,
        inputs=inputs,
        tolerance=tolerance,
        seed=seed,
        load_timeout=parse_duration(load_timeout),
        load_memory=None if load_memory is None else parse_size(load_memory),
        allow_ops=allow_op or (),
    )
    return Answer(result, describing.conversion(result), (str(result.version),), result.warnings)
