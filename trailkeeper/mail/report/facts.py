"""What all sections draw from, computed once for each report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from trailkeeper.mail.archive import Archive
from trailkeeper.mail.statement import Statement, state
from trailkeeper.model.report import MonthReport


@dataclass(frozen=True, slots=True)
class Facts:
    report: MonthReport
    statement: Statement
    archive: Archive
    attached: bool
    """the archive goes with the mail"""
    attach_up_to: int
    """bytes"""
    logo: Path | None = None
    """beside report.html"""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.report.timezone)


def gather(report: MonthReport, archive: Archive, attach_up_to: int, logo: Path | None) -> Facts:
    attached = archive.size <= attach_up_to
    return Facts(report, state(report), archive, attached, attach_up_to, logo)
