"""One answer of the Exchange audit search, and what may be concluded from it alone.

Pure functions; a walk uses them to prove a window call by call. Sources: identity-and-exchange.md,
sections 3.3 and 4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

from trailkeeper.model.window import Window, require_utc

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Bounds of one walk.

    `cap`: most rows of one answer [D]. `session_cap`: most rows of one session [D]. `tries`: how
    often the same part is asked while its answers are not clean. `distrust_depth`: how often a part
    that never answers cleanly is halved before it is called suspect. `overlap_rows`: rows fetched
    twice to confirm the order; 1 % of a full answer. `calls_per_part` and `base_calls` bound the
    calls of a walk: base_calls + calls_per_part × (1 + rows received / cap). Rows of probes of
    empty parts do not count, and a service that gives less than `cap` rows at a time is measured by
    what it gives. A full second is bounded by itself: one call per record type, and a few sessions.
    """

    cap: int = 5000
    session_cap: int = 50_000
    tries: int = 3
    distrust_depth: int = 2
    overlap_rows: int = 50
    base_calls: int = 80
    calls_per_part: int = 16
    rows_per_attempt: int = 100_000
    """rows after which the rest of a window is left to segments of its own"""
    retry_pause: float = 5.0
    """seconds before an unclean answer is asked again; doubles with each try"""
    short_wait: float = 10.0
    """a throttling of at most so many seconds is waited out in the walk"""
    waits: int = 5
    """so many in a row; then the walk ends, and its stream rests"""


class Order(StrEnum):
    """How rows are sorted, or in which order a full answer took them."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Choice:
    """How a service chooses the rows of a full answer: `taken` in this order, until it is full, and
    `shown` in that one."""

    taken: Order
    shown: Order

    def __str__(self) -> str:
        return f"{self.taken.value} {self.shown.value}"

    @classmethod
    def from_text(cls, text: object) -> Choice | None:
        """What `str` gave of one that claims something; None for anything else."""
        taken, _, shown = str(text).partition(" ")
        if not {taken, shown} <= set(Order) or taken == Order.NONE:
            return None
        return cls(Order(taken), Order(shown))


_LEANS = 1 / 3
"""of the time that was asked"""
_MICROSECOND = timedelta(microseconds=1)
UNTIMED = -(2**62)
"""in `SearchAnswer.times`: the row has no time that could be read"""


@dataclass(frozen=True)
class SearchAnswer:
    """One answer of the search, reduced to what proof needs. `times` and `keys` are per row."""

    asked: Window
    sent_at: datetime
    keys: Sequence[str] = ()
    times: Sequence[int] = ()
    """microseconds since 1970 UTC on the server's axis, or `UNTIMED`"""
    bogus: int = 0
    """rows with ResultIndex -1 (D2)"""
    warnings: Sequence[str] = ()
    result_count: int | None = None
    more_available: bool | None = None
    types: frozenset[str] = frozenset()
    """names of record types in the rows"""

    @property
    def rows(self) -> int:
        return len(self.keys)

    @cached_property
    def once(self) -> Sequence[int]:
        """Times of the rows that came once: repeated rows (D1) lie anywhere and order nothing."""
        if len(set(self.keys)) == len(self.keys):
            return self.times
        often = Counter(self.keys)
        return [t for k, t in zip(self.keys, self.times, strict=True) if often[k] == 1]

    @cached_property
    def order(self) -> Order:
        times = list(self.once)
        if len(times) < 2 or UNTIMED in self.times:
            return Order.NONE
        ascending = sorted(times)
        if times == ascending[::-1]:
            return Order.NEWEST_FIRST
        return Order.OLDEST_FIRST if times == ascending else Order.NONE

    @property
    def leaning(self) -> Order:
        """From which end they seem to have been taken, though they are not sorted: much time beside
        the other one has none."""
        if len(self.once) < 2 or UNTIMED in self.times:
            return Order.NONE
        before = min(self.once) - micros(self.asked.start)
        after = micros(self.asked.end) - max(self.once)
        if max(before, after) < _LEANS * (self.asked.duration / _MICROSECOND):
            return Order.NONE
        return Order.NEWEST_FIRST if before > after else Order.OLDEST_FIRST

    def foreign(self, slack: timedelta = SECOND) -> int:
        """Rows outside what was asked; less than a second of slack behind it, a second before it,
        since the borders are unconfirmed, and questions begin early."""
        if not self.times:
            return 0
        low, high = micros(self.asked.start - slack), micros(self.asked.end + slack)
        if low <= min(self.times) and max(self.times) < high:
            return 0
        return sum(not low <= t < high for t in self.times if t != UNTIMED)

    def unclean(self) -> str:
        """Why nothing may be concluded from this answer; empty when it is clean."""
        if self.bogus:
            return "the service answered with a row of index -1, its sign of an internal time-out"
        for warning in self.warnings:
            if not says_more(warning) and (not self.rows or _TROUBLE.search(warning)):
                return f"the service warned: {warning[:200]}"
        if foreign := self.foreign():
            return f"{foreign} of {self.rows} rows lie outside the window that was asked"
        return ""

    def truncated(self, cap: int) -> bool:
        return bool(
            self.rows >= cap or self.more_available or any(says_more(w) for w in self.warnings)
        )


_TROUBLE = re.compile(
    r"cancel|fail|error|time[d -]*out|could not|couldn|unable|cannot|partial|incomplete|not complet"
    r"|try again|exceed|unexpected|internal|interrupt|abort|throttl|unavailable|too (many|large)",
    re.IGNORECASE,
)
"""Words of the warnings that came instead of rows (D9), and their like. A warning that sounds
harmless is believed only after a recheck."""


def says_more(warning: str) -> bool:
    """The warning of a cut result set (section 3.3)."""
    return "more results" in warning.lower()


def micros(moment: datetime) -> int:
    return int((require_utc(moment) - _EPOCH) / timedelta(microseconds=1))


def from_micros(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """Everything one ReturnLargeSet session gave for a window."""

    sent_at: datetime
    keys: frozenset[str]
    rows: int
    ended: bool
    """the service said there is no more, or gave two pages with nothing new and did not contradict
    itself"""
    unclean: str = ""
    types: frozenset[str] = frozenset()
    """names of record types in the rows"""


def keys_between(answer: SearchAnswer, window: Window) -> set[str]:
    low, high = micros(window.start), micros(window.end)
    return {k for k, t in zip(answer.keys, answer.times, strict=True) if low <= t < high}


def keys_not_beside(answer: SearchAnswer, window: Window) -> set[str]:
    """Those in `window`, and those of which nobody can tell."""
    untimed = {k for k, t in zip(answer.keys, answer.times, strict=True) if t == UNTIMED}
    return keys_between(answer, window) | untimed
