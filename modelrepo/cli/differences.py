"""A comparison of two models as text for people."""

from __future__ import annotations

from modelrepo.cli.answers import hanging, page
from modelrepo.core.units import format_size
from modelrepo.repository import results


def diff(result: results.DiffResult) -> str:
    """What changes for callers first, then files and ops."""
    lines = [f"{_side(result.before)} -> {_side(result.after)}"]
    found = result.signatures
    if found is None:
        lines.append("callers: not compared")
    elif not found.breaking and not found.compatible:
        lines.append("callers: nothing changes")
    for word, changes in (("breaking", found.breaking), ("compatible", found.compatible)) if found is not None else ():
        if changes:
            lines.append(f"{word}:")
            for change in changes:
                lines += hanging(change.text, "  ")
    files = result.files
    counts = f"{len(files.added)} added, {len(files.removed)} removed, {len(files.changed)} changed"
    lines.append(f"files: {counts}; {format_size(result.size.before)} -> {format_size(result.size.after)}")
    for mark, those in (("+", files.added), ("-", files.removed), ("~", files.changed)):
        for file in those:
            sizes = [format_size(size) for size in (file.before, file.after) if size is not None]
            lines += hanging(f"{mark} {file.path}  {' -> '.join(dict.fromkeys(sizes))}", "  ")
    if result.ops is not None:
        lines.append("ops: " + (f"counts of {len(result.ops)} differ" if result.ops else "nothing changes"))
        lines += [f"  {op}  {count.before} -> {count.after}" for op, count in result.ops.items()]
    return page(lines)


def _side(compared: results.Compared) -> str:
    return str(compared.version) if compared.version is not None else str(compared.path)
