"""How many records a tenant writes in each hour of the week, learned from what was seen.

A hint for planning, never evidence: it decides how windows are cut, not whether they are complete.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window, union

HOUR = timedelta(hours=1)
HOURS = 168
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MONDAY = 4 * 24
"""hours from 1970-01-01, a Thursday, to the first Monday"""
_MOST_HOURS = 160
"""of the week's 168: windows that begin and end within an hour leave some hours out"""
_WEEKEND = 5 * 24
"""Saturday and Sunday, or what is left of them in the tenant's own time"""
_ROUNDED = 0.02
"""of a piece's records: so many may be on the wrong side of a cut that falls on a whole hour"""
_MEMORY = 6.0
"""weeks that an hour's average looks back on: older weeks fade"""


def density_key(stream: Stream) -> str:
    """Where the ledger keeps the density of a stream's week."""
    return f"density/{stream}"


def hour_number(moment: datetime) -> int:
    """Whole hours since 1970-01-01 UTC."""
    return (moment - _EPOCH) // HOUR


@dataclass(frozen=True, slots=True)
class Density:
    """`rows[h]` records were seen in `weeks[h]` (fading) observations of hour h of the week (UTC,
    Monday 00:00 first)."""

    rows: tuple[float, ...] = (0.0,) * HOURS
    weeks: tuple[float, ...] = (0.0,) * HOURS

    @property
    def known(self) -> bool:
        """Whether nearly a whole week was seen, which is when planning may rely on it."""
        return sum(w > 0 for w in self.weeks) >= _MOST_HOURS

    def learn(self, proven: Iterable[Window], rows_by_hour: Mapping[int, int]) -> Density:
        """Add the whole hours inside `proven` time; `rows_by_hour` by `hour_number`."""
        rows, weeks = list(self.rows), list(self.weeks)
        for window in union(proven):
            for number in _whole_hours(window):
                slot = _slot(number)
                fade = min(1.0, (_MEMORY - 1) / weeks[slot]) if weeks[slot] else 1.0
                rows[slot] = rows[slot] * fade + rows_by_hour.get(number, 0)
                weeks[slot] = weeks[slot] * fade + 1
        return Density(tuple(rows), tuple(weeks))

    @property
    def seen(self) -> bool:
        """Whether any hour was seen; the others are guessed from it."""
        return any(self.weeks)

    def expected(self, window: Window) -> float:
        """Records to expect in `window`."""
        return self._curve(window)[-1]

    def cut(self, window: Window, count: int, longest: timedelta) -> list[Window]:
        """`count` pieces of `window` with about equally many expected records, or more pieces
        where one would be over `longest`.

        Cuts fall on whole hours, which teach the tenant's week, where that moves few records.
        """
        curve, borders = self._curve(window), _borders(window)
        share = curve[-1] / count
        edges = [_edge(curve, borders, n * share, share * _ROUNDED) for n in range(1, count)]
        return [
            part
            for piece in window.split(*edges)
            for part in piece.split(*_hours_between(piece, -(-piece.duration // longest)))
        ]

    def _curve(self, window: Window) -> list[float]:
        """Records to expect from the window's start to each of its `_borders`."""
        rates = self._rates()
        hours = (rates[_slot(number)] * share for number, share in _shares(window))
        return list(accumulate(hours, initial=0.0))

    def _rates(self) -> list[float]:
        """Records of each hour of the week. An hour never seen is taken for the mean of the same
        hour on like days, else on any day, else of all that was seen."""
        rates = [r / w if w else None for r, w in zip(self.rows, self.weeks, strict=True)]
        mean = sum(self.rows) / max(1.0, sum(self.weeks))
        return [
            rate if rate is not None else _alike(rates, slot, mean)
            for slot, rate in enumerate(rates)
        ]

    def busiest(self) -> int | None:
        """The hour of the week with most records; None before anything was seen."""
        rates = [r / w if w else 0.0 for r, w in zip(self.rows, self.weeks, strict=True)]
        return rates.index(max(rates)) if any(rates) else None

    def to_text(self) -> str:
        """As kept in the ledger: one number a column."""
        return ";".join(",".join(f"{n:.4g}" for n in column) for column in (self.rows, self.weeks))

    @classmethod
    def from_text(cls, text: str) -> Density:
        """What `to_text` wrote; anything else is an empty density."""
        try:
            rows, weeks = (tuple(map(float, c.split(","))) for c in text.split(";"))
        except ValueError:
            return cls()
        return cls(rows, weeks) if len(rows) == len(weeks) == HOURS else cls()


def _alike(rates: list[float | None], slot: int, mean: float) -> float:
    same_hour = range(slot % 24, HOURS, 24)
    like_days = [s for s in same_hour if (s >= _WEEKEND) == (slot >= _WEEKEND)]
    for slots in (like_days, same_hour):
        found = [rate for s in slots if (rate := rates[s]) is not None]
        if found:
            return sum(found) / len(found)
    return mean


def _edge(curve: list[float], borders: list[datetime], target: float, slack: float) -> datetime:
    """When `target` records are past; on a border when one is near enough."""
    after = bisect_left(curve, target)
    if after in (0, len(curve)):
        return borders[0]
    for near in (after, after - 1):
        if abs(curve[near] - target) <= slack:
            return borders[near]
    inside = (target - curve[after - 1]) / (curve[after] - curve[after - 1])
    edge = borders[after - 1] + (borders[after] - borders[after - 1]) * inside
    return edge.replace(microsecond=0)


def _slot(number: int) -> int:
    return (number - _FIRST_MONDAY) % HOURS


def _whole_hours(window: Window) -> range:
    first = -((_EPOCH - window.start) // HOUR)
    return range(first, hour_number(window.end))


def _shares(window: Window) -> Iterable[tuple[int, float]]:
    """Every hour that `window` touches, with the share of it that lies inside."""
    for number in range(hour_number(window.start), -((_EPOCH - window.end) // HOUR)):
        begins = _EPOCH + number * HOUR
        inside = min(begins + HOUR, window.end) - max(begins, window.start)
        yield number, inside / HOUR


def _borders(window: Window) -> list[datetime]:
    """The window's start, every whole hour inside, its end."""
    first, last = hour_number(window.start) + 1, -((_EPOCH - window.end) // HOUR)
    inside = [_EPOCH + number * HOUR for number in range(first, last)]
    return [window.start, *inside, window.end]


def _hours_between(window: Window, count: int) -> list[datetime]:
    """Whole hours that cut `window` into `count` about equally long pieces."""
    edges = (window.start + window.duration * n / count for n in range(1, count))
    return [edge.replace(minute=0, second=0, microsecond=0) for edge in edges]
