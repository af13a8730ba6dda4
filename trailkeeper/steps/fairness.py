"""What fair shares stand on: how many processes pull, on all hosts, and how long pulls hold one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trailkeeper.model.fairness import LONG_PULL, Speed, speed_key
from trailkeeper.model.stream import Stream
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.notes import Notebook

_PULLERS = "pullers/"
_LOOKED_AT_EVERY = timedelta(minutes=1)
_GONE_AFTER = timedelta(minutes=10)
"""a host that noted nothing for so long pulls nothing, or has nothing to pull"""
_FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(slots=True)
class Fairness:
    """One per pulling process of the service. `here`: how many there are on this `host`."""

    ledger: Notebook
    clock: Clock
    host: str
    here: int
    _count: int = field(default=0, init=False)
    _counted_at: datetime | None = field(default=None, init=False)

    def processes(self) -> int:
        """Pulling processes on all hosts, this one's included; looked at once a minute."""
        now = self.clock.now()
        if self._counted_at is None or abs(now - self._counted_at) >= _LOOKED_AT_EVERY:
            self._count, self._counted_at = self._counted(now), now
        return self._count

    def _counted(self, now: datetime) -> int:
        mine = f"{_PULLERS}{self.host}"
        self.ledger.note(mine, str(self.here), now)
        others = 0
        for key, (value, noted_at) in self.ledger.all_noted(_PULLERS).items():
            if key == mine:
                continue
            away = abs(now - noted_at)  # a note of time to come is of a clock that ran ahead
            if away > _FORGOTTEN_AFTER:
                self.ledger.forget(key)
            elif away <= _GONE_AFTER and value.isdecimal():
                others += int(value)
        return self.here + others

    def held(self, stream: Stream, since: datetime, *, landed: bool) -> None:
        """A pull of `stream` held its process from `since` until now.

        One that failed at once says nothing of how long its service takes to answer.
        """
        is_long = self.clock.now() - since >= LONG_PULL
        if not is_long and not landed:
            return
        speed, key = Speed.LONG if is_long else Speed.QUICK, speed_key(stream)
        noted = self.ledger.noted(key)
        if noted is None or noted[0] != speed.value:
            self.ledger.note(key, speed.value, self.clock.now())
