"""What a full answer in time order claims to cover, and how the next answer bears it out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from trailkeeper.model.search.answer.rows import (
    SECOND,
    UNTIMED,
    Choice,
    Order,
    SearchAnswer,
    from_micros,
    keys_between,
    micros,
)
from trailkeeper.model.window import Window, subtract

_HOUR_MICROS = 3_600_000_000
_CHOSEN = 5
"""rows beyond what is covered from which on they were left out by choice. A sample passes for that
where it left out just those, and none of an overlap of 50: one in ten million at most"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A part that a full, ordered answer claims to cover, and the rows that must show again."""

    window: Window
    overlap: Window
    expected: frozenset[str]
    answer: SearchAnswer

    @property
    def newest_first(self) -> bool:
        return self.overlap.start == self.window.start

    @property
    def choice(self) -> Choice:
        """How the rows of its answer were chosen, if it is true."""
        taken = Order.NEWEST_FIRST if self.newest_first else Order.OLDEST_FIRST
        return Choice(taken, self.answer.order)

    @property
    def inner(self) -> Window:
        """The covered part less the second beside the cut, which the overlap confirms.

        Borders may be inclusive: with the cut second's rows an answer would be full again.
        """
        start, end = self.window.start, self.window.end
        if self.newest_first:
            return Window(start + SECOND, end, self.window.axis)
        return Window(start, end - SECOND, self.window.axis)

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.answer.rows / self.window.duration.total_seconds()

    def covers_most(self) -> bool:
        """Whether most of the answer's rows lie in the covered part."""
        return 2 * len(keys_between(self.answer, self.window)) > self.answer.rows

    def chose(self, rest: SearchAnswer) -> bool:
        """Whether `rest`, asked beyond the covered part, shows that the answer left rows out there.

        Rows of the second that it cut tell nothing: whatever chose may have cut it. Of few others
        chance may have left out just those; and where there is none, the answer may have begun at
        the other end.
        """
        if self.newest_first:
            low, high = UNTIMED + 1, micros(self.window.start - SECOND)
        else:
            low, high = micros(self.window.end + SECOND), micros(rest.asked.end + SECOND)
        beyond = {k for k, t in zip(rest.keys, rest.times, strict=True) if low <= t < high}
        return len(beyond.difference(self.answer.keys)) >= _CHOSEN

    def beyond(self, window: Window) -> Window:
        """As much of `window` as brings the overlap and, likely, about as many rows beyond."""
        more = self.overlap.duration + SECOND
        if self.newest_first:
            start = max(window.start, self.overlap.start - more)
            return Window(start, self.overlap.end, window.axis)
        return Window(self.overlap.start, min(window.end, self.overlap.end + more), window.axis)

    def rest_of(self, window: Window) -> Window:
        """What of the asked `window` is left to ask."""
        (rest,) = subtract([window], [self.window])
        return rest

    def with_overlap(self, rest: Window) -> Window:
        """`rest`, stretched over the rows that must show again."""
        if self.newest_first:
            return Window(rest.start, self.overlap.end, rest.axis)
        return Window(self.overlap.start, rest.end, rest.axis)

    def shown_by(self, answer: SearchAnswer, cap: int) -> bool:
        """Whether `answer` holds the whole overlap: short, or reaching beyond it in this order.

        A full one that has none of it was taken from the other end, and never got there.
        """
        if not answer.truncated(cap):
            return True
        if UNTIMED in answer.times or self.expected.isdisjoint(answer.keys):
            return False
        if self.newest_first:
            return any(time < micros(self.overlap.start) for time in answer.once)
        return any(time >= micros(self.overlap.end) for time in answer.once)


def covered_by(
    answer: SearchAnswer, window: Window, order: Order, overlap_rows: int
) -> Claim | None:
    """The time that a full answer covers whose rows were taken in `order`, with its overlap; None
    without either."""
    found = _covered_time(window, answer, order)
    if found is None:
        return None
    edge, covered = found
    newest_first = order is Order.NEWEST_FIRST
    low, high = micros(covered.start), micros(covered.end)
    inside = sorted((t for t in answer.once if low <= t < high), reverse=newest_first)
    if not inside:
        return None
    last = from_micros(inside[-min(len(inside), overlap_rows)])
    second = last.replace(microsecond=0)
    overlap = Window(edge, second + SECOND) if newest_first else Window(second, edge)
    if overlap.covers(covered) or covered.duration <= 2 * SECOND:
        return None
    return Claim(covered, overlap, frozenset(keys_between(answer, overlap)), answer)


def _covered_time(
    window: Window, answer: SearchAnswer, order: Order
) -> tuple[datetime, Window] | None:
    """The last row's edge and the part of `window` on the near side of it, if the rows were taken
    in this order; None where there is no such part.

    The last row's own second may be cut in two, so it is not covered.
    """
    if order is Order.NONE or not answer.once or UNTIMED in answer.times:
        return None
    if order is Order.NEWEST_FIRST:
        edge = from_micros(min(answer.once)).replace(microsecond=0) + SECOND
    else:
        edge = from_micros(max(answer.once)).replace(microsecond=0)
    if not window.start < edge < window.end:
        return None
    older, newer = window.split(edge)
    return edge, newer if order is Order.NEWEST_FIRST else older


def hour_of(moment: datetime) -> int:
    """Whole hours since 1970."""
    return micros(moment) // _HOUR_MICROS


def rows_by_hour(answer: SearchAnswer, window: Window) -> Counter[int]:
    """Rows of `answer` inside `window`, by whole hours since 1970."""
    low, high = micros(window.start), micros(window.end)
    return Counter(time // _HOUR_MICROS for time in answer.times if low <= time < high)
