"""What a walk has concluded, and what it takes back when the service is caught lying."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trailkeeper.model.measures.density import Density
from trailkeeper.model.search.answer.rows import SearchAnswer
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.order.claim import Claim, hour_of, rows_by_hour
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.worklist import Worklist
from trailkeeper.model.segment import Finding, Verdict
from trailkeeper.model.window import Window


class Conclusions:
    """The findings of one walk, cut to the window that it owes.

    `window` becomes smaller when the walk gives a part of it to others.
    """

    def __init__(self, window: Window, port: SearchPort) -> None:
        self.window = window
        self.findings: list[Finding] = []
        self._rows_by_hour: Counter[int] = Counter()
        """records of proven time, by whole hours since 1970"""
        self._port = port

    @property
    def proven(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict.proven]

    def complete(self, window: Window, answer: SearchAnswer, evidence: dict[str, object]) -> None:
        """`window` holds what `answer` has of it, and nothing else."""
        self._rows_by_hour += rows_by_hour(answer, window)
        evidence = {**evidence, "result_count": answer.result_count}
        self.close(window, Verdict.COMPLETE, "", answer.sent_at, evidence)

    def complete_second(
        self, second: Window, rows: int, sent_at: datetime, evidence: dict[str, object]
    ) -> None:
        """`second` holds `rows` records, more than one answer brings."""
        self._rows_by_hour[hour_of(second.start)] += rows
        self.close(second, Verdict.COMPLETE, "", sent_at, evidence)

    def close(
        self,
        window: Window,
        verdict: Verdict,
        reason: str,
        observed_at: datetime | None = None,
        evidence: dict[str, object] | None = None,
    ) -> None:
        inside = window.intersect(self.window)
        if inside:
            seen = observed_at or self._port.now()
            self.findings.append(Finding(inside, verdict, seen, reason, evidence or {}))

    def take_back(self, is_doubted: Callable[[Finding], bool]) -> list[Window]:
        """Forget the doubted findings; their windows."""
        doubted = [finding for finding in self.findings if is_doubted(finding)]
        self.findings = [finding for finding in self.findings if finding not in doubted]
        return [finding.window for finding in doubted]

    def learned(self, density: Density, claim: Claim | None = None) -> Density:
        """`density` and what this walk has seen: proven time, and what `claim` covers."""
        proven = [finding.window for finding in self.proven]
        rows = self._rows_by_hour
        if claim:
            proven.append(claim.window)
            rows = rows + rows_by_hour(claim.answer, claim.window)
        return density.learn(proven, rows)


@dataclass(frozen=True, slots=True)
class Reopening:
    """The service was caught: what was believed on less than is wanted now is asked again."""

    conclusions: Conclusions
    worklist: Worklist
    credibility: Credibility

    def empty_on_little(self) -> None:
        """What was called empty on fewer probes than are wanted by now."""
        self._reopen(self.credibility.too_little_for)

    def counted_none(self) -> None:
        """What an answer closed that had rows and counted none of them."""
        self._reopen(_counted_none)

    def _reopen(self, is_doubted: Callable[[Finding], bool]) -> None:
        self.worklist.add_windows(self.conclusions.take_back(is_doubted))


def _counted_none(finding: Finding) -> bool:
    return bool(finding.evidence.get("rows")) and finding.evidence.get("result_count") == 0
