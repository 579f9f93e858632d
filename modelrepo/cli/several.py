"""One command for several repositories: each is asked, whatever became of the one before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import typer

from modelrepo.cli.answers import Answer, Answers
from modelrepo.cli.app import Run
from modelrepo.core.refs import Version
from modelrepo.errors import ModelRepoError, NoRepositoryError, RequestError

RootsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ROOT]...", help="The repositories; none for the usual one.")
]


def several(run: Run, roots: Sequence[str], one: Callable[[Run], Answer]) -> Answers:
    """Ask each repository.

    Args:
        run: What the user said besides.
        roots: The repositories.
        one: The command for one of them.

    Raises:
        RequestError: `--repo` names another one beside them.
    """
    if run.repo is not None:
        raise RequestError("--repo and ROOT exclude each other", kind="options-exclude", got=f"--repo {run.repo}")
    return Answers(_each(run, roots, one))


def _each(run: Run, roots: Sequence[str], one: Callable[[Run], Answer]) -> Iterator[tuple[str, Answer]]:
    for root in roots:
        place = os.path.realpath(root)  # two ways to one repository are said to be one
        try:
            yield place, one(replace(run, repo=root))
        except ModelRepoError as error:
            if isinstance(error, NoRepositoryError) and Version.from_name(root) is not None:
                error.hint = f"repositories are named here; `modelrepo show {root}` is about a version"
            yield place, Answer(error.partial or (), "", error=error)
