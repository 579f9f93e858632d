"""What several repositories answer together."""

from __future__ import annotations

from collections.abc import Sequence

from modelrepo.core.layout import Layout
from modelrepo.repository import querying, results
from modelrepo.repository.border import border
from modelrepo.repository.facade import Repository


def serving_config(
    repositories: Sequence[Repository], *, name: str | None = None, base_path: str | None = None
) -> results.ServingConfig:
    """One configuration for several repositories: TensorFlow Serving takes a single list of models.

    Args:
        repositories: Which.
        name: As `Repository.serving_config`, for a single one.
        base_path: For several, the directory that holds them all as the server sees it.
    """
    with border("read the channels"):
        layouts = [Layout(repository.root) for repository in repositories]
        return querying.serving_config(layouts, name, base_path)
