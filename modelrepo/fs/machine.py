"""What the machine knows: the time, the boot, users and groups. The only place that asks."""

from __future__ import annotations

import grp
import os
import platform
import pwd
from datetime import UTC, datetime

from modelrepo.core.moment import Moment
from modelrepo.core.values import Actor, has_control
from modelrepo.fs import native

_CLAIMS = ("MODELREPO_ACTOR", "SUDO_USER")
_CLAIM_LIMIT = 200
#: The number that means "no change" to the system.
_NO_GROUP = 2**32 - 1


def now() -> Moment:
    """The present, on both clocks."""
    return Moment(datetime.now(UTC), native.boot(), round(native.uptime(), 3))  # no boot: ages go by the wall clock


def user_name(uid: int) -> str:
    """A user's name, or the number where the system has none (containers run as such users)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def actor() -> Actor:
    """Who runs this process."""
    claims = {}
    for name in _CLAIMS:
        value = os.environ.get(name, "")[:_CLAIM_LIMIT]
        if value and not has_control(value) and value.isprintable():
            claims[name] = value
    uid = os.geteuid()
    return Actor(user=user_name(uid), uid=uid, host=platform.node() or "localhost", claims=claims)


def owner(uid: int) -> Actor:
    """Who owns a link, as far as this host knows."""
    return Actor(user=user_name(uid), uid=uid, host=platform.node() or "localhost")


def group_number(name: str) -> int | None:
    """A group's number, from its name or from a number, which need not have a name; None where there is no such one."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return int(name) if name.isascii() and name.isdecimal() and int(name) < _NO_GROUP else None


def group_name(gid: int) -> str:
    """A group's name, or the number where the system has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def may_give_to(gid: int) -> bool:
    """Whether this process may give its files to a group: it is a member, or root."""
    return os.geteuid() == 0 or gid == os.getegid() or gid in os.getgroups()
