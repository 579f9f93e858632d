"""What is known of a model or a version, in words: for people, at home in 80 columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from modelrepo.cli.answers import hanging, page
from modelrepo.core.signatures import Signature, describe
from modelrepo.core.units import format_size
from modelrepo.core.values import Actor
from modelrepo.repository import results

if TYPE_CHECKING:  # they are documents, which bring pydantic
    from modelrepo.core.findings import Finding
    from modelrepo.core.manifest import Exported, Keras
    from modelrepo.core.training import Training

_SHOWN_FINDINGS = 20
#: As long as the longest name of what is kept beside a version.
_NAME = len("tflite-") + 12
#: So many characters of a digest are shown, its kind included.
SHORT_DIGEST = len("sha256:") + 12


def moment(time: datetime | None) -> str:
    """A time, UTC; nothing where there is none."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def count(number: int, word: str) -> str:
    """So many of something."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def who(actor: Actor) -> str:
    """Who did something, and what the environment claimed."""
    claims = ", ".join(f"{name}={value}" for name, value in actor.claims.items())
    return f"{actor.user}@{actor.host}" + (f" (claims {claims})" if claims else "")


def signatures(contract: Mapping[str, Signature] | None) -> list[str]:
    """A contract, an input or output a line."""
    if contract is None:
        return ["signatures: not read"]
    if not contract:
        return ["signatures: none"]
    lines = ["signatures:"]
    for name, signature in contract.items():
        lines.append(f"  {name}")
        lines += [f"    in   {key}: {describe(tensor)}" for key, tensor in signature.inputs.items()]
        lines += [f"    out  {key}: {describe(tensor)}" for key, tensor in signature.outputs.items()]
    return lines


def findings(found: Sequence[Finding] | None, rules: str | None, allowed: Collection[str] = ()) -> list[str]:
    """What a scan found, by which rules; it does not say that there is nothing else."""
    if found is None:
        return ["findings:   not scanned"]
    by = f"by the rules for TensorFlow {rules}"
    if not found:
        return [f"findings:   none {by}"]
    count = len([each for each in found if each.severity == "refused"])
    lines = [f"findings:   {count} refused, {len(found) - count} noted {by}"]
    for each in found[:_SHOWN_FINDINGS]:
        word = "allowed" if each.op in allowed else each.severity
        lines += hanging(f"{word}: {each.text}", "  ")
    if len(found) > _SHOWN_FINDINGS:
        lines.append(f"  and {len(found) - _SHOWN_FINDINGS} more; --json lists them")
    return lines


def training(found: Training | None) -> list[str]:
    """What only training needs, where there is any."""
    return [] if found is None or not (found.signatures or found.variables) else [f"training:   {found}"]


def _keras(keras: Keras | None) -> list[str]:
    """The Keras model that it was exported from."""
    if keras is None:
        return []
    size = f" ({format_size(keras.size)}{', kept in assets.extra' * keras.kept})" if keras.size is not None else ""
    lines = [f"exported:   by Keras {keras.version} from {keras.file or 'a live model'}{size}"]
    if keras.digest is not None:
        lines.append(f"            {keras.digest}")
    lines += [f"            served by {keras.serving}"] if keras.serving else []
    lines += [f"            with {', '.join(keras.custom_objects)}"] if keras.custom_objects else []
    lines += ["            with code from the file (--unsafe-deserialization)"] if keras.unsafe_deserialization else []
    return lines


def _exported(exported: Exported | None) -> list[str]:
    """What it was in the repository that it was exported from."""
    if exported is None:
        return []
    return [
        f"was:        {exported.version}, pushed {moment(exported.created_at)} UTC by {who(exported.created_by)}",
        f"            from {exported.host}:{exported.path}",
        f"            manifest {exported.manifest_digest}",
    ]


def details(result: results.VersionDetails) -> str:
    """All that is known of one version."""
    by = who(result.created_by)
    lines = [
        f"{result.version}" + (f"  ({', '.join(result.channels)})" if result.channels else ""),
        f"path:       {result.path}" if result.path else f"deleted:    {moment(result.removed_at)} UTC",
        f"pushed:     {moment(result.created_at)} UTC by {by}"
        + (" (adopted: its files' time)" if result.adopted else ""),
        f"from:       {result.source.host}:{result.source.path}" + (" (adopted)" if result.adopted else ""),
        *_keras(result.keras),
        *_exported(result.source.exported),
        f"digest:     {result.digest}",
        f"size:       {format_size(result.size)} in {count(len(result.files), 'file')}",
        f"load:       {result.load}" + (f" (TensorFlow {result.loaded_by})" if result.loaded_by else ""),
        f"written by: TensorFlow {result.tensorflow_version or 'unknown'}",
        *training(result.training),
        *findings(result.findings, result.scanned_by, result.allowed_ops),
    ]
    if result.golden is not None:
        lines.append(f"golden:     {count(result.golden.requests, 'request')}, {result.golden.digest}")
    if result.pinned:
        lines.append("pinned:     yes")
    if result.message:
        lines.append(f"message:    {result.message}")
    lines += [f"label:      {key}={value}" for key, value in result.labels.items()]
    lines += [f"metric:     {key}={value:g}" for key, value in result.metrics.items()]
    lines += signatures(result.signatures)
    lines.append("files:")
    lines += [f"  {entry.digest[:SHORT_DIGEST]}  {format_size(entry.size):>9}  {entry.path}" for entry in result.files]
    lines += _derived(result.derived)
    return page(lines)


def conversion(result: results.Conversion) -> str:
    """What was made of a version, and how far its answers are off."""
    compared = result.compared
    by = {"given": "given request", "golden": "golden request", "generated": "made-up request"}[compared.source]
    seed = "" if compared.seed is None else f" (seed {compared.seed})"
    worst = max(compared.differences.values(), default=0.0)
    how = "" if result.quantize == "none" else f", {result.quantize}"
    size = f"{count(len(result.files), 'file')}, {format_size(result.size)}"
    off = f"off by at most {worst:.2g} of the largest value (allowed: {compared.tolerance:g})"
    lines = [
        f"converted {result.version} ({result.signature}) to {result.to}{how}: {size}",
        f"  answers {count(compared.requests, by)}{seed} as the version does, {off}",
        f"  by {', '.join(f'{name} {version}' for name, version in result.tools.items())}",
    ]
    if result.path is not None:
        lines.append(f"  at {result.path}")
    if result.kept is not None:
        lines.append(f"  {'kept' if result.created else 'was kept already'}: {result.kept}")
    return page(lines)


def _derived(found: Sequence[results.Derived]) -> list[str]:
    """What was made of a version and is kept."""
    lines = ["derived:"] if found else []
    for each in found:
        record = each.record
        if record is None:
            lines.append(f"  {each.name}  {each.problem}")
            continue
        how = "" if record.quantize == "none" else f" {record.quantize}"
        worst = max(record.compared.differences.values(), default=0.0)
        lines.append(
            f"  {each.name:<{_NAME}}  {format_size(record.size):>9}  {record.to}{how} of {record.signature}, "
            f"off by {worst:.2g}, {moment(record.created_at)}"
        )
    return lines


def inspection(result: results.Inspection) -> str:
    """What a SavedModel offers."""
    lines = [
        result.path + (f"  ({result.version})" if result.version else ""),
        f"written by: TensorFlow {result.tensorflow_version or 'unknown'}",
        "tags:       " + "; ".join(",".join(tags) or "(none)" for tags in result.tags),
    ]
    if result.load is not None:
        lines.append(
            f"load:       {result.load} (TensorFlow {result.loaded_by}; without {', '.join(result.cage or ())})"
        )
    if result.golden is not None:
        lines.append(f"golden:     {count(result.golden, 'request')} answered right")
    lines += training(result.training)
    if result.unfilled:
        lines += hanging(f"unfilled:   {', '.join(result.unfilled)} reads variables that nothing fills", "")
    lines += findings(result.findings, result.scanned_by)
    lines += signatures(result.signatures)
    total = sum(result.ops.values())
    lines.append(f"ops:        {total} of {count(len(result.ops), 'kind')}; --json lists them")
    return page(lines)
