"""A full answer: there are more rows than it holds."""

from __future__ import annotations

from dataclasses import dataclass

from trailkeeper.model.search.answer.rows import SECOND, SearchAnswer, SearchLimits
from trailkeeper.model.search.calls import Calls
from trailkeeper.model.search.full_second import FullSeconds
from trailkeeper.model.search.order.claim import covered_by
from trailkeeper.model.search.order.cuts import cut_by_rows
from trailkeeper.model.search.order.trust import OrderTrust
from trailkeeper.model.search.sharing import SlotSharing
from trailkeeper.model.search.worklist import Part, Worklist


@dataclass(frozen=True, slots=True)
class FullAnswers:
    """Keeps what order covers, else cuts the part where the rows lie."""

    calls: Calls
    limits: SearchLimits
    order: OrderTrust
    sharing: SlotSharing
    seconds: FullSeconds
    worklist: Worklist

    def conclude(self, part: Part, answer: SearchAnswer) -> None:
        if part.window.duration <= SECOND:
            self._second(part, answer)
            return
        claim = covered_by(answer, part.window, self.order.of(answer), self.limits.overlap_rows)
        if claim:
            rest = self.sharing.rest(part.window, claim)
            self.worklist.add([Part(rest, claim=claim)])
        else:
            self._cut(part, answer)

    def _second(self, part: Part, answer: SearchAnswer) -> None:
        if answer.asked == part.window:
            self.seconds.conclude(part.window, answer)
        else:  # rows of a claim's overlap, which no question about the second brings
            self.worklist.add_windows([part.window])

    def _cut(self, part: Part, answer: SearchAnswer) -> None:
        pieces = self.sharing.ours_of(cut_by_rows(part.window, answer, self.calls.cap))
        self.worklist.add_windows(piece for piece in pieces if piece.duration > SECOND)
        # Asked first: what cannot be cut is concluded, and an attempt that ends has brought it.
        self.worklist.add_windows(piece for piece in pieces if piece.duration <= SECOND)
