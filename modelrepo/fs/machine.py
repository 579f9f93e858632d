"""What the machine knows: the time, the boot, the user. The only place that asks."""

from __future__ import annotations

import os
import platform
import pwd
import time
from datetime import UTC, datetime

from modelrepo.core.moment import Moment
from modelrepo.core.values import Actor, has_control

_CLAIMS = ("MODELREPO_ACTOR", "SUDO_USER")
_CLAIM_LIMIT = 200


def now() -> Moment:
    """The present, on both clocks."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(datetime.now(UTC), _boot(), round(time.clock_gettime(clock), 3))


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # no Linux: ages then go by the wall clock
        return ""


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
