"""Half-open UTC intervals on one axis, and sets of them.

All times in Trailkeeper are timezone-aware UTC; naive ones are refused here, at the door.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise


class Axis(StrEnum):
    """What the two ends of a window are instants *of*."""

    OCCURRED = "occurred"
    """when the event happened: the Exchange search, Graph, reports"""
    AVAILABLE = "available"
    """when its content became available: the Activity feed"""


class AxisMixedError(TypeError):
    """Two windows on different axes were compared or combined."""


def require_utc(moment: datetime) -> datetime:
    """Return `moment` in UTC. Raises `ValueError` for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime refused: {moment!r}; attach a timezone")
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """`[start, end)` in UTC on one axis; never empty."""

    start: datetime
    end: datetime
    axis: Axis = Axis.OCCURRED

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", require_utc(self.start))
        object.__setattr__(self, "end", require_utc(self.end))
        if self.start >= self.end:
            raise ValueError(f"window ends before it starts: {self.start} .. {self.end}")

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def covers(self, other: Window) -> bool:
        self._same_axis(other)
        return self.start <= other.start and other.end <= self.end

    def intersect(self, other: Window) -> Window | None:
        """The common part, or None when the two do not overlap."""
        self._same_axis(other)
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end, self.axis) if start < end else None

    def split(self, *cuts: datetime) -> tuple[Window, ...]:
        """The pieces between the cuts that fall strictly inside, oldest first."""
        inner = sorted({c for c in cuts if self.start < c < self.end})
        edges = [self.start, *inner, self.end]
        return tuple(Window(a, b, self.axis) for a, b in pairwise(edges))

    def halves(self) -> tuple[Window, ...]:
        """Two halves cut on a whole second, or the window itself when it is one second or less.

        Audit records carry whole seconds (audit-record-schema.md, section 1), so a finer cut
        separates nothing.
        """
        middle = (self.start + self.duration / 2).replace(microsecond=0)
        return self.split(middle)

    def pieces(self, length: timedelta) -> Iterator[Window]:
        """Consecutive pieces of at most `length`, cut at its multiples since the epoch."""
        cursor = self.start
        while cursor < self.end:
            since_epoch = cursor - _EPOCH
            edge = cursor + (length - since_epoch % length)
            yield Window(cursor, min(edge, self.end), self.axis)
            cursor = edge

    def _same_axis(self, other: Window) -> None:
        if self.axis is not other.axis:
            raise AxisMixedError(f"{self.axis} window met {other.axis} window")

    def __str__(self) -> str:
        return f"[{iso(self.start)}, {iso(self.end)})"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`; microseconds only when there are any."""
    return require_utc(moment).isoformat().replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """Read ISO 8601; a bare date is midnight UTC, a time without zone is UTC.

    Raises `ValueError` when the text is no such instant, or one whose offset takes it out of the
    years 1 to 9999.
    """
    return in_utc(datetime.fromisoformat(text.strip()))


def in_utc(moment: datetime) -> datetime:
    """The same instant in UTC; one without zone is UTC. Raises `ValueError`, as above."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} lies outside the years 1 to 9999 in UTC") from None


def union(windows: Iterable[Window]) -> list[Window]:
    """Merge overlapping and touching windows; oldest first. All must share one axis."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and merged[-1].axis is not window.axis:
            raise AxisMixedError(f"{merged[-1].axis} window met {window.axis} window")
        if merged and window.start <= merged[-1].end:
            if window.end > merged[-1].end:
                merged[-1] = Window(merged[-1].start, window.end, window.axis)
        else:
            merged.append(window)
    return merged


def subtract(windows: Iterable[Window], holes: Iterable[Window]) -> list[Window]:
    """What is left of `windows` after taking `holes` out; oldest first."""
    cut = union(holes)
    left: list[Window] = []
    for window in union(windows):
        cursor = window.start
        for hole in cut:
            if hole.end <= cursor or hole.start >= window.end:
                continue
            window._same_axis(hole)
            if hole.start > cursor:
                left.append(Window(cursor, hole.start, window.axis))
            cursor = max(cursor, hole.end)
        if cursor < window.end:
            left.append(Window(cursor, window.end, window.axis))
    return left


def total(windows: Iterable[Window]) -> timedelta:
    """Summed length of the union."""
    return sum((w.duration for w in union(windows)), timedelta())
