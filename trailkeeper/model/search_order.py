"""Whether a tenant's order chooses the rows of a full answer, so that the answer covers time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trailkeeper.errors import AnswerTooLarge, Lost
from trailkeeper.model.search import SearchAnswer, keys_between
from trailkeeper.model.search_claim import Covered
from trailkeeper.model.search_doubt import Doubts
from trailkeeper.model.search_held import Held
from trailkeeper.model.search_port import SearchPort
from trailkeeper.model.window import Window

_REFUTED = 2
"""witnesses in a row that came to nothing; then a walk trusts no order any more"""


@dataclass
class TrustInOrder:
    """What one walk thinks of it. `ask` is the walk's; raises what the transport raises."""

    port: SearchPort
    ask: Callable[[Window], SearchAnswer]
    doubts: Doubts
    held: Held
    proven: bool
    """this tenant's order was found to choose the rows; otherwise the walk finds out by itself"""
    _refuted: int = field(default=0, init=False)

    @property
    def gone(self) -> bool:
        """Whether nothing more is claimed."""
        return self._refuted >= _REFUTED

    def bears(self, claim: Covered, rest: SearchAnswer) -> bool:
        """Whether the order is known to choose the rows, and the answer that claims gives no cause
        to doubt that it has them all; `rest`: what came beyond it.

        The order is proven before the first claim closes; by then another walk of this tenant may
        have done that. An answer that is doubted has to prove its own claim. A claim of few of its
        answer's rows proves itself, and not the order: chance may have chosen those; and so does
        an answer with all rows there are, whatever it said of more: nothing was chosen.
        """
        doubt = self.doubts.of_cover(claim.answer)
        if self.proven and self.port.order_refuted():  # by a walk at the same time
            self.proven = False
        if not (self.proven or doubt):
            self.proven = self.port.order_known()
        if self.proven and not doubt:
            return True
        if not self._stands_alone(claim):
            if doubt:
                self.doubts.founded(doubt, claim.answer)
            return False
        if not self.proven and claim.covers_most() and claim.chose(rest):
            self.proven = True
            self.port.tell_order(proven=True)
        if doubt:
            self.doubts.unfounded(doubt, claim.answer)
        return True

    def _stands_alone(self, claim: Covered) -> bool:
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

    def refuted(self) -> None:
        """One was not. Where the order never was proven, no more is claimed: chance would bear it
        out some day."""
        self.proven = self.proven or self.port.order_known()
        self._refuted += 1 if self.proven else _REFUTED
        if self.proven and self.gone:
            self.proven = False
            self.port.tell_order(proven=False)
