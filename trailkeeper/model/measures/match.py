"""Matching: of records that two sources should both have brought, who brought which, and how soon.

Records are matched by Id, per hour of occurrence and workload, and only in hours that both sources
are proven to have read when late records were no longer expected. What one source missed came from
the other: the lake holds it, so every miss is also a repair. What both missed nobody can count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from trailkeeper.model.measures.spread import Spread, quantiles
from trailkeeper.model.stream import Source
from trailkeeper.model.window import iso

TOPIC = "match"
"""what the ledger keeps a day's match as"""
HOURS_NAMED = 48
"""hours with misses that `coverage --json` and a day's match name, the first ones"""


@dataclass(frozen=True, slots=True)
class Missed:
    """Records of one workload that one source did not bring in one hour."""

    hour: datetime
    workload: str
    source: Source
    records: int


@dataclass(frozen=True, slots=True)
class Match:
    """What matching found over some hours."""

    hours: int = 0
    records: Mapping[str, int] = field(default_factory=dict)
    """distinct records by workload, whichever source brought them"""
    missed: Mapping[Source, Mapping[str, int]] = field(default_factory=dict)
    """by source and workload; every source that was matched is here"""
    lags: Mapping[Source, Spread] = field(default_factory=dict)
    """occurrence to first seen by that source, of what occurred since it is followed"""
    named: tuple[Missed, ...] = ()
    """where misses were, the first ones"""

    @property
    def total(self) -> int:
        return sum(self.records.values())

    def missed_by(self, source: Source) -> int:
        return sum(self.missed.get(source, {}).values())

    def __add__(self, other: Match) -> Match:
        sources = {*self.missed, *other.missed}
        followed = {*self.lags, *other.lags}
        return Match(
            self.hours + other.hours,
            _plus(self.records, other.records),
            {s: _plus(self.missed.get(s, {}), other.missed.get(s, {})) for s in sources},
            {s: self.lags.get(s, Spread()) + other.lags.get(s, Spread()) for s in followed},
            (*self.named, *other.named)[:HOURS_NAMED],
        )

    def as_json(self, source: Source) -> dict[str, object]:
        """`matched` of one source's object in `coverage --json`."""
        missed, total = self.missed_by(source), self.total
        workloads = self.missed.get(source, {})
        return {
            "with": [other.value for other in sorted(self.missed) if other is not source],
            "hours": self.hours,
            "records": total,
            "missed": missed,
            "miss_rate": round(missed / total, 9) if total else 0.0,
            "repaired": missed,
            "occurred_to_seen": quantiles(self.lags.get(source, Spread()), 0.5, 0.95),
            "workloads": [
                {"workload": name, "records": count, "missed": workloads.get(name, 0)}
                for name, count in sorted(self.records.items())
            ],
            "missed_in": [
                {"hour": iso(each.hour), "workload": each.workload, "missed": each.records}
                for each in self.named
                if each.source is source
            ],
        }


def rate(part: int, whole: int) -> str:
    """A share in per cent with two figures, however small: misses are rare."""
    return f"{100 * part / whole:.2g} %" if part and whole else "0 %"


def _plus(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    summed = Counter(one)
    summed.update(two)
    return dict(summed)


@dataclass(frozen=True, slots=True)
class DayMatch:
    """One UTC day's match, as the ledger keeps it."""

    match: Match
    matched_at: datetime
    final: bool
    """every re-read that could still bring a record of the day is over"""

    def to_text(self) -> str:
        match = self.match
        return json.dumps(
            {
                "at": self.matched_at.isoformat(),
                "final": self.final,
                "hours": match.hours,
                "records": match.records,
                "missed": match.missed,
                "lags": {source: spread.to_json() for source, spread in match.lags.items()},
                "named": [
                    [each.hour.isoformat(), each.workload, each.source, each.records]
                    for each in match.named
                ],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_text(cls, text: str) -> DayMatch:
        """What `to_text` gave. Raises `ValueError` for anything else."""
        kept = json.loads(text)
        match = Match(
            kept["hours"],
            kept["records"],
            {Source(source): missed for source, missed in kept["missed"].items()},
            {Source(source): Spread.from_json(each) for source, each in kept["lags"].items()},
            tuple(
                Missed(datetime.fromisoformat(hour), workload, Source(source), records)
                for hour, workload, source, records in kept["named"]
            ),
        )
        return cls(match, datetime.fromisoformat(kept["at"]), kept["final"])


def over_days(days: Iterable[tuple[date, str]]) -> Match | None:
    """The sum of what was kept for some days; None when no hour was matched."""
    whole = sum((DayMatch.from_text(text).match for _, text in days), Match())
    return whole if whole.hours else None
