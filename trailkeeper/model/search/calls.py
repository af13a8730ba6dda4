"""A walk's questions: asked patiently, counted, and heard for what each answer teaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trailkeeper.errors import AnswerTooLarge, Throttled, Transient
from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.rows import SearchAnswer, SearchLimits, SessionAnswer
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window

T = TypeVar("T")


class Calls:
    """Asks `port`, waits out its short throttlings, and bounds what may be asked."""

    def __init__(
        self,
        port: SearchPort,
        turn: Turn,
        limits: SearchLimits,
        doubts: Doubts,
        credibility: Credibility,
        begins_to_count: Callable[[], None],
    ) -> None:
        """`begins_to_count`: called when a service that was thought to count none has counted."""
        self.port = port
        self.doubts = doubts
        self.made = 0
        self.rows = 0
        self.foreign = 0
        """rows outside what was asked"""
        self.probed_rows = 0
        """rows of probes of empty parts, which buy no further calls"""
        self.extra_calls = 0
        """calls of full seconds, which have bounds of their own"""
        self._turn = turn
        self._limits = limits
        self._credibility = credibility
        self._begins_to_count = begins_to_count

    @property
    def cap(self) -> int:
        """From how many rows on an answer may be cut."""
        return self.doubts.cap

    @property
    def spent(self) -> bool:
        """Whether the calls of this walk are used up."""
        rows = self.rows - self.probed_rows
        most = self._limits.base_calls + self._limits.calls_per_part * (1 + rows // self.cap)
        return self.made - self.extra_calls >= most

    def ask(self, window: Window) -> SearchAnswer:
        """One call. Raises the errors of `trailkeeper.errors`."""
        self.made += 1
        counted = self.doubts.counts
        answer = self.patiently(lambda: self.port.ask(window))
        self._turn.answered(clean=not answer.unclean())
        self.rows += answer.rows
        self.foreign += answer.foreign()
        self.doubts.notice(answer)
        full = answer.rows >= self.cap
        self._credibility.notice(answer, "" if full else self.doubts.of(answer))
        if full and not answer.unclean():
            self._credibility.crowded(window)
        if self.doubts.counts and not counted:
            self._begins_to_count()
        return answer

    def require_auditing(self) -> None:
        """As `SearchPort.require_auditing`."""
        self.made += 1
        self.patiently(self.port.require_auditing)

    def patiently(self, question: Callable[[], T]) -> T:
        """Obey a short throttling here, since the calls so far would be asked again otherwise."""
        waited = 0
        while True:
            self._turn.still_ours()  # one part may take hundreds of questions
            try:
                return question()
            except AnswerTooLarge:  # of large records, not of too many searches
                raise
            except Transient as error:
                self._turn.answered(clean=False)
                if not isinstance(error, Throttled):
                    raise
                waited += 1
                if error.retry_after > self._limits.short_wait or waited > self._limits.waits:
                    raise
                self.port.pause(error.retry_after)


class CallsForSecond:
    """The same for a full second, which counts what it asks by itself
    (`trailkeeper.model.search.full_second.FullSecondPort`)."""

    def __init__(self, asking: Calls) -> None:
        self._asking = asking

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        ask = self._asking.port.ask
        return self._asking.patiently(lambda: ask(window, record_type, tight=tight))

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer:
        session = self._asking.port.session
        return self._asking.patiently(lambda: session(window, record_type, tight=tight))
