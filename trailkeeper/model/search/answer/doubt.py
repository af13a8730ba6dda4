"""Hints that rows are missing from a short answer: each is a reason to look twice, never proof.

A hint that rechecks contradict is this tenant's habit and costs nothing from then on; one that
they bear out teaches how much the service really gives at a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from trailkeeper.model.search.answer.rows import SearchAnswer, SearchLimits, says_more

COUNT_ZERO = "count_zero"
COUNT_HIGH = "count_high"
LARGEST = "largest_so_far"
FEWER = "fewer_and_more"
_DEFAULT_SIZE = 100
"""rows of a service that ignores ResultSize (identity-and-exchange.md, section 4.1)"""
_ENOUGH = 50
"""rows whose recheck says something about the habit, and not only about the window"""
_WARNING = "warning "
_RECHECKS_OF_A_WARNING = 12
"""rechecks that bring nothing before a warning is thought to say nothing; each that brings
more wants as many again. Never to count is how whole years of the service are (D3); a warning that
nobody has described may be said of any answer, and true of few."""

Rechecks = Counter[tuple[str, bool]]
"""rechecks by hint, and by whether they brought more"""


@dataclass
class Doubts:
    """What one tenant's short answers are worth.

    `rechecks`, `verified`, `cap` and `counted` outlive the walk.
    """

    limits: SearchLimits
    rechecks: Rechecks = field(default_factory=Counter)
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

    def __post_init__(self) -> None:
        self.cap = self.cap or self.limits.cap

    def notice(self, answer: SearchAnswer) -> None:
        """Learn from any answer what needs no recheck."""
        if answer.rows and answer.result_count is not None:
            self.counted = bool(self.counted or answer.result_count)
            self.counts = self.counts or self.counted
        if answer.rows > self.cap:
            self.cap = self.limits.cap
        if answer.rows >= self.limits.cap:
            self.verified = answer.rows

    def of(self, answer: SearchAnswer) -> str:
        """The first reason to look at a clean, short answer twice; empty when there is none."""
        return next((r for r in self._reasons(answer) if not self._harmless(r)), "")

    def of_cover(self, answer: SearchAnswer) -> str:
        """The first reason to doubt that a full answer has all rows of the time it covers.

        A service that keeps rows back counts none, warns, or gives less than it could and says
        there is more; in time order the rest looks whole. A higher count only says that there is
        more.
        """
        told = (r for r in self._reasons(answer) if r not in (COUNT_HIGH, LARGEST))
        if reason := next((r for r in told if not self._harmless(r)), ""):
            return reason
        return FEWER if answer.rows < self.cap and answer.rows != self.whole else ""

    def keeps_back(self, answer: SearchAnswer) -> bool:
        """Whether it counts none of its rows, though this service counts (D3)."""
        return bool(answer.rows) and answer.result_count == 0 and self.counts

    def _reasons(self, answer: SearchAnswer) -> list[str]:
        reasons = [f"{_WARNING}{w[:100]}" for w in answer.warnings if not says_more(w)]
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

    def _harmless(self, reason: str) -> bool:
        """Whether it is this tenant's habit: rechecks brought nothing, often enough."""
        wanted = _rechecks_wanted(reason) * (1 + self.rechecks[reason, True])
        return 0 < wanted <= self.rechecks[reason, False]

    def unfounded(self, reason: str, answer: SearchAnswer) -> None:
        """The recheck brought exactly the same."""
        if reason == FEWER:  # of a cut answer: its size tells nothing of short ones
            self.whole = answer.rows
            return
        self.verified = max(self.verified, answer.rows)
        if _rechecks_wanted(reason) and answer.rows >= _ENOUGH:
            self.rechecks[reason, False] += 1

    def founded(self, reason: str, answer: SearchAnswer) -> None:
        """The recheck brought more."""
        if _rechecks_wanted(reason):
            self.rechecks[reason, True] += 1
        if reason in (LARGEST, COUNT_HIGH) and answer.rows >= _DEFAULT_SIZE:
            self.cap = min(self.cap, answer.rows)


def _rechecks_wanted(reason: str) -> int:
    """Rechecks without a finding that make a habit of it; 0 where it never is one."""
    if reason.startswith(_WARNING):
        return _RECHECKS_OF_A_WARNING
    return 1 if reason == COUNT_ZERO else 0
