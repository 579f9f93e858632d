"""When something happened, so that a clock that jumps does not make old things young or young things old."""

from __future__ import annotations

from datetime import datetime, timedelta

from modelrepo.core.values import Value


class Moment(Value):
    """A point in time, on the wall clock and on the clock that never jumps.

    Attributes:
        time: Wall clock, with a zone.
        boot: The identity of the machine's current run; two moments of one boot can be compared by `uptime`.
        uptime: Seconds since that boot.
    """

    time: datetime
    boot: str
    uptime: float

    def age(self, now: Moment) -> timedelta:
        """How long ago this was. Within one boot the wall clock is not asked; a time in the future is age 0.

        >>> from datetime import UTC
        >>> then = Moment(datetime(2026, 1, 1, tzinfo=UTC), "b", 10.0)
        >>> then.age(Moment(datetime(2036, 1, 1, tzinfo=UTC), "b", 70.0))
        datetime.timedelta(seconds=60)
        """
        if self.boot and self.boot == now.boot:
            return max(timedelta(0), timedelta(seconds=now.uptime - self.uptime))
        return max(timedelta(0), now.time - self.time)
