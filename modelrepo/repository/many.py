"""What several repositories answer together."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from modelrepo.core.layout import Layout
from modelrepo.errors import ModelRepoError
from modelrepo.repository import querying, results
from modelrepo.repository import snapshot as reading
from modelrepo.repository.border import border
from modelrepo.repository.facade import Repository
from modelrepo.repository.snapshot import Snapshot


def serving_config(
    repositories: Sequence[Repository],
    *,
    name: str | None = None,
    base_path: str | None = None,
    leave_out: Collection[str] = (),
) -> tuple[results.ServingConfig, tuple[ModelRepoError, ...]]:
    """One configuration for several repositories: TensorFlow Serving takes a single list of models.

    Args:
        repositories: Which.
        name: As `Repository.serving_config`, for a single one.
        base_path: For several, the directory that holds them all as the server sees it.
        leave_out: Channels that get no entry; each must be in one of the repositories.

    Returns:
        The configuration of those that could be read, and an error for each of the others: a server that is given a
        configuration without a model stops serving it.

    Raises:
        RequestError: Two channels would be served under one name, or one has none.
        NotFoundError: A channel that shall be left out is not there.
    """
    readable: list[Snapshot] = []
    failed: list[ModelRepoError] = []
    for repository in repositories:
        try:
            with border("read the channels"):
                readable.append(reading.take(Layout(repository.root)))
        except ModelRepoError as error:
            failed.append(error)
    with border("read the channels"):
        if not failed:  # it may be a channel of one of those
            querying.check_channels(readable, leave_out)
        config = querying.serving_config(readable, name, base_path, leave_out, many=len(repositories) > 1)
    return config, tuple(failed)
