"""What becomes of a part that came back without rows: no rows is not no events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from trailkeeper.errors import AnswerTooLarge, Lost
from trailkeeper.model.measures.density import Density
from trailkeeper.model.search.answer.distrust import Distrust
from trailkeeper.model.search.answer.held import HeldAnswers
from trailkeeper.model.search.answer.recheck import Recheck
from trailkeeper.model.search.answer.rows import SearchAnswer, SearchLimits, keys_between
from trailkeeper.model.search.calls import Calls
from trailkeeper.model.search.conclusions import Conclusions, Reopening
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.emptiness.probes import sparse_stretch
from trailkeeper.model.search.emptiness.proof import (
    EmptinessProof,
    Hidden,
    Later,
    Narrower,
    ProbePort,
    Proven,
    usual,
)
from trailkeeper.model.search.order.full import FullAnswers
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.worklist import Part, Worklist
from trailkeeper.model.segment import Verdict
from trailkeeper.model.window import Window


@dataclass(slots=True)
class EmptyParts:
    """Concludes answers without rows. Methods raise what the transport raises."""

    probes: WalkProbes
    limits: SearchLimits
    density: Density
    busy_hour: int
    held: HeldAnswers
    credibility: Credibility
    worklist: Worklist
    conclusions: Conclusions
    reopening: Reopening
    distrust: Distrust
    full: FullAnswers
    _audited: bool = field(default=False, init=False)

    def conclude(self, part: Part, answer: SearchAnswer) -> None:
        self._require_auditing()
        part.usual = max(part.usual, usual(self.density, part.window))
        caught = self.credibility.caught
        self._decide(part, answer)
        if self.credibility.caught > caught:
            self.reopening.empty_on_little()

    def _require_auditing(self) -> None:
        """Once a walk: a tenant that does not audit answers no rows either."""
        if not self._audited:
            self.probes.calls.require_auditing()
            self._audited = True

    def _decide(self, part: Part, answer: SearchAnswer) -> None:
        found = self._proof(part).prove(answer, may_wait=not part.waited and bool(self.worklist))
        if isinstance(found, Proven):
            verdict = Verdict.EMPTY_CONFIRMED
            self.conclusions.close(part.window, verdict, "", answer.sent_at, found.evidence)
        elif isinstance(found, Later):
            part.answer, part.waited = answer, True
            self.worklist.postpone(part)
        elif isinstance(found, Narrower):
            depth = part.depth + (part.window.duration <= self.credibility.told())
            self.worklist.add(Part(p, depth=depth, usual=part.usual) for p in found.pieces)
        elif isinstance(found, Hidden):
            self.credibility.hid(part.window)
            self._unhidden(part, found.answer)
        else:
            self.conclusions.close(part.window, Verdict.SUSPECT, found.reason)

    def _proof(self, part: Part) -> EmptinessProof:
        return EmptinessProof(
            self.probes,
            part.window,
            self.credibility,
            self.limits,
            part.usual,
            self.busy_hour,
            part.depth,
        )

    def _unhidden(self, part: Part, answer: SearchAnswer) -> None:
        """A probe brought rows of a part that had come back empty."""
        self.held.hold(answer)
        full = answer.rows >= self.probes.calls.cap and not answer.unclean()
        if answer.asked.covers(part.window) and self.held.is_sound(answer):
            evidence: dict[str, object] = {
                "rows": len(keys_between(answer, part.window)),
                "hidden_at_first": True,
            }
            self.conclusions.complete(part.window, answer, evidence)
        elif full and answer.asked == part.window:
            self.full.conclude(part, answer)
        elif len(part.window.halves()) < 2:
            self.distrust.of(part, "the same question was answered differently")
        else:
            self.worklist.add(Part(h, usual=part.usual) for h in part.window.halves())


@dataclass(frozen=True, slots=True)
class WalkProbes(ProbePort):
    """A walk's questions, as the proof of an empty part asks them: their rows buy no calls."""

    port: SearchPort
    calls: Calls
    recheck: Recheck
    conclusions: Conclusions

    def ask(self, window: Window) -> SearchAnswer:
        answer = self.calls.ask(window)
        self.calls.probed_rows += answer.rows
        return answer

    def whole(self, answer: SearchAnswer) -> bool:
        before = self.calls.rows
        try:
            return self.recheck.whole(answer)
        except (AnswerTooLarge, Lost):
            return False
        finally:
            self.calls.probed_rows += self.calls.rows - before

    def pause(self, seconds: float) -> None:
        self.port.pause(seconds)

    def sparse(self, length: timedelta, most: int) -> Window | None:
        return sparse_stretch(self.conclusions.proven, length, most)
