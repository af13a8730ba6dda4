"""How much of a window one walk keeps, and how the rest is cut for others.

A stream has few slots (three searches of a tenant at a time) and a call is slow, so that a slot
without work costs more than a call that is not full. A walk that sees free slots gives them the far
end of its window, in parts that need about equally many calls; each of those does the same once it
sees a free slot, so that the last calls of a collection run side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from trailkeeper.model.measures.density import Density
from trailkeeper.model.search.calls import Calls
from trailkeeper.model.search.conclusions import Conclusions
from trailkeeper.model.search.order.claim import Claim
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window


@dataclass(frozen=True, slots=True)
class SlotSharing:
    """Gives what one walk owes to free slots; `conclusions.window` is what it keeps."""

    turn: Turn
    density: Density
    calls: Calls
    conclusions: Conclusions

    def rest(self, window: Window, claim: Claim) -> Window:
        """What is left of `window` beside what `claim` covers; its far end may go to others."""
        rest, owed = claim.rest_of(window), self.conclusions.window
        mine, *given = self._shares(rest, claim)
        if given:
            start, end = owed.start, owed.end
            kept = Window(mine.start, end) if claim.newest_first else Window(start, mine.end)
            if self.turn.share(kept, given):
                self.conclusions.window, rest = kept, mine
        return claim.with_overlap(rest)

    def ours_of(self, pieces: Sequence[Window]) -> Sequence[Window]:
        """What is left of `pieces` for this walk; the oldest may go to others."""
        owed = self.conclusions.window
        if pieces[0].start != owed.start:
            return pieces
        *given, ours = groups(pieces, 1 + self.turn.room())
        kept = Window(ours[0].start, owed.end)
        if not given or not self.turn.share(kept, [joined(group) for group in given]):
            return pieces
        self.conclusions.window = kept
        return ours

    def _shares(self, rest: Window, claim: Claim) -> list[Window]:
        """`rest` cut for as many as have a slot, ours first; only the far end can be given."""
        owed = self.conclusions.window
        if rest.start != owed.start and rest.end != owed.end:
            return [rest]
        density = self.conclusions.learned(self.density, claim)
        calls = calls_expected(rest, density, claim, self.calls.cap)
        if calls < WORTH_SHARING:
            return [rest]
        parts = shares(rest, calls, 1 + self.turn.room(), density)
        return parts[::-1] if claim.newest_first else parts


WORTH_SHARING = 0.5
"""calls: a slot that would stand idle takes half a call off another, and the guess of what is left
may be too low"""
_LONG = timedelta(hours=2)
"""from here on the tenant's week says more than the last answer: it knows no bursts, and they do
not last"""


def calls_expected(rest: Window, density: Density, claim: Claim, cap: int) -> float:
    """Full calls that `rest` needs: by what was seen of the tenant's week, else by the answer
    beside it."""
    seen = claim.rate * rest.duration.total_seconds()
    if not density.seen:
        return seen / cap
    usual = density.expected(rest)
    return (usual if rest.duration >= _LONG else max(usual, seen)) / cap


def groups(pieces: Sequence[Window], slots: int) -> list[Sequence[Window]]:
    """`pieces`, which follow each other, for `slots` slots: about as many each."""
    count = max(1, min(slots, len(pieces)))
    edges = [math.ceil(len(pieces) * n / count) for n in range(count + 1)]
    return [pieces[start:end] for start, end in pairwise(edges)]


def joined(pieces: Sequence[Window]) -> Window:
    """The time of `pieces`, which follow each other."""
    return Window(pieces[0].start, pieces[-1].end, pieces[0].axis)


def shares(rest: Window, calls: float, slots: int, density: Density) -> list[Window]:
    """Cut `rest`, which needs about `calls` calls, for `slots` slots, oldest first."""
    count = min(slots, math.ceil(calls / WORTH_SHARING))
    if count < 2:
        return [rest]
    if density.seen and rest.duration >= _LONG:
        return density.cut(rest, count, rest.duration)
    edges = (rest.start + rest.duration * n / count for n in range(1, count))
    return list(rest.split(*(edge.replace(microsecond=0) for edge in edges)))
