"""Whether a tenant's order chooses the rows of a full answer, so that the answer covers time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trailkeeper.errors import AnswerTooLarge, Lost
from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.held import HeldAnswers
from trailkeeper.model.search.answer.rows import Choice, Order, SearchAnswer, keys_between
from trailkeeper.model.search.order.claim import Claim
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.window import Window

_REFUTED = 2
"""claims in a row that came to nothing; then a walk trusts no order any more"""
_TAKEN = (Order.NEWEST_FIRST, Order.OLDEST_FIRST)


@dataclass
class OrderTrust:
    """What one walk thinks of it. `ask` is the walk's; raises what the transport raises."""

    port: SearchPort
    ask: Callable[[Window], SearchAnswer]
    doubts: Doubts
    held: HeldAnswers
    proven: Choice | None
    """how this tenant's full answers choose their rows; None: the walk finds out by itself"""
    _refuted: int = field(default=0, init=False)
    """claims in a row that were not borne out, though their choice was proven"""
    _gave_up: bool = field(default=False, init=False)
    """this walk refuted a proof: what it told of that may be lost, so it hears of none any more"""
    _false: set[Order] = field(default_factory=set, init=False)
    """in which this walk believes no more, where none is proven"""

    def of(self, answer: SearchAnswer) -> Order:
        """In which the rows of a full answer were taken: as is proven of those that are shown so,
        or as they are sorted, or as they seem to be; NONE: nothing is claimed.

        Rows may be shown in another order than they were taken in, or in none.
        """
        self._hear()
        if self.proven and self.proven.shown is answer.order:
            return self.proven.taken
        likely = (answer.order, answer.leaning)
        open_to_proof = (o for o in likely if o is not Order.NONE and o not in self._false)
        return next(open_to_proof, Order.NONE)

    def bears(self, claim: Claim, rest: SearchAnswer) -> bool:
        """Whether this order is known to choose the rows, and the answer that claims gives no cause
        to doubt that it has them all; `rest`: what came beyond it.

        It is proven before the first claim closes; by then another walk of this tenant may have
        done that. A claim of an answer that is shown otherwise, or doubted, has to prove itself;
        and so does one beyond which nothing was left out: it has all rows there are, whatever it
        said of more, or they were chosen otherwise this time. Such a claim, or one of few of its
        answer's rows, proves itself and not the order; any other is the proof from then on.
        """
        doubt = self.doubts.of_cover(claim.answer)
        if self.proven and self.port.order_refuted():  # by a walk at the same time
            self.proven = None
        if not doubt:
            self._hear()
        chose = claim.chose(rest)
        if self.proven == claim.choice and chose and not doubt:
            return True
        if not self._stands_alone(claim):
            if doubt:
                self.doubts.founded(doubt, claim.answer)
            return False
        if self.proven != claim.choice and claim.covers_most() and chose:
            self.proven = claim.choice
            self.port.tell_order(claim.choice)
        if doubt:
            self.doubts.unfounded(doubt, claim.answer)
        return True

    def _hear(self) -> None:
        """Whether another walk of this tenant has proven one by now."""
        if not (self.proven or self._gave_up):
            self.proven = self.port.order_known()

    def _stands_alone(self, claim: Claim) -> bool:
        """Ask the covered part by itself: it must hold exactly the rows that the order gave it."""
        part = claim.inner
        try:
            again = self.ask(part)
        except (AnswerTooLarge, Lost):  # said of the claim, while its neighbour is concluded
            return False
        same = keys_between(again, part) == keys_between(claim.answer, part)
        return same and self.held.is_sure(again)

    def confirmed(self) -> None:
        """A claim was borne out."""
        self._refuted = 0

    def dropped(self, claim: Claim) -> None:
        """One came to nothing because of what was asked beside it. What was a mere guess is not
        guessed again: it might win a second at a time."""
        if self.proven != claim.choice and claim.choice.taken is not claim.choice.shown:
            self._false.add(claim.choice.taken)

    def refuted(self, claim: Claim) -> None:
        """One was not. Where no order was proven, it is claimed no more: chance would bear it out
        some day."""
        self._hear()
        if self.proven != claim.choice:
            self._false.add(claim.choice.taken)
            return
        self._refuted += 1
        if self._refuted >= _REFUTED:
            self.proven, self._gave_up = None, True
            self._false.update(_TAKEN)
            self.port.tell_order(None)
