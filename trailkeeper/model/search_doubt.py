"""Hints that rows are missing from a short answer: each is a reason to look twice, never proof.

A hint that the second look contradicts is this tenant's habit and costs nothing from then on; one
that it confirms teaches how much the service really gives at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trailkeeper.model.search import SearchAnswer, SearchLimits, says_more

COUNT_ZERO = "count_zero"
COUNT_HIGH = "count_high"
LARGEST = "largest_so_far"
FEWER = "fewer_and_more"
_DEFAULT_SIZE = 100
"""rows of a service that ignores ResultSize (identity-and-exchange.md, section 4.1)"""
_ENOUGH = 50
"""rows whose second look says something about the habit, and not only about the window"""


@dataclass
class Doubts:
    """What one tenant's short answers are worth.

    `harmless`, `verified`, `cap` and `counted` outlive the walk.
    """

    limits: SearchLimits
    harmless: set[str] = field(default_factory=set)
    verified: int = 0
    """rows of the largest answer that was found to be whole, or full: the service gives as much"""
    counts: bool = False
    """ResultCount was seen to be more than 0 beside rows, so 0 is no habit (D3)"""
    cap: int = 0
    """what the service was caught giving at most; `limits.cap` until then"""
    whole: int = 0
    """rows of the last answer below `cap` that said there is more and kept none back"""
    counted: bool | None = None
    """as `counts`, of this walk's answers alone; None while none of them told"""
    borne_out: set[str] = field(default_factory=set)
    """hints of which the last second look in this walk brought more"""

    def __post_init__(self) -> None:
        self.cap = self.cap or self.limits.cap

    def notice(self, answer: SearchAnswer) -> None:
        """Learn from any answer what needs no second look."""
        if answer.rows and answer.result_count is not None:
            self.counted = bool(self.counted or answer.result_count)
            self.counts = self.counts or self.counted
        if answer.rows > self.cap:
            self.cap = self.limits.cap
        if answer.rows >= self.limits.cap:
            self.verified = answer.rows

    def of(self, answer: SearchAnswer) -> str:
        """The first reason to look at a clean, short answer twice; empty when there is none."""
        for reason in self._reasons(answer):
            if reason not in self.harmless:
                return reason
        return ""

    def of_cover(self, answer: SearchAnswer) -> str:
        """The first reason to doubt that a full answer has all rows of the time it covers.

        A service that keeps rows back counts none, warns, or gives less than it could and says
        there is more; in time order the rest looks whole. A higher count only says that there is
        more.
        """
        told = (r for r in self._reasons(answer) if r not in (COUNT_HIGH, LARGEST))
        if reason := next((r for r in told if r not in self.harmless), ""):
            return reason
        return FEWER if answer.rows < self.cap and answer.rows != self.whole else ""

    def keeps_back(self, answer: SearchAnswer) -> bool:
        """Whether it counts none of its rows, though this service counts (D3)."""
        return bool(answer.rows) and answer.result_count == 0 and self.counts

    def _reasons(self, answer: SearchAnswer) -> list[str]:
        reasons = [f"warning {w[:100]}" for w in answer.warnings if not says_more(w)]
        if self.keeps_back(answer):
            reasons.append(f"{COUNT_ZERO}, though it counts")
        elif answer.rows and answer.result_count == 0:
            reasons.append(COUNT_ZERO)
        if answer.result_count is not None and answer.result_count > answer.rows:
            reasons.append(COUNT_HIGH)
        if self._may_be_cut(answer.rows):
            reasons.append(LARGEST)
        return reasons

    def _may_be_cut(self, rows: int) -> bool:
        """Nobody has seen this service give more: the size may be its own bound."""
        if rows < _DEFAULT_SIZE or rows < self.verified:
            return False
        return rows > self.verified or rows == _DEFAULT_SIZE or rows % 1000 == 0

    def unfounded(self, reason: str, answer: SearchAnswer) -> None:
        """The second look brought exactly the same."""
        if reason == FEWER:  # of a cut answer: its size tells nothing of short ones
            self.whole = answer.rows
            return
        self.verified = max(self.verified, answer.rows)
        may_be_habit = reason == COUNT_ZERO or reason.startswith("warning ")
        if may_be_habit and answer.rows >= _ENOUGH:
            self.harmless.add(reason)
            self.borne_out.discard(reason)

    def founded(self, reason: str, answer: SearchAnswer) -> None:
        """The second look brought more."""
        self.harmless.discard(reason)
        self.borne_out.add(reason)
        if reason in (LARGEST, COUNT_HIGH) and answer.rows >= _DEFAULT_SIZE:
            self.cap = min(self.cap, answer.rows)
