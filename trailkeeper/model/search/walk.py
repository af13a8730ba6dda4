"""Proving a window of the Exchange audit search complete, call by call.

Search-UnifiedAuditLog answers one call with at most `cap` rows and lies in fourteen documented ways
(identity-and-exchange.md, section 4.4). `SearchWalk` asks for parts of a window until each part is
proven, suspect, lost or a gap. `SearchWalk._conclude` is the table of docs/decisions/search.md, a
row for each kind of answer; the classes that it names decide. No count and no flag of the service
ever *ends* a part.

Calls are bounded: see `trailkeeper.model.search.answer.rows.SearchLimits`.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

from trailkeeper.errors import (
    AnswerTooLarge,
    Bug,
    ConfigurationError,
    Lost,
    NeedsPerson,
    NotFinished,
    Throttled,
    TrailkeeperError,
    Transient,
)
from trailkeeper.model.measures.density import Density
from trailkeeper.model.search.answer.distrust import Distrust
from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.held import HeldAnswers
from trailkeeper.model.search.answer.recheck import Recheck
from trailkeeper.model.search.answer.rows import (
    UNTIMED,
    Choice,
    SearchAnswer,
    SearchLimits,
    keys_between,
)
from trailkeeper.model.search.calls import Calls
from trailkeeper.model.search.conclusions import Conclusions, Reopening
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.emptiness.newer import NewerFirst
from trailkeeper.model.search.emptiness.parts import EmptyParts, WalkProbes
from trailkeeper.model.search.full_second import FullSeconds
from trailkeeper.model.search.order.full import FullAnswers
from trailkeeper.model.search.order.overlap import Overlap
from trailkeeper.model.search.order.trust import OrderTrust
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.refusals import Refusals
from trailkeeper.model.search.sharing import SlotSharing
from trailkeeper.model.search.worklist import Part, Worklist
from trailkeeper.model.segment import Finding, Verdict
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window


@dataclass
class SearchWalk:
    """One walk over one window. `findings` grows; `interrupted` tells why it stopped early."""

    port: SearchPort
    window: InitVar[Window]
    limits: SearchLimits = field(default_factory=SearchLimits)
    busy_hour: InitVar[int] = 10
    """UTC hour in which records are most likely, for the probes of an empty window"""
    known_doubts: InitVar[Doubts | None] = None
    """what this tenant's short answers are worth; nothing known by default"""
    credibility: Credibility = field(default_factory=Credibility)
    """what its empty answers are worth, likewise"""
    proven_order: InitVar[Choice | None] = None
    """how full answers choose their rows; None: the walk finds out by itself"""
    turn: InitVar[Turn | None] = None
    density: InitVar[Density | None] = None

    def __post_init__(
        self,
        window: Window,
        busy_hour: int,
        known_doubts: Doubts | None,
        proven_order: Choice | None,
        turn: Turn | None,
        density: Density | None,
    ) -> None:
        turn, density = turn or Turn(), density or Density()
        self.interrupted: TrailkeeperError | None = None
        self.doubts = known_doubts or Doubts(self.limits)
        self._conclusions = Conclusions(window, self.port)
        self._worklist = Worklist(window, self.limits, self.port)
        reopening = Reopening(self._conclusions, self._worklist, self.credibility)
        self.calls = Calls(
            self.port, turn, self.limits, self.doubts, self.credibility, reopening.counted_none
        )
        self._held = HeldAnswers(self.doubts)
        self.order = OrderTrust(self.port, self.calls.ask, self.doubts, self._held, proven_order)
        self._overlap = Overlap(
            self.calls, self.doubts, self._held, self.order, self._worklist, self._conclusions
        )
        self._refusals = Refusals(self._overlap, self._worklist, self._conclusions)
        self._distrust = Distrust(
            self._worklist, self._conclusions, self._overlap, self.credibility, reopening
        )
        self._full = FullAnswers(
            self.calls,
            self.limits,
            self.order,
            SlotSharing(turn, density, self.calls, self._conclusions),
            FullSeconds(self.port, self.calls, self.limits, self._conclusions),
            self._worklist,
        )
        self._short = Recheck(
            self.calls,
            self.doubts,
            self._held,
            self.credibility,
            self._worklist,
            self._conclusions,
            reopening,
            self._distrust,
        )
        self._newer = NewerFirst(
            self.port, turn, self.credibility, self._worklist, self._conclusions
        )
        self._empty = EmptyParts(
            WalkProbes(self.port, self.calls, self._short, self._conclusions),
            self.limits,
            density,
            busy_hour,
            self._held,
            self.credibility,
            self._worklist,
            self._conclusions,
            reopening,
            self._distrust,
            self._full,
        )

    @property
    def findings(self) -> list[Finding]:
        return self._conclusions.findings

    def learned(self, density: Density) -> Density:
        """`density` and what this walk has seen of proven time."""
        return self._conclusions.learned(density)

    def run(self) -> list[Finding]:
        """Walk until every part has a finding, a bound is reached, or an error stops it.

        A part without a finding was not concluded and has to be planned again. `LeaseLost` and
        `Unavailable` pass through; every other error of ours ends up in `interrupted`.
        """
        while self._worklist and not self._enough():
            if error := self._step(self._worklist.next()):
                self.interrupted = error
                break
        if not self.interrupted:
            self.interrupted = self._settle_claims()
        return self.findings

    def _step(self, part: Part) -> TrailkeeperError | None:
        """Ask and conclude one part; the error that ends the walk, if any."""
        try:
            self._conclude(part, part.answer or self.calls.ask(part.window))
        except AnswerTooLarge as error:
            self._refusals.too_large(part, error)
        except Lost as error:
            self._refusals.lost(part, error)
        except Transient as error:
            if isinstance(error, Throttled | NotFinished) or not self._distrust.asks_again(part):
                return error
        except (NeedsPerson, ConfigurationError, Bug) as error:
            return error
        return None

    def _conclude(self, part: Part, answer: SearchAnswer) -> None:
        """The table of docs/decisions/search.md: what came, and who decides what it proves."""
        if reason := answer.unclean():
            self._held.hold(answer)
            self._distrust.of(part, reason)
        elif part.claim and (missing := self._overlap.missing(part, part.claim, answer)):
            self._distrust.lacking(part, answer, missing)
        elif answer.truncated(self.calls.cap):
            self._held.hold(answer)
            self._full.conclude(part, answer)
        elif missing := self._held.missing(part.window, answer):
            self._held.hold(answer)
            self._distrust.lacking(part, answer, missing)
        elif keys_between(answer, part.window) or UNTIMED in answer.times:
            self._short.conclude(part, answer)
        else:
            self._newer.wait(answer)
            self._empty.conclude(part, answer)

    def _enough(self) -> bool:
        """Bounds reached: the rest is planned as segments of its own.

        An attempt that has concluded nothing may bring more than its share: the next one would
        begin where it began.
        """
        some = self.findings or self._worklist.claiming
        times = 1 if some else _WITHOUT_FINDING
        if self.calls.rows >= times * self.limits.rows_per_attempt or self.port.full(times):
            return True
        if not self.calls.spent:
            return False
        reason = f"not proven within {self.calls.made} calls"
        for window in self._worklist.empty():
            self._conclusions.close(window, Verdict.SUSPECT, reason)
        return True

    def _settle_claims(self) -> TrailkeeperError | None:
        """Confirm what the last full answer covers; the error that came instead."""
        try:
            for part in self._worklist.claiming:
                if part.claim:
                    self._overlap.settle(part, part.claim)
        except (AnswerTooLarge, Lost):
            return None
        except (Transient, NeedsPerson, ConfigurationError, Bug) as error:
            return error
        return None


_WITHOUT_FINDING = 4
"""how many times its rows an attempt may bring that has concluded nothing yet"""
