"""`verify`: checking versions, several at once, and the repository around them; and when that was last done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta

from modelrepo.core.layout import Layout
from modelrepo.core.refs import Ref, Version
from modelrepo.errors import BusyError, from_os
from modelrepo.fs import machine
from modelrepo.fs.digesting import Seen
from modelrepo.fs.locks import Hold
from modelrepo.repository import checks, leasing, verifying
from modelrepo.repository import snapshot as reading
from modelrepo.repository.progress import Counter, Progress
from modelrepo.repository.results import Problem, VerifyResult
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.summing import Digests, Pending

#: So many files and versions are being read or wait for it: enough for all cores, and few leases.
_AHEAD_FILES = 1000
_AHEAD_VERSIONS = 32
#: A run that is killed loses no more than this of what it has checked.
_SAVE_SECONDS = 30.0
_NEVER = datetime.min.replace(tzinfo=UTC)
#: What leaves a version's own bytes as they were pushed.
_NO_DAMAGE = {"mode", "file-extra", "golden-damaged", "derived-damaged"}


def verify(
    layout: Layout,
    refs: Sequence[Ref],
    *,
    quick: bool,
    unchecked_for: timedelta | None = None,
    repaired: tuple[Problem, ...] = (),
    progress: Progress | None = None,
) -> VerifyResult:
    """Check versions, and with no refs everything.

    Args:
        layout: Where.
        refs: Which versions; none for all, and for the links, views and journal too.
        quick: Read no bytes: sizes and modes only.
        unchecked_for: Read the bytes only of versions that were last read whole longer ago than this.
        repaired: What a repair has mended just before.
        progress: Is told how many bytes are read.
    """
    snapshot = reading.take(layout, whole=True, lines=True)
    versions = sorted({snapshot.resolve(ref) for ref in refs} if refs else snapshot.present)
    findings = [] if refs else verifying.structure(snapshot)
    times = checks.load(layout)
    old = set() if quick else set(versions)
    if unchecked_for is not None:
        begin = machine.now().time - unchecked_for
        old = {version for version in versions if version not in times or times[version] < begin}
    total = sum(snapshot.state.stored[version].size for version in old if version in snapshot.state.stored)
    by = _read(snapshot, old, times, Counter(total, progress).add)
    for version in versions:
        findings += by[version] if version in old else _held_or(snapshot, version, None).problems()
    found = (*repaired, *findings)
    return VerifyResult(
        ok=all(problem.note or problem.repaired for problem in found),
        versions=tuple(versions),
        read=tuple(sorted(old)),
        findings=found,
    )


def _read(
    snapshot: Snapshot, versions: AbstractSet[Version], times: dict[Version, datetime], seen: Seen
) -> dict[Version, list[Problem]]:
    """Check versions with all their bytes, several at once, and remember when those were that are sound.

    What was not checked for the longest time comes first, so that runs that are stopped get through in the end.
    """
    found: dict[Version, list[Problem]] = {}
    waiting: deque[tuple[Version, _Check]] = deque()
    saved = time.monotonic()
    order = deque(sorted(versions, key=lambda version: (times.get(version, _NEVER), version)))
    try:
        with Digests(seen) as digests:
            while order or waiting:
                if order and sum(check.size for _, check in waiting) < _AHEAD_FILES and len(waiting) < _AHEAD_VERSIONS:
                    version = order.popleft()
                    waiting.append((version, _held_or(snapshot, version, digests)))
                    continue
                version, check = waiting.popleft()
                found[version] = check.problems()
                times.pop(version, None)
                if all(problem.note for problem in found[version]):
                    times[version] = machine.now().time
                if time.monotonic() - saved > _SAVE_SECONDS:
                    checks.save(snapshot, times)
                    saved = time.monotonic()
    finally:
        for _, check in waiting:
            check.close()
        if versions:
            checks.save(snapshot, times)
    return found


class _Check:
    """One version's check: what is known of it, and the digests that are still being made, under a lease meanwhile."""

    def __init__(self, parts: Iterable[Problem | Pending], hold: Hold | None = None) -> None:
        self._parts = list(parts)
        self._hold = hold

    @property
    def size(self) -> int:
        """How many parts it has."""
        return len(self._parts)

    def problems(self) -> list[Problem]:
        """What is wrong, once all is read."""
        try:
            said = (part if isinstance(part, Problem) else part.problem() for part in self._parts)
            return [problem for problem in said if problem is not None]
        finally:
            self.close()

    def close(self) -> None:
        """End the lease."""
        if self._hold is not None:
            self._hold.close()


def _held_or(snapshot: Snapshot, version: Version, digests: Digests | None) -> _Check:
    """As `checked`; somebody who holds the version stops no check of the others."""
    try:
        return checked(snapshot, version, digests)
    except BusyError as error:
        return _Check([Problem(kind="held", path=str(version), detail=f"not checked: {error.message}")])


def checked(snapshot: Snapshot, version: Version, digests: Digests | None) -> _Check:
    """Begin to check one version while holding a lease, so that no cleanup deletes it meanwhile.

    Args:
        snapshot: What was seen.
        version: Which one.
        digests: Makes digests; None to read no bytes.

    Raises:
        BusyError: Somebody who wants to delete it held it for too long.
    """
    try:
        hold = leasing.hold(snapshot.layout, version)
    except FileNotFoundError:
        if version not in reading.take(snapshot.layout).state.stored:
            return _Check([])  # a cleanup was faster
        return _Check(
            [Problem(kind="version-lost", path=str(version), detail="its directory is gone without a record")]
        )
    except PermissionError as error:
        return _Check([Problem(kind="unreadable", path=str(version), detail=from_os(error, "read it").message)])
    try:
        return _Check(verifying.contents(snapshot, version, digests), hold)
    except BaseException:
        hold.close()
        raise


def damage(snapshot: Snapshot, version: Version) -> list[Problem]:
    """What is wrong with one version's bytes; modes, what lies beside it, and files that were not pushed do not count.

    Raises:
        BusyError: Somebody who wants to delete it held it for too long.
    """
    with Digests() as digests:
        found = checked(snapshot, version, digests).problems()
    return [problem for problem in found if problem.kind not in _NO_DAMAGE]
