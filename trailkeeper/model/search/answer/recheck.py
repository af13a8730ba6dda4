"""A clean answer below the cap closes its part; where a hint speaks against it, it is rechecked.

A recheck asks the same time in halves. Only when they bring exactly the same rows was the hint
without cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from trailkeeper.model.search.answer.distrust import Distrust
from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.held import HeldAnswers
from trailkeeper.model.search.answer.rows import SearchAnswer
from trailkeeper.model.search.calls import Calls
from trailkeeper.model.search.conclusions import Conclusions, Reopening
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.worklist import Part, Worklist


@dataclass(frozen=True, slots=True)
class Recheck:
    """Concludes short answers. Methods raise what the transport raises."""

    calls: Calls
    doubts: Doubts
    held: HeldAnswers
    credibility: Credibility
    worklist: Worklist
    conclusions: Conclusions
    reopening: Reopening
    distrust: Distrust

    def conclude(self, part: Part, answer: SearchAnswer) -> None:
        """`answer` is clean and below the cap: the part is complete, unless a hint is borne out."""
        evidence: dict[str, object] = {"rows": answer.rows}
        if doubt := self.doubts.of(answer):
            if not self._agrees(part, answer):
                self.doubts.founded(doubt, answer)
                self.credibility.troubled = True
                self.reopening.empty_on_little()
                return
            self.doubts.unfounded(doubt, answer)
            evidence["recheck"] = doubt
        self.conclusions.complete(part.window, answer, evidence)

    def _agrees(self, part: Part, answer: SearchAnswer) -> bool:
        """Ask the halves too: True when they bring nothing that `answer` did not.

        Otherwise they take the part's place, with the answers that are at hand already.
        """
        halves = part.window.halves()
        answers = {half: self.calls.ask(half) for half in halves}
        if self.held.same_in_pieces(part.window, answer, answers.values()):
            return True
        self.held.hold(answer)
        if len(halves) < 2:
            self.distrust.of(part, "the same question was answered differently")
        else:
            at_hand = {w: a for w, a in answers.items() if a.rows and not self.doubts.keeps_back(a)}
            self.worklist.add(Part(h, depth=part.depth, answer=at_hand.get(h)) for h in halves)
        return False

    def whole(self, answer: SearchAnswer) -> bool:
        """Whether it is sound, or doubted without cause: its halves are asked to find out."""
        if self.held.is_sound(answer):
            return True
        doubt, halves = self.doubts.of(answer), answer.asked.halves()
        if not doubt or len(halves) < 2 or not self.held.is_consistent(answer):
            return False
        pieces = [self.calls.ask(half) for half in halves]
        if not self.held.same_in_pieces(answer.asked, answer, pieces):
            return False
        self.doubts.unfounded(doubt, answer)
        return True
