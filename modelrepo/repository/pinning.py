"""`pin` and `unpin`: keeping a version for ever, and no longer. The record is the change."""

from __future__ import annotations

from modelrepo.core.layout import Layout
from modelrepo.core.refs import Ref
from modelrepo.repository.results import PinResult
from modelrepo.repository.writing import writing


def pin(layout: Layout, ref: Ref, reason: str | None, timeout: float | None) -> PinResult:
    """Keep a version for ever. Pinning it again for another reason records the new reason."""
    with writing(layout, timeout) as writer:
        version = writer.snapshot().resolve(ref)
        before = writer.state.pins.get(version)
        changed = before is None or (reason is not None and reason != before.reason)
        if changed:
            writer.record_change("pin", version=version, reason=reason)
        return PinResult(version=version, pinned=True, changed=changed)


def unpin(layout: Layout, ref: Ref, timeout: float | None) -> PinResult:
    """Keep a version no longer than retention says."""
    with writing(layout, timeout) as writer:
        version = writer.snapshot().resolve(ref)
        changed = version in writer.state.pins
        if changed:
            writer.record_change("unpin", version=version)
        return PinResult(version=version, pinned=False, changed=changed)
