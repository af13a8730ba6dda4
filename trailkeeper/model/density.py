"""How many records a tenant writes in each hour of the week, learned from what was seen.

A hint for planning, never evidence: it decides how windows are cut, not whether they are complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trailkeeper.model.window import Window, union

HOUR = timedelta(hours=1)
HOURS = 168
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MONDAY = 4 * 24
"""hours from 1970-01-01, a Thursday, to the first Monday"""
_MOST_HOURS = 160
"""of the week's 168: windows that begin and end within an hour leave some hours out"""
_MEMORY = 6.0
"""weeks that an hour's average looks back on: older weeks fade"""


def density_key(tenant: str) -> str:
    """Where the ledger keeps a tenant's density."""
    return f"density/{tenant}"


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

    def expected(self, window: Window) -> float:
        """Records to expect in `window`; an hour never seen counts as the mean of the others."""
        return sum(self._rate(n) * share for n, share in _shares(window))

    def cut(self, window: Window, rows: float, longest: timedelta) -> list[Window]:
        """Pieces of `window` with about `rows` expected records each, none over `longest`.

        Cuts fall on whole hours; the pieces hold about equally much, so that no call fetches a
        remnant.
        """
        count = max(1, round(self.expected(window) / rows))
        share = self.expected(window) / count
        pieces: list[Window] = []
        start, held = window.start, 0.0
        for number, part in _shares(window):
            here = _EPOCH + number * HOUR
            full = held >= share * 0.999 and len(pieces) < count - 1
            if here > start and (full or here - start >= longest):
                pieces.append(Window(start, here, window.axis))
                start, held = here, 0.0
            held += self._rate(number) * part
        return [*pieces, Window(start, window.end, window.axis)]

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

    def _rate(self, number: int) -> float:
        slot = _slot(number)
        seen = self.weeks[slot]
        return self.rows[slot] / seen if seen else sum(self.rows) / max(1.0, sum(self.weeks))


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
