"""Documents: what comes from outside as JSON and is read whole, by pydantic; with the fields that several share.

Manifests, and what the inspector's child says. Nothing that every command imports may import this: pydantic takes
longer than a promote.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, WithJsonSchema

from modelrepo.core.refs import Version
from modelrepo.core.values import format_time, read_time, read_version

Timestamp = Annotated[
    datetime,
    BeforeValidator(read_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
VersionField = Annotated[
    Version,
    BeforeValidator(read_version),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^v[1-9][0-9]*$"}),
]


class Document(BaseModel):
    """A frozen document without surprises: unknown fields are errors.

    Its validator is built when it is first used, not at import: most commands use a few of the many.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found, in one line."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
