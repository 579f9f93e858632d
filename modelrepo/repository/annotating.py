"""`annotate`: saying more about a version. The record is the change; the manifest stays as it was pushed."""

from __future__ import annotations

from modelrepo.core.annotations import About, Annotation
from modelrepo.core.layout import Layout
from modelrepo.core.refs import Ref
from modelrepo.repository.results import AnnotateResult
from modelrepo.repository.writing import writing


def annotate(layout: Layout, ref: Ref, said: Annotation, timeout: float | None) -> AnnotateResult:
    """Give a version labels, metrics and a message, or take some away. What changes nothing is not recorded."""
    with writing(layout, timeout) as writer:
        snapshot = writer.snapshot()
        version = snapshot.resolve(ref)
        manifest = snapshot.outline(version)
        before = snapshot.about(manifest)
        unset = said.unset & (before.labels.keys() | before.metrics.keys())
        before_all = writer.state.annotations.get(version, Annotation())
        after = before_all.then(said).over(About(manifest.labels, manifest.metrics, manifest.message))
        if after != before:
            writer.record_change(
                "annotate",
                version=version,
                labels=dict(said.labels) or None,
                metrics=dict(said.metrics) or None,
                message=said.message,
                unset=tuple(sorted(unset)) or None,
            )
        return AnnotateResult(
            version=version,
            labels=after.labels,
            metrics=after.metrics,
            message=after.message,
            changed=after != before,
        )
