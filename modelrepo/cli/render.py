"""Results as text for people. Each function returns lines ready to print, at home in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelrepo.cli.answers import hanging, page, printable, table
from modelrepo.cli.describing import SHORT_DIGEST, count, findings, moment, who
from modelrepo.core.refs import Version
from modelrepo.core.units import format_size
from modelrepo.repository import results


def init(result: results.InitResult) -> str:
    """One line, and what was adopted."""
    made = f"made a repository at {result.repo}"
    if not result.created:
        made = f"{result.repo} is a repository already" + ("" if result.adopted else "; nothing changed")
    lines = [made]
    if result.adopted:
        lines.append(f"adopted {count(len(result.adopted), 'version')}: {_spans(result.adopted)}")
    return page(lines)


def _spans(versions: Sequence[Version]) -> str:
    """Versions in words; runs of neighbours by their ends."""
    runs: list[list[Version]] = []
    for version in versions:
        if runs and version.number == runs[-1][-1].number + 1:
            runs[-1].append(version)
        else:
            runs.append([version])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def push(result: results.PushResult, *, asked: bool = False) -> str:
    """What is stored, whether it loads, and what became of the promote."""
    facts = f"{count(result.files, 'file')}, {format_size(result.size)}, {result.digest[:SHORT_DIGEST]}"
    lines = [f"pushed {result.version}: {facts}" if result.created else f"{result.version} has this content: {facts}"]
    loaded = "TensorFlow loaded it" if result.load == "passed" else "TensorFlow did not load it (--no-load)"
    names = ", ".join(result.signatures) if result.signatures else "none read"
    if result.golden is not None and result.load == "passed" and result.created:
        loaded += f", {count(result.golden.requests, 'golden request')} answered right"
    lines.append(f"  {loaded}; signatures: {names}")
    if result.findings:
        lines += [f"  {line}" for line in findings(result.findings, result.scanned_by, result.allowed_ops)]
    if result.promoted is not None:
        return f"{page(lines)}\n{move(result.promoted, 'promoted')}"
    if result.created and not asked:
        lines.append(f"  to go live: modelrepo promote {result.version}")
    return page(lines)


def export(result: results.ExportResult) -> str:
    """One line."""
    facts = f"{count(result.files, 'file')}, {format_size(result.size)}"
    beside = f"; golden requests: {result.golden}" if result.golden is not None else ""
    return printable(f"exported {result.version} to {result.path}: {facts}{beside}")


def move(result: results.MoveResult, verb: str, *, dry_run: bool = False) -> str:
    """One line: which channel, from where, to where."""
    if not result.changed:
        return f"{result.channel} names {result.to} already; nothing changed"
    origin = "(new)" if result.origin is None else str(result.origin)
    would = f"would be {verb}" if dry_run else verb
    lines = [f"{would}: {result.channel} {origin} -> {result.to}"]
    lines += [f"  breaking, allowed: {change.text}" for change in result.breaking or ()]
    return page(lines)


def pin(result: results.PinResult) -> str:
    """One line."""
    now = "pinned" if result.pinned else "not pinned"
    return f"{result.version} is {now}" + ("" if result.changed else " already; nothing changed")


def _said(message: str | None, labels: Mapping[str, str] | None, metrics: Mapping[str, float] | None) -> list[str]:
    """What is said of a version, in words: the message, labels, metrics."""
    return [
        *([message] if message else []),
        *(f"{key}={value}" for key, value in (labels or {}).items()),
        *(f"{key}={value:g}" for key, value in (metrics or {}).items()),
    ]


def annotation(result: results.AnnotateResult) -> str:
    """What is said of the version now."""
    words = _said(result.message, result.labels, result.metrics)
    now = f"{result.version}: {' '.join(words) or 'nothing is said'}"
    return printable(now + ("" if result.changed else "  (nothing changed)"))


def channel_removal(result: results.ChannelRemoval) -> str:
    """One line."""
    was = f"; it named {result.origin}" if result.origin is not None else ""
    return f"removed channel {result.channel}{was}"


def channels(rows: Sequence[results.Channel]) -> str:
    """A table, or one line."""
    if not rows:
        return "no channel yet: `modelrepo promote REF` makes `latest`"
    cells = [
        (
            row.channel,
            "NOTHING" if row.target is None else str(row.target),
            "" if row.rollback_to is None else str(row.rollback_to),
            " ".join(map(str, reversed(row.stack))),
        )
        for row in rows
    ]
    return table(("CHANNEL", "TARGET", "ROLLBACK", "STACK, LATEST FIRST"), cells, whole=(0, 1, 2))


def removal(result: results.RemoveResult) -> str:
    """One line."""
    return f"deleted {', '.join(map(str, result.removed))}: {format_size(result.freed)}" if result.removed else ""


def versions(rows: Sequence[results.VersionSummary]) -> str:
    """A table, or nothing."""
    if not rows:
        return "no versions"
    sharing = any(row.unshared not in {None, row.size} for row in rows)
    cells = [
        (
            str(row.version),
            moment(row.created_at),
            format_size(row.size),
            *((format_size(row.unshared) if row.unshared is not None else "?",) if sharing else ()),
            _state(row),
            row.load or "DAMAGED",
            " ".join(_said(row.message or row.problem, row.labels, row.metrics)),
        )
        for row in rows
    ]
    state = "DELETED (UTC)" if rows[0].removed_at is not None else "CHANNELS"
    sizes = ("SIZE", "UNSHARED") if sharing else ("SIZE",)
    whole = range(2 + len(sizes) + (rows[0].removed_at is not None))
    right = range(2, 2 + len(sizes))
    return table(("VERSION", "PUSHED (UTC)", *sizes, state, "LOAD", "ABOUT"), cells, right=right, whole=whole)


def _state(row: results.VersionSummary) -> str:
    if row.removed_at is not None:
        return moment(row.removed_at)
    return ", ".join((*row.channels, *(("pinned",) if row.pinned else ())))


def history(entries: Sequence[results.HistoryEntry]) -> str:
    """A table, or nothing."""
    if not entries:
        return "nothing happened yet"
    cells = [(moment(entry.time), who(entry.actor), entry.action, _what(entry), _why(entry)) for entry in entries]
    return table(("TIME (UTC)", "WHO", "ACTION", "WHAT", "WHY"), cells, whole=(0, 2))


def _what(entry: results.HistoryEntry) -> str:
    if entry.channel is None:
        return str(entry.version)
    return f"{entry.channel} {entry.origin or '(new)'} -> {entry.to or '(gone)'}"


def _why(entry: results.HistoryEntry) -> str:
    """What the actor said; of an annotation, what was said about the version."""
    words = [*([entry.reason] if entry.reason else []), *(f"-{key}" for key in entry.unset or ())]
    words += [f"allowed: {op}" for op in entry.allowed_ops or ()]
    return " ".join([*words, *_said(entry.message, entry.labels, entry.metrics)])


def history_at(then: results.HistoryAt) -> str:
    """What each channel named then, and the moves that had brought it there."""
    if not then.channels:
        return f"no channel named anything at {moment(then.at)} UTC"
    cells = [
        (
            move.channel or "",
            str(move.to),
            moment(move.time),
            who(move.actor),
            move.action,
            move.reason or "",
        )
        for move in then.moves
    ]
    return table(("CHANNEL", "VERSION", "SINCE (UTC)", "BY", "ACTION", "WHY"), cells, whole=(0, 1, 2))


def problem(found: results.Problem) -> str:
    """One finding, in one line."""
    mark = "repaired" if found.repaired else "note" if found.note else "PROBLEM"
    return f"{mark}: {found.path}: {found.detail} [{found.kind}]"


def status(result: results.Status) -> str:
    """The repository at one glance."""
    free = format_size(result.free)
    more = f", a cleanup would free {format_size(result.frees)}" if result.frees else ""
    lines = [f"{result.repo}: {count(result.versions, 'version')}, {format_size(result.size)} ({free} free{more})"]
    nowhere = "nothing to roll back to"
    if any(each.kind == "journal-damaged" for each in result.problems):
        nowhere = "where a rollback would lead cannot be read"
    for channel, target in result.channels.items():
        back = result.rollback_to.get(channel)
        where = f"rollback leads to {back}" if back else nowhere
        lines.append(f"  {channel} -> {target or 'NOTHING'}  ({where})")
    if not result.channels:
        lines.append("  no channel yet: `modelrepo promote REF` makes `latest`")
    if result.pinned:
        lines.append("  pinned: " + ", ".join(map(str, result.pinned)))
    lines += [problem(each) for each in result.problems]
    lines += ["journal head:", f"  {result.journal_head or 'unreadable'}"]
    return page(lines)


def verify(result: results.VerifyResult) -> str:
    """The findings, then one line."""
    lines = [problem(each) for each in result.findings]
    checked = count(len(result.versions), "version") + " checked"
    if len(result.read) < len(result.versions):
        checked += f", bytes of {len(result.read)} read" if result.read else ", no bytes read"
    lines.append(f"{checked}: " + ("all is as it should be" if result.ok else "not as it should be"))
    return page(lines)


def cleanup_notes(result: results.CleanupResult) -> tuple[str, ...]:
    """What somebody should know who had something deleted."""
    notes = (f"{problem.path}: {problem.detail}" for problem in result.problems)
    return (*notes, *unseen_notes(result.unseen))


def unseen_notes(count: int | None) -> tuple[str, ...]:
    """How many processes may use what nobody could see, if any."""
    return (_unseen(count),) if count else ()


def _unseen(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'} could not be looked at for open files; root sees more"


def cleanup(result: results.CleanupResult) -> str:
    """The plan in full; what was done, or nothing where nothing was."""
    if not result.dry_run:
        lines = []
        if result.removed:
            names = ", ".join(map(str, result.removed))
            lines.append(f"deleted {names}: {format_size(result.freed)}")
        if result.leftovers:
            lines.append(f"deleted {count(result.leftovers, 'leftover')} of crashed commands")
        return page(lines)
    lines = []
    for kept in result.kept:
        lines += hanging(f"keep    {kept.version}  ({', '.join(kept.reasons)})", "")
        for holder in kept.by:
            lines += hanging(holder, " " * len("keep    "))
    lines += [f"delete  {version}" for version in reversed(result.removed)]
    lines.append(f"would delete {count(len(result.removed), 'version')}: {format_size(result.freed)}")
    if result.unseen:
        lines.append(_unseen(result.unseen))
    return page(lines)
