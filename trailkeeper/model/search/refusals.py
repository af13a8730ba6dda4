"""A question that the service refuses for its size or its age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trailkeeper.errors import AnswerTooLarge, Lost
from trailkeeper.model.search.answer.rows import SECOND
from trailkeeper.model.search.conclusions import Conclusions
from trailkeeper.model.search.order.overlap import Overlap
from trailkeeper.model.search.worklist import Part, Worklist
from trailkeeper.model.segment import Verdict
from trailkeeper.model.window import parse_instant


@dataclass(frozen=True, slots=True)
class Refusals:
    """Asks for less, or concludes that nothing can be had."""

    overlap: Overlap
    worklist: Worklist
    conclusions: Conclusions

    def too_large(self, part: Part, error: AnswerTooLarge) -> None:
        self.overlap.drop(part)
        halves = part.window.halves()
        if len(halves) == 2:
            self.worklist.add_windows(halves)
        else:
            self.conclusions.close(part.window, Verdict.GAP, str(error))

    def lost(self, part: Part, error: Lost) -> None:
        """The service names the oldest instant it answers for; ask again from there."""
        self.overlap.drop(part)
        window = part.window
        horizon = _horizon(error)
        if horizon is None and window.duration > _HOUR:
            self.worklist.add_windows(window.halves())
            return
        if horizon is None or horizon >= window.end or window.duration <= SECOND:
            self.conclusions.close(window, Verdict.LOST, error.summary)
            return
        cut = max(horizon, window.start.replace(microsecond=0) + SECOND)
        gone, *left = window.split(cut)
        self.conclusions.close(gone, Verdict.LOST, error.summary)
        self.worklist.add_windows(left)


_HOUR = timedelta(hours=1)
_LEEWAY = timedelta(seconds=5)
"""questions reach a second back, and the horizon moves on while they are asked"""


def _horizon(error: Lost) -> datetime | None:
    """From when on to ask again; None when the service named no instant that can be read."""
    try:
        return parse_instant(error.horizon).replace(microsecond=0) + _LEEWAY
    except ValueError:
        return None
