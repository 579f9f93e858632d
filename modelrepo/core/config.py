"""The repository's settings, `.modelrepo/config.toml`. What is unknown there is an error, never a default."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import Any, Literal

from modelrepo.core import kinds
from modelrepo.core.formats import FORMAT, newer_format
from modelrepo.core.modes import PRIVATE, SHARED, Modes
from modelrepo.core.units import parse_duration
from modelrepo.core.values import Value
from modelrepo.errors import IntegrityError, RequestError


def _duration(value: object) -> timedelta:
    if type(value) is not str:
        raise ValueError('a duration is written as "24h"')
    try:
        return parse_duration(value)
    except RequestError as error:
        raise ValueError(error.message) from None


class Retention(Value):
    """What cleanup keeps.

    Attributes:
        keep_last: The newest versions, by number.
        keep_rollback: Distinct existing targets beneath the top of each channel's stack, at least 1.
        min_age: Younger versions stay.
        grace: What a channel left less than this ago stays.
    """

    keep_last: int = 5
    keep_rollback: int = 2
    min_age: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(hours=24)


class Gates(Value):
    """What promote asks for.

    Attributes:
        breaking: What to do where the new target breaks callers of the present one.
        require_load: What to do where TensorFlow has not loaded the new target at its push.
    """

    breaking: Literal["refuse", "warn", "off"] = "refuse"
    require_load: Literal["refuse", "warn", "off"] = "warn"


class Access(Value):
    """Who may write.

    Attributes:
        shared: Whether members of the root directory's group may.
    """

    shared: bool = False


class Storage(Value):
    """Where the repository may lie, and how bytes are stored.

    Attributes:
        dedup: How a push stores what is stored already: as a clone that shares its blocks, where the file system can,
            as one more name for the same file, or as a copy.
        network_fs: Whether it may be written on a file system that is not known to keep the promises.
    """

    dedup: Literal["reflink", "hardlink", "off"] = "reflink"
    network_fs: bool = False


class Config(Value):
    """All settings."""

    format: Literal[1]
    retention: Retention = Retention()
    gates: Gates = Gates()
    access: Access = Access()
    storage: Storage = Storage()

    @property
    def modes(self) -> Modes:
        """The modes of everything in the repository."""
        return SHARED if self.access.shared else PRIVATE


def config_text(*, shared: bool = False, network_fs: bool = False, dedup: str = "reflink") -> str:
    """What `init` writes: every key, with its default unless the caller of `init` asked for something else."""
    return f"""\
# modelrepo: this file makes the directory above it a repository. Unknown keys are errors.
format = {FORMAT}

[retention]              # what `modelrepo cleanup` keeps, beside channels, pins, leases and what is in use
keep_last = 5            # the newest versions
keep_rollback = 2        # rollback targets of each channel, at least 1
min_age = "24h"          # whatever is younger
grace = "24h"            # whatever a channel left less than this ago

[gates]
breaking = "refuse"      # a promote that breaks callers: "refuse", "warn" or "off"
require_load = "warn"    # a promote of what TensorFlow has not loaded: "refuse", "warn" or "off"

[access]
shared = {_truth(shared)}           # whether members of the root directory's group may write

[storage]
dedup = {f'"{dedup}"':<16} # what is stored already: "reflink" (shares blocks where it can), "hardlink" or "off"
network_fs = {_truth(network_fs)}       # whether to write on NFS, SMB or FUSE, where less is promised
"""


def _truth(value: bool) -> str:  # noqa: FBT001 - it is the value
    return "true" if value else "false"


DEFAULT_TEXT = config_text()


def parse_config(data: bytes, where: str) -> Config:
    """Read the settings.

    Args:
        data: The raw bytes.
        where: The file's path, for messages.

    Raises:
        IntegrityError: They cannot be read, hold an unknown key or a wrong value, or are of a newer format.
    """
    hint = (
        "correct it by hand: format = 1; [retention] keep_last, keep_rollback, min_age, grace; "
        "[gates] breaking, require_load; [access] shared; [storage] dedup, network_fs"
    )
    try:
        fields = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # tomllib's own error, no UTF-8, absurd numbers, absurd nesting
        raise IntegrityError(f"{where} is not TOML: {str(error)[:200]}", kind="config-damaged", hint=hint) from error
    number = fields.get("format")
    if type(number) is int and number > FORMAT:
        raise newer_format(where, number)
    try:
        return _read(fields)
    except ValueError as error:
        raise IntegrityError(f"{where} is not a configuration: {error}", kind="config-damaged", hint=hint) from error


_GATE = kinds.one_of("refuse", "warn", "off")
_SECTIONS: dict[str, tuple[type[Value], dict[str, kinds.Kind]]] = {
    "retention": (
        Retention,
        {
            "keep_last": kinds.whole(0),
            "keep_rollback": kinds.whole(1),
            "min_age": _duration,
            "grace": _duration,
        },
    ),
    "gates": (Gates, {"breaking": _GATE, "require_load": _GATE}),
    "access": (Access, {"shared": kinds.truth}),
    "storage": (Storage, {"dedup": kinds.one_of("reflink", "hardlink", "off"), "network_fs": kinds.truth}),
}


def _read(fields: dict[str, object]) -> Config:
    if type(number := fields.pop("format", None)) is not int or number != FORMAT:  # neither True nor 1.0 is 1
        raise ValueError(f"format: it is not {FORMAT}")
    found: dict[str, Any] = {"format": FORMAT}
    for name, given in fields.items():
        if name not in _SECTIONS:
            raise ValueError(f"{name}: unknown key")
        section, known = _SECTIONS[name]
        found[name] = section(**kinds.read(known, given, prefix=f"{name}."))
    return Config(**found)
