"""What was said about a version after its push: labels, metrics and a message over those of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from modelrepo.core.values import Value

T = TypeVar("T")


class About(Value):
    """What `list` and `show` say of a version in words and numbers."""

    labels: dict[str, str]
    metrics: dict[str, float]
    message: str | None


class Annotation(Value):
    """An annotation of a version, or the sum of several.

    Attributes:
        labels: Labels that were given.
        metrics: Metrics that were given.
        message: The message that was given; an empty one hides the manifest's, None leaves it.
        unset: Keys of the manifest's labels and metrics that were taken away.
    """

    labels: Mapping[str, str] = {}
    metrics: Mapping[str, float] = {}
    message: str | None = None
    unset: frozenset[str] = frozenset()

    def then(self, more: Annotation) -> Annotation:
        """The sum with one more: what it takes away goes first, then it gives."""
        return Annotation(
            {**_without(self.labels, more.unset), **more.labels},
            {**_without(self.metrics, more.unset), **more.metrics},
            self.message if more.message is None else more.message,
            self.unset | more.unset,
        )

    def over(self, about: About) -> About:
        """What is said of a version whose manifest says `about`.

        >>> said = About({"stage": "test", "team": "ads"}, {"auc": 0.5}, "first")
        >>> Annotation(labels={"stage": "live"}, message="", unset=frozenset({"team"})).over(said)
        About(labels={'stage': 'live'}, metrics={'auc': 0.5}, message=None)
        """
        labels = {**_without(about.labels, self.unset), **self.labels}
        metrics = {**_without(about.metrics, self.unset), **self.metrics}
        message = about.message if self.message is None else self.message or None
        return About(dict(sorted(labels.items())), dict(sorted(metrics.items())), message)


def _without(values: Mapping[str, T], keys: frozenset[str]) -> dict[str, T]:
    return {key: value for key, value in values.items() if key not in keys}
