"""How late one tenant's records arrive in the audit search, and when young time is read again.

Two things are known. What each round of re-reading still found, counted as it is merged: where the
last round finds some, one more at twice its age follows, and so on. And how the arrival of each
workload's records is spread, measured a day at a time once every usual round of the day is over:
once that is known for four weeks, the rounds before the last are put where the slowest workload
needs them. The last usual round is never left out and never comes sooner: it is what tells when the
earlier ones have become too few.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil

from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.segment import Finding
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window, subtract

LATENESS_PREFIX = "lateness/"
SHARES = (0.95, 0.99, 0.999)
"""of a workload's records that have arrived when a learned round reads"""
ENOUGH_DAYS = 28
ENOUGH_RECORDS = 1_000
"""of one workload; a rarer one tells too little of one record in a thousand"""
REMEMBERED = timedelta(days=56)
ON_TIME = timedelta(hours=1)
"""a record first seen within this of the first look at its time had arrived by that look"""
_EARLIEST = timedelta(hours=1)
_LONGEST = timedelta(days=180)
"""what the audit search answers for (identity-and-exchange.md, section 4)"""
_HOUR = timedelta(hours=1)


def lateness_key(stream: Stream) -> str:
    """Where the ledger keeps how late a stream's records arrive."""
    return f"{LATENESS_PREFIX}{stream}"


def arrival_topic(stream: Stream) -> str:
    """What the ledger keeps a day's arrivals of a stream as."""
    return f"arrival/{stream.source.value}"


@dataclass(frozen=True, slots=True)
class Arrived:
    """By which age `SHARES` of the slowest workload's records had arrived, over `days`.

    None: by the first look already.
    """

    days: int
    ages: tuple[timedelta | None, ...]


@dataclass(frozen=True, slots=True)
class Lateness:
    """By round of re-reading, the first at index 0: records received, and those of them new."""

    since: datetime | None = None
    received: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    arrived: Arrived | None = None

    def learn(self, round_: int, received: int, new: int, now: datetime) -> Lateness:
        """Add one merged re-read of round `round_` (from 1)."""
        length = max(round_, len(self.received))
        received_by = [*self.received, *[0] * (length - len(self.received))]
        new_by = [*self.new, *[0] * (length - len(self.new))]
        received_by[round_ - 1] += received
        new_by[round_ - 1] += new
        return replace(
            self, since=self.since or now, received=tuple(received_by), new=tuple(new_by)
        )

    def ages(self, usual: Sequence[timedelta]) -> tuple[timedelta | None, ...]:
        """The age of each round, None for one that is left out for now.

        A round keeps its number whatever its age, since the number says how far it has read.
        """
        if not usual:
            return ()
        return (*self._before_last(usual), usual[-1], *self._beyond(usual))

    def settle(self, usual: Sequence[timedelta], configured: timedelta) -> timedelta:
        """How long late records are expected: as configured, longer where that is known."""
        if self.arrived is None or not usual:
            return configured
        known = self.arrived.ages[-1] or timedelta()
        return max(configured, min(known, usual[-1]))

    def _before_last(self, usual: Sequence[timedelta]) -> list[timedelta | None]:
        """The learned rounds; the usual ones while too little is known to leave any out."""
        last, count = usual[-1], len(usual) - 1
        if self.arrived is None or count == 0:
            return list(usual[:-1])
        slowest = self.arrived.ages[-1]
        if slowest is not None and slowest >= 0.75 * last:
            # The last round finds what may have arrived long before it: nothing is known between.
            return list(usual[:-1])
        learned: list[timedelta | None] = []
        following = last
        for age in reversed(self.arrived.ages[-count:]):
            kept = max(_hours(age), _EARLIEST) if age is not None else None
            if kept is not None and kept * 1.25 > following:
                kept = None
            learned.insert(0, kept)
            following = kept or following
        if not any(learned):
            learned[0] = usual[0]  # somebody has to notice when records begin to be late
        return [*[None] * (count - len(learned)), *learned]

    def _beyond(self, usual: Sequence[timedelta]) -> list[timedelta]:
        """Twice the last age while that still finds some, and again, as far as the search goes."""
        found, age = len(usual) - 1, usual[-1]
        added: list[timedelta] = []
        while found < len(self.new) and self.new[found] > 0 and 2 * age <= _LONGEST:
            age, found = 2 * age, found + 1
            added.append(age)
        return added

    def to_text(self) -> str:
        since = self.since.isoformat() if self.since else None
        arrived = None
        if self.arrived:
            seconds = [age and int(age.total_seconds()) for age in self.arrived.ages]
            arrived = [self.arrived.days, seconds]
        return json.dumps([since, self.received, self.new, arrived])

    @classmethod
    def from_text(cls, text: str) -> Lateness:
        """What `to_text` wrote; anything else counts as nothing known."""
        try:
            since, received, new, *more = json.loads(text)
            began = datetime.fromisoformat(since).astimezone(UTC) if since else None
            counts = tuple(map(int, received)), tuple(map(int, new))
            arrived = _arrived(more[0]) if more and more[0] else None
        except (ValueError, TypeError):
            return cls()
        if len(counts[0]) != len(counts[1]) or (counts[0] and began is None):
            return cls()
        return cls(began, *counts, arrived)


def _arrived(kept: object) -> Arrived:
    """Raises `ValueError` for anything but what `to_text` writes."""
    if not isinstance(kept, list) or len(kept) != 2 or len(kept[1]) != len(SHARES):
        raise ValueError("no arrivals")
    ages = (timedelta(seconds=int(age)) if age else None for age in kept[1])
    return Arrived(int(kept[0]), tuple(ages))


def _hours(age: timedelta) -> timedelta:
    """Up to the next whole hour."""
    return ceil(age / _HOUR) * _HOUR


def slowest(days: int, by_workload: Mapping[str, Spread]) -> Arrived | None:
    """What is known from some days' arrivals by workload; None while that is too little."""
    enough = [spread for spread in by_workload.values() if spread.total >= ENOUGH_RECORDS]
    if days < ENOUGH_DAYS or not enough:
        return None
    ages = (max(spread.quantile(share) or 0.0 for spread in enough) for share in SHARES)
    # The first class of the spread holds what was there at the first look.
    return Arrived(days, tuple(timedelta(seconds=age) if age > 1 else None for age in ages))


def first_looks(findings: Iterable[Finding]) -> list[tuple[Window, datetime]]:
    """Disjoint proven windows, each with when its time was first asked for."""
    found: list[tuple[Window, datetime]] = []
    for finding in sorted(findings, key=lambda each: each.observed_at):
        if finding.verdict.proven:
            rest = subtract([finding.window], [window for window, _ in found])
            found += [(window, finding.observed_at) for window in rest]
    return sorted(found)


def day_to_text(by_workload: Mapping[str, Spread]) -> str:
    """One day's arrivals, as the ledger keeps them."""
    kept = {workload: spread.to_json() for workload, spread in by_workload.items()}
    return json.dumps(kept, separators=(",", ":"))


def over_days(texts: Iterable[str]) -> dict[str, Spread]:
    """The sum of what was kept for some days, by workload."""
    summed: dict[str, Spread] = {}
    for text in texts:
        for workload, counts in json.loads(text).items():
            summed[workload] = summed.get(workload, Spread()) + Spread.from_json(counts)
    return summed
