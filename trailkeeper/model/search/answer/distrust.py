"""An answer that proves nothing: its part is asked again, then in halves, then called suspect."""

from __future__ import annotations

from dataclasses import dataclass

from trailkeeper.model.search.answer.rows import SearchAnswer
from trailkeeper.model.search.conclusions import Conclusions, Reopening
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.order.overlap import Overlap
from trailkeeper.model.search.worklist import Part, Worklist
from trailkeeper.model.segment import Verdict


@dataclass(frozen=True, slots=True)
class Distrust:
    """What becomes of a part whose answer is not believed."""

    worklist: Worklist
    conclusions: Conclusions
    overlap: Overlap
    credibility: Credibility
    reopening: Reopening

    def of(self, part: Part, reason: str) -> None:
        """Ask again, then in halves, then give the part up as suspect."""
        if not self.asks_again(part):
            self.conclusions.close(part.window, Verdict.SUSPECT, reason)

    def lacking(self, part: Part, answer: SearchAnswer, missing: int) -> None:
        """The answer has not all the rows that an earlier answer had."""
        if not answer.rows:
            self.credibility.hid(answer.asked)
            self.reopening.empty_on_little()
        self.of(part, f"{missing} rows that were there a moment ago are missing")

    def asks_again(self, part: Part) -> bool:
        """Put the part back, as a whole or in halves; False when neither is left to try."""
        if self.worklist.again(part):
            return True
        self.overlap.drop(part)
        return self.worklist.narrower(part)
