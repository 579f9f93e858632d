"""When `verify` has last read each version whole: a derived file that can be lost, and that not everybody may keep.

So that a full check can be spread over several runs: each goes on with what was not checked for the longest time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import datetime

from modelrepo.core.index import seal, unseal
from modelrepo.core.layout import Layout
from modelrepo.core.modes import FILE
from modelrepo.core.refs import Version
from modelrepo.core.values import format_time, read_time
from modelrepo.errors import SystemRefusedError
from modelrepo.fs import durable, machine
from modelrepo.fs.files import read_file
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import check_file_system, token

_MAX_BYTES = 64 * 1024 * 1024


def load(layout: Layout) -> dict[Version, datetime]:
    """When each version was last read whole and found sound; what lies in the future is not believed."""
    try:
        said = json.loads(bytes(unseal(read_file(layout.checked, _MAX_BYTES))))["checked"]
        times = {Version.from_name(name): read_time(time) for name, time in said.items()}
        now = machine.now().time
        return {version: time for version, time in times.items() if version is not None and time <= now}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def save(snapshot: Snapshot, checked: Mapping[Version, datetime]) -> None:
    """Remember it, of the versions that are there, where this user may. Nobody waits: the last of several counts."""
    layout = snapshot.layout
    kept = {str(version): format_time(checked[version]) for version in sorted(snapshot.present & checked.keys())}
    data = seal(json.dumps({"checked": kept}, indent=0).encode() + b"\n")
    with contextlib.suppress(OSError, SystemRefusedError):
        check_file_system(layout.root, snapshot.config.storage)
        durable.replace_file(layout.checked, data, FILE, layout.staging / token("tmp"), synced=False)
