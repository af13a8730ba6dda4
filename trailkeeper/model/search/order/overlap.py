"""The overlap: the next question shows again the last rows of what a full answer claims to cover.

Only then is the covered part closed. An overlap that shows other rows refutes the claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.held import HeldAnswers
from trailkeeper.model.search.answer.rows import SearchAnswer, keys_between
from trailkeeper.model.search.calls import Calls
from trailkeeper.model.search.conclusions import Conclusions
from trailkeeper.model.search.order.claim import Claim
from trailkeeper.model.search.order.trust import OrderTrust
from trailkeeper.model.search.worklist import Part, Worklist


@dataclass(frozen=True, slots=True)
class Overlap:
    """Settles claims. Methods that ask raise what the transport raises."""

    calls: Calls
    doubts: Doubts
    held: HeldAnswers
    order: OrderTrust
    worklist: Worklist
    conclusions: Conclusions

    def missing(self, part: Part, claim: Claim, answer: SearchAnswer) -> int:
        """Compare the overlap in the part's answer with the rows that are held.

        How many of them are missing where that says nothing of the claim, and all of `answer` is in
        doubt; 0: the claim is settled, and the part is without it.
        """
        if not claim.shown_by(answer, self.calls.cap):
            part.release_claim()
            self._refute(claim)
            return 0
        seen = keys_between(answer, claim.overlap)
        missing = claim.expected - seen
        if missing and (not answer.truncated(self.calls.cap) or self.order.bears(claim, answer)):
            return len(missing)
        holds = (
            seen == claim.expected
            and self.held.bears_out(answer, claim)
            and self.order.bears(claim, answer)
        )
        part.release_claim()
        if holds:
            self._confirm(claim)
        else:
            self._refute(claim)
        return 0

    def settle(self, part: Part, claim: Claim) -> None:
        """Ask for the overlap and a little beyond, when the rest of the window is left to others.

        That is a question of a few rows; without it the others would ask for all the rows of the
        full answer again. What it does not confirm stays without a finding.
        """
        answer = self.calls.ask(claim.beyond(part.window))
        if answer.truncated(self.calls.cap):
            answer = self.calls.ask(claim.overlap)
        shown = self.held.is_sure(answer) and keys_between(answer, claim.overlap) == claim.expected
        if shown and self.order.bears(claim, answer):
            part.release_claim()
            self._confirm(claim)

    def drop(self, part: Part) -> None:
        """The part asks nothing of its neighbour any more, which has to be asked by itself."""
        if claim := part.release_claim():
            self.order.dropped(claim)
            self.worklist.add_windows([claim.window])

    def _confirm(self, claim: Claim) -> None:
        self.order.confirmed()
        evidence: dict[str, object] = {
            "rows": claim.answer.rows,
            "overlap_rows": len(claim.expected),
        }
        self.conclusions.complete(claim.window, claim.answer, evidence)

    def _refute(self, claim: Claim) -> None:
        """Not all rows are there: the covered part has to be asked by itself.

        It is the order that did not choose them, unless the answer is known to keep rows back.
        """
        if not self.doubts.keeps_back(claim.answer):
            self.order.refuted(claim)
        self.worklist.add_windows(claim.window.halves())
