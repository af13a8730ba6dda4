"""Rows that are known to exist, and so must show in every answer that is asked to hold them.

An empty answer proves nothing by itself: a service that hides rows looks the same (D10). Stretched
until it holds a known row, the same question does: hidden rows would take the known one with them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from trailkeeper.model.search.answer.rows import SECOND, SearchAnswer, from_micros, micros
from trailkeeper.model.window import Window

KEPT = 64
"""sentinels that outlive a walk; about 60 bytes each in the ledger"""


@dataclass(frozen=True, slots=True, order=True)
class Sentinel:
    """A row that was received: its second, and its key."""

    second: datetime
    key: str

    def stretched(self, window: Window) -> Window:
        """The shortest question that holds both `window` and this row."""
        start, end = min(window.start, self.second), max(window.end, self.second + SECOND)
        return Window(start, end, window.axis)

    def distance(self, window: Window) -> timedelta:
        """Zero inside `window`."""
        if self.second < window.start:
            return window.start - self.second
        return max(self.second + SECOND - window.end, timedelta())


class Sentinels:
    """The known rows of one tenant: at the edges of what its answers held."""

    def __init__(self, known: Iterable[Sentinel] = ()) -> None:
        self._keys = {sentinel.second: sentinel.key for sentinel in known}
        self._seconds = sorted(self._keys)

    def __bool__(self) -> bool:
        return bool(self._seconds)

    def notice(self, answer: SearchAnswer) -> None:
        """Remember the first and the last row of what was asked; strangers are no sentinels."""
        low, high = micros(answer.asked.start - SECOND), micros(answer.asked.end)
        times = answer.times
        if times and not low <= min(times) <= max(times) < high:
            times = [time for time in times if low <= time < high]
        for time in {min(times), max(times)} if times else ():
            key = answer.keys[answer.times.index(time)]
            if key:
                self._add(Sentinel(from_micros(time).replace(microsecond=0), key))

    def near(self, window: Window, reach: timedelta) -> list[Sentinel]:
        """The nearest on either side and the first inside, at most `reach` away, nearest first."""
        at, beyond = (bisect_left(self._seconds, edge) for edge in (window.start, window.end))
        found = {self._seconds[n] for n in (at - 1, at, beyond) if 0 <= n < len(self._seconds)}
        sentinels = [Sentinel(second, self._keys[second]) for second in found]
        close = [w for w in sentinels if w.distance(window) <= reach]
        return sorted(close, key=lambda w: (w.distance(window), w))

    def forget(self, sentinel: Sentinel) -> None:
        """Its row can be asked for no more."""
        if self._keys.pop(sentinel.second, None) is not None:
            self._seconds.remove(sentinel.second)

    def kept(self) -> tuple[Sentinel, ...]:
        """At most `KEPT`: both ends, and the others spread evenly over the time between."""
        seconds = self._seconds
        if len(seconds) > KEPT:
            first, span = seconds[0], seconds[-1] - seconds[0]
            places = (bisect_left(seconds, first + span * n / (KEPT - 1)) for n in range(KEPT))
            seconds = sorted({seconds[place] for place in places})
        return tuple(Sentinel(second, self._keys[second]) for second in seconds)

    def _add(self, sentinel: Sentinel) -> None:
        if sentinel.second not in self._keys:
            self._seconds.insert(bisect_left(self._seconds, sentinel.second), sentinel.second)
        self._keys[sentinel.second] = sentinel.key
