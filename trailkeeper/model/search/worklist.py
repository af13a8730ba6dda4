"""The parts of a window that a walk still has to ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trailkeeper.model.search.answer.rows import SearchAnswer, SearchLimits
from trailkeeper.model.search.order.claim import Claim
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.window import Window, subtract


@dataclass(slots=True)
class Part:
    """A window still to be proven, and what is known about it already."""

    window: Window
    tries: int = 0
    depth: int = 0
    """how often it was halved because it did not answer cleanly"""
    claim: Claim | None = None
    """the neighbour that a full answer claims to cover; this part's answer has to confirm it"""
    answer: SearchAnswer | None = None
    """an answer already at hand, from a recheck"""
    waited: bool = False
    """came back empty, and was put off until more is known"""
    usual: float = 0.0
    """records to expect in the longest empty window that it is a piece of"""

    def release_claim(self) -> Claim | None:
        """Give up the neighbour, and with it the overlap: the windows are disjoint again."""
        claim, self.claim = self.claim, None
        if claim:
            (self.window,) = subtract([self.window], [claim.window])
        return claim


class Worklist:
    """Parts in the order in which they are asked: the newest first."""

    def __init__(self, window: Window, limits: SearchLimits, port: SearchPort) -> None:
        self._parts = [Part(window)]
        self._limits = limits
        self._port = port

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def claiming(self) -> list[Part]:
        """The parts whose answer has to confirm a claim."""
        return [part for part in self._parts if part.claim]

    def next(self) -> Part:
        return self._parts.pop()

    def add(self, parts: Iterable[Part]) -> None:
        """Newest last, so that the newest is asked first."""
        self._parts.extend(sorted(parts, key=lambda part: part.window))

    def add_windows(self, windows: Iterable[Window]) -> None:
        """The same for windows of which nothing is known."""
        self.add(Part(window) for window in windows)

    def postpone(self, part: Part) -> None:
        """Ask all others first."""
        self._parts.insert(0, part)

    def again(self, part: Part) -> bool:
        """Put the part back for another try after a pause; False when its tries are used up."""
        if part.tries + 1 >= self._limits.tries:
            return False
        self._port.pause(self._limits.retry_pause * 2**part.tries)
        part.tries += 1
        part.answer = None
        self._parts.append(part)
        return True

    def narrower(self, part: Part) -> bool:
        """Ask the halves, once each; False when that was done often enough."""
        halves = part.window.halves()
        if part.depth >= self._limits.distrust_depth or len(halves) < 2:
            return False
        self.add(Part(h, tries=self._limits.tries - 1, depth=part.depth + 1) for h in halves)
        return True

    def empty(self) -> list[Window]:
        """Ask nothing more; the windows that were left."""
        left = [part.window for part in self._parts]
        self._parts.clear()
        return left
