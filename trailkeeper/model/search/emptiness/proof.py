"""Proving that a part which came back without rows has none (D10).

Best is a *sentinel*: the question stretched until it holds a row that is known to exist. An answer
that has this row and none of the part is as good as any answer with rows. Where no known row is
near, or none shows, other questions about the same time have to be empty too: how many depends on
how often this service was caught hiding rows of windows about as long. Where no number helps, the
part is asked in pieces, and what cannot be cut is suspect.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from trailkeeper.errors import AnswerTooLarge, Lost
from trailkeeper.model.measures.density import Density
from trailkeeper.model.search.answer.rows import SECOND, SearchAnswer, SearchLimits, keys_between
from trailkeeper.model.search.emptiness.credibility import (
    MOST_PROBES,
    PROBES,
    SENTINEL_ROWS,
    USUAL_PROBES,
    Credibility,
)
from trailkeeper.model.search.emptiness.probes import first_probes, in_two, stretched, usual_probes
from trailkeeper.model.search.emptiness.sentinel import Sentinel
from trailkeeper.model.window import Window


@dataclass(frozen=True, slots=True)
class Proven:
    """The part is empty."""

    evidence: dict[str, object]


@dataclass(frozen=True, slots=True)
class Hidden:
    """The part is not empty: `answer` has rows of it."""

    answer: SearchAnswer


@dataclass(frozen=True, slots=True)
class Narrower:
    """Nothing is known; `pieces` of the part are to be asked."""

    pieces: Sequence[Window]


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing is known yet; other parts may bring a sentinel near it."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """Nothing is known, and no question is left that could tell."""

    reason: str


Emptiness = Proven | Hidden | Narrower | Later | Unproven


class ProbePort(Protocol):
    """What is needed of the walk. Calls raise what the transport raises."""

    def ask(self, window: Window) -> SearchAnswer: ...

    def whole(self, answer: SearchAnswer) -> bool:
        """Whether this answer closes what it was asked for, if it has rows; may ask again."""
        ...

    def pause(self, seconds: float) -> None: ...

    def sparse(self, length: timedelta, most: int) -> Window | None:
        """So much proven time on end with rows, but no more than `most`; None if there is none."""
        ...


@dataclass
class EmptinessProof:
    """One attempt at `window`, which came back empty. `usual`: records that such a time has,
    where the tenant's week is known."""

    port: ProbePort
    window: Window
    known: Credibility
    limits: SearchLimits
    usual: float
    busy_hour: int
    depth: int
    """how often a window that should have been short enough was halved"""
    hid: Window | None = field(default=None, init=False)
    """the shortest question that should have shown a known row and did not, or would not"""
    asked_hid: bool = field(default=False, init=False)
    """it was really asked"""
    doubted: bool = field(default=False, init=False)
    """a known row showed in an answer that is not sound"""
    walled: bool = field(default=False, init=False)
    """more rows than an answer holds lie between it and a known row"""
    agreed: int = field(default=1, init=False)
    """empty answers about all of the window"""
    probed: int = field(default=0, init=False)

    def prove(self, answer: SearchAnswer, *, may_wait: bool) -> Emptiness:
        """`answer` has no row of the part; `may_wait`: other parts are still to be asked."""
        if answer.rows and self.port.whole(answer):  # of the second before, or of an overlap
            return Proven({PROBES: 1, SENTINEL_ROWS: answer.rows})
        if self.known.silent:
            return self._unanswered()
        if found := self._shown_beside_sentinel():
            return found
        if may_wait and not self.asked_hid:
            return Later()
        if self.hid and self._silent():
            return self._unanswered()
        if self.hid and not self._hid_by_length():
            return self._narrower("rows that are known to exist are not answered")
        if self.doubted and self.known.liar and self.window.duration > self.known.told():
            return self._narrower("no answer about so much time is free of doubt")
        return self._without_sentinel()

    # --- with a sentinel ---

    def _shown_beside_sentinel(self) -> Proven | Hidden | None:
        """None when no known row is near, or none shows."""
        spent: Counter[Sentinel] = Counter()
        for _ in range(2 * self.limits.tries):
            sentinel = self._next(spent)
            if sentinel is None:
                return None
            answer = self._probe(sentinel.stretched(self.window))
            if answer and keys_between(answer, self.window):
                return Hidden(answer)
            if answer is None:
                self.known.sentinels.forget(sentinel)  # too old
            elif answer.truncated(self.limits.cap):
                self.known.crowded(answer.asked)
            elif sentinel.key in answer.keys and self.port.whole(answer):
                return Proven({PROBES: 1 + self.probed, SENTINEL_ROWS: answer.rows})
            elif sentinel.key in answer.keys and not answer.unclean():
                self.doubted, self.hid = True, None
                return None
            else:
                spent[sentinel] += self._failed(answer, spent[sentinel])
        return None

    def _failed(self, answer: SearchAnswer, tries: int) -> int:
        """How many of its tries this answer costs the sentinel."""
        if answer.unclean():
            self.port.pause(self.limits.retry_pause * 2**tries)
            return 1
        if answer.rows:
            return self.limits.tries
        self._hides(answer.asked)
        self.asked_hid = True
        self.known.hid(answer.asked)
        return 0

    def _hides(self, question: Window) -> None:
        self.hid = min(self.hid or question, question, key=lambda w: w.duration)

    def _next(self, spent: Counter[Sentinel]) -> Sentinel | None:
        """The nearest known row whose question may still bring it."""
        for sentinel in self.known.sentinels.near(self.window, self._reach):
            question = sentinel.stretched(self.window)
            if question != self.window and self.known.in_crowd(question):
                self.walled = True
            elif self.known.hopeless(question):
                self._hides(question)
            elif spent[sentinel] < self.limits.tries:
                return sentinel
        return None

    def _hid_by_length(self) -> bool:
        """Whether the sentinel was hidden because it is far, not because of what the part holds.

        The control: a question as long, about proven time with fewer rows than one answer was seen
        to bring. If that is hidden too, length alone explains it, and shorter ones tell the truth.
        """
        if self.hid is None or self.window.duration > self.known.told():
            return False
        if not self.known.hopeless(self.hid):
            return False
        length = self.hid.duration
        if self.known.by_length is None or length < self.known.by_length:
            control = self.port.sparse(length, self.known.most)
            if control is None or not self._hidden(control):
                return False
            self.known.by_length = length
        return True

    def _hidden(self, control: Window) -> bool:
        """Whether `control`, of which a row is known, comes back empty each time."""
        if not self.known.sentinels.near(control, timedelta()):
            return False
        for _ in range(self.limits.tries):
            answer = self._probe(control)
            if answer is None or answer.rows or answer.unclean():
                return False
        self.known.hid(control)
        return True

    @property
    def _reach(self) -> timedelta:
        return _FAR if self.usual >= _USUAL else _REACH

    def _silent(self) -> bool:
        """Whether not even a known row's own second is answered."""
        sentinel = min(self.known.sentinels.near(self.window, _FAR), default=None)
        if sentinel is None or self.known.told():
            return False
        second = Window(sentinel.second, sentinel.second + SECOND, self.window.axis)
        for _ in range(self.limits.tries):
            answer = self._probe(second)
            if answer is None or answer.rows or answer.unclean():
                return False
        self.known.silent = True
        return True

    def _unanswered(self) -> Unproven:
        return Unproven("the service answers no rows, not even those that are known to exist")

    # --- without ---

    def _without_sentinel(self) -> Emptiness:
        """Other questions about the same time must be empty too."""
        wanted = self.known.probes_wanted(self.window, walled=self.walled)
        if wanted > MOST_PROBES or self.known.hopeless(self.window):
            return self._narrower("the service hides rows, and no known row shows that none are")
        if not self.known.lies:
            others = usual_probes(self.window, self.busy_hour)
            if self.known.blank:
                others += first_probes(self.window, self.busy_hour)
            for other in others:
                if found := self._compared(other):
                    return found
            self.agreed = USUAL_PROBES
        for together in self._other_probes():
            if self.agreed < wanted and (found := self._compared(*together)):
                return found
        if self.agreed < wanted:
            return self._narrower("no question about this time alone is answered")
        if self.usual >= _USUAL:
            usual = f"usually about {self.usual:,.0f} records, and none now"
            return Unproven(f"{usual}; no known row shows that none are hidden")
        return Proven({PROBES: self.agreed})

    def _other_probes(self) -> Iterator[tuple[Window, ...]]:
        """Questions that hold all of the window; beside crowded seconds it takes two of them."""
        for other in stretched(self.window, 2 * MOST_PROBES):
            if not self.known.in_crowd(other):
                yield (other,)
        if self.walled:
            yield from in_two(self.window, MOST_PROBES)

    def _compared(self, *others: Window) -> Emptiness | None:
        """Ask `others` too; None when they bring nothing that decides."""
        empty = True
        for other in others:
            answer = self._probe(other)
            if found := self._decided(other, answer):
                return found
            empty = empty and answer is not None and not answer.rows
        self.agreed += empty  # rows of the margin that prove nothing are no probe
        return None

    def _decided(self, other: Window, answer: SearchAnswer | None) -> Emptiness | None:
        """What the answer to `other` says of the window; None for nothing."""
        if answer is None:
            beyond = other.covers(self.window)  # the horizon, perhaps
            return None if beyond else self._narrower("not answered in one piece")
        if keys_between(answer, self.window):
            return Hidden(answer)
        if reason := answer.unclean():
            return self._narrower(reason)
        if not answer.rows:
            return None
        whole, beyond = self.port.whole(answer), other.covers(self.window)
        if whole and beyond:
            return Proven({PROBES: 1 + self.probed, SENTINEL_ROWS: answer.rows})
        if whole or beyond:
            return None
        return self._narrower("rows beside it may stand in the place of its own")

    def _narrower(self, reason: str) -> Emptiness:
        """Pieces as long as the service was seen to answer truthfully, else halves."""
        length, halves = self.window.duration, self.window.halves()
        if len(halves) < 2 or length <= _NARROWEST:
            return Unproven(reason)
        told = self.known.told()
        if length <= told and self.depth >= self.limits.distrust_depth:
            return Unproven(reason)
        if length <= told or told * _MOST_PIECES < length:
            return Narrower(halves)
        count = math.ceil(length / told)
        cuts = (self.window.start + length * n / count for n in range(1, count))
        return Narrower(self.window.split(*(cut.replace(microsecond=0) for cut in cuts)))

    def _probe(self, window: Window) -> SearchAnswer | None:
        """None when the service does not answer for this time, or not in one piece."""
        self.probed += 1
        try:
            return self.port.ask(window)
        except (Lost, AnswerTooLarge):
            return None


_MOST_PIECES = 64
_NARROWEST = timedelta(seconds=30)
"""shorter pieces of a stretch without rows are not worth their calls"""
_REACH = timedelta(days=7)
"""how far a sentinel may be: whatever lies between is fetched with it"""
_FAR = timedelta(days=90)
"""the same where rows are expected"""
_USUAL = 20
"""records that a window must usually have before its emptiness is no matter of course"""


def usual(density: Density, window: Window) -> float:
    """Records to expect in `window`; 0 while the tenant's week is not known."""
    return density.expected(window) if density.known else 0.0
