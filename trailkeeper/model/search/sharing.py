"""How much of a window one walk keeps, and how the rest is cut for others.

Places of a stream are few (three searches of a tenant at a time) and a call is slow, so that a
place without work costs more than a call that is not full. A walk that sees free places gives them
the far end of its window, in parts that need about equally many calls; each of those does the same
once it sees a free place, so that the last calls of a collection run side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from trailkeeper.model.density import Density
from trailkeeper.model.search.order.claim import Covered
from trailkeeper.model.window import Window

WORTH_SHARING = 0.5
"""calls: a place that would stand idle takes half a call off another, and the guess of what is left
may be too low"""
_LONG = timedelta(hours=2)
"""from here on the tenant's week says more than the last answer: it knows no bursts, and they do
not last"""


def calls_expected(rest: Window, density: Density, claim: Covered, cap: int) -> float:
    """Full calls that `rest` needs: by what was seen of the tenant's week, else by the answer
    beside it."""
    seen = claim.rate * rest.duration.total_seconds()
    if not density.seen:
        return seen / cap
    usual = density.expected(rest)
    return (usual if rest.duration >= _LONG else max(usual, seen)) / cap


def groups(pieces: Sequence[Window], places: int) -> list[Sequence[Window]]:
    """`pieces`, which follow each other, for `places` places: about as many each."""
    count = max(1, min(places, len(pieces)))
    edges = [math.ceil(len(pieces) * n / count) for n in range(count + 1)]
    return [pieces[start:end] for start, end in pairwise(edges)]


def joined(pieces: Sequence[Window]) -> Window:
    """The time of `pieces`, which follow each other."""
    return Window(pieces[0].start, pieces[-1].end, pieces[0].axis)


def shares(rest: Window, calls: float, places: int, density: Density) -> list[Window]:
    """Cut `rest`, which needs about `calls` calls, for `places` places, oldest first."""
    count = min(places, math.ceil(calls / WORTH_SHARING))
    if count < 2:
        return [rest]
    if density.seen and rest.duration >= _LONG:
        return density.cut(rest, count, rest.duration)
    edges = (rest.start + rest.duration * n / count for n in range(1, count))
    return list(rest.split(*(edge.replace(microsecond=0) for edge in edges)))
