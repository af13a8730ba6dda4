"""What one answer is worth beside the others of its walk: rows that were there must show again."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.rows import SearchAnswer, keys_between, keys_not_beside, micros
from trailkeeper.model.search.order.claim import Claim
from trailkeeper.model.window import Window

_HELD = 12
"""answers whose rows are remembered: 60,000 keys at most"""


class HeldAnswers:
    """Answers that closed nothing, and what they and the service's hints say of others."""

    def __init__(self, doubts: Doubts) -> None:
        self._doubts = doubts
        self._answers: deque[SearchAnswer] = deque(maxlen=_HELD)

    def hold(self, answer: SearchAnswer) -> None:
        self._answers.append(answer)

    def missing(self, window: Window, answer: SearchAnswer) -> int:
        """How many rows of held answers lie in `window` and are not in this one."""
        low, high = micros(window.start), micros(window.end)
        near = (
            held
            for held in self._answers
            if held.times and min(held.times) < high and max(held.times) >= low
        )
        common = ((held, held.asked.intersect(window)) for held in near)
        seen = {key for held, both in common if both for key in keys_between(held, both)}
        return len(seen - set(answer.keys))

    def is_sure(self, answer: SearchAnswer) -> bool:
        """Whether it can bear out another one: a service that keeps rows back may keep back the
        same ones twice."""
        cut = answer.truncated(self._doubts.cap)
        return not (answer.unclean() or cut or self._doubts.keeps_back(answer))

    def is_sound(self, answer: SearchAnswer) -> bool:
        """Whether nothing speaks against this answer being whole."""
        return self.is_consistent(answer) and not self._doubts.of(answer)

    def is_consistent(self, answer: SearchAnswer) -> bool:
        """Whether nothing but a hint can speak against that."""
        cut = answer.truncated(self._doubts.cap)
        return not (answer.unclean() or cut or self.missing(answer.asked, answer))

    def bears_out(self, answer: SearchAnswer, claim: Claim) -> bool:
        """Whether the overlap in `answer` says anything of a claim that is doubted: what two
        answers keep back may be the same rows."""
        return not (self._doubts.keeps_back(answer) and self._doubts.of_cover(claim.answer))

    def same_in_pieces(
        self, window: Window, answer: SearchAnswer, pieces: Collection[SearchAnswer]
    ) -> bool:
        """Whether the answers to all pieces of `window` have just the rows that `answer`, which may
        reach beyond it, has of it."""
        sure = all(map(self.is_sure, pieces))
        if self._doubts.keeps_back(answer):  # what has no rows may keep back all there are
            sure = sure and all(piece.rows for piece in pieces)
        again = {key for piece in pieces for key in keys_not_beside(piece, window)}
        return sure and again == keys_not_beside(answer, window)
