"""How durations are spread: counts in classes that grow by a twelfth each, kept for years cheaply.

A share of a spread is therefore known to nine per cent, always as an upper bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil, log

STEP = 2 ** (1 / 8)
"""each class is so much longer than the one before"""
_LONGEST = 8 * 32
"""2^32 seconds are 136 years: whatever a record claims, there are no more classes than this"""


@dataclass(frozen=True, slots=True)
class Spread:
    """Counts by class; class 0 is up to one second, what is negative included."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, seconds: Iterable[tuple[float, int]]) -> Spread:
        """From durations in seconds, each with how often it was seen."""
        counts: Counter[int] = Counter()
        for duration, times in seconds:
            if times > 0:
                counts[class_of(duration)] += times
        return cls(dict(counts))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __add__(self, other: Spread) -> Spread:
        return Spread(dict(Counter(self.counts) + Counter(other.counts)))

    def quantile(self, share: float) -> float | None:
        """The seconds that `share` of all do not exceed; None when nothing was counted."""
        wanted, passed = share * self.total, 0
        for number, times in sorted(self.counts.items()):
            passed += times
            if passed >= wanted:
                return bound_of(number)
        return None

    def later_than(self, seconds: float) -> int:
        """How many lie in classes beyond that of `seconds`."""
        return sum(times for number, times in self.counts.items() if number > class_of(seconds))

    def to_json(self) -> dict[str, int]:
        return {str(number): times for number, times in sorted(self.counts.items())}

    @classmethod
    def from_json(cls, counts: object) -> Spread:
        """What `to_json` gave. Raises `ValueError` for anything else."""
        if not isinstance(counts, dict):
            raise ValueError("no spread")
        return cls({int(number): int(times) for number, times in counts.items()})


def class_of(seconds: float) -> int:
    if seconds <= 1:
        return 0
    # A bound lies in its own class, however the logarithm was rounded.
    return min(ceil(log(seconds) / log(STEP) - 1e-9), _LONGEST)


def bound_of(number: int) -> float:
    """The longest duration of a class, in seconds."""
    return float(STEP**number)


def quantiles(spread: Spread, *shares: float) -> dict[str, int | None]:
    """`{"p50_seconds": …}`: whole seconds, rounded up."""
    found = {share: spread.quantile(share) for share in shares}
    return {
        f"p{share * 100:g}_seconds": None if seconds is None else ceil(round(seconds, 6))
        for share, seconds in found.items()
    }


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def rough(seconds: float | None) -> str:
    """A duration for people: `45 s`, `12 min`, `1.3 h`, `3.2 d`; a dash where there is none."""
    if seconds is None:
        return "-"
    for length, unit in _UNITS:
        if seconds >= 2 * length or (unit == "min" and seconds >= 100):
            amount = seconds / length
            return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
    return f"{ceil(round(seconds, 6))} s"
