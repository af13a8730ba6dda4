"""What was measured of the sources, in rows for the templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trailkeeper.mail.wording import number, shown
from trailkeeper.model.lag import summed
from trailkeeper.model.report import MonthReport
from trailkeeper.model.spread import Spread, rough

LAG_NOTE = (
    "Half of the records took no longer than the first time, 19 in 20 no longer than the second. "
    "Until they are available is Microsoft's share, from there into the lake ours."
)


@dataclass(frozen=True, slots=True)
class LagRow:
    content_type: str
    records: str
    available: str
    stored: str


def lag_rows(report: MonthReport) -> Iterator[LagRow]:
    for lag in summed(lag for coverage in report.coverage for lag in coverage.lags):
        yield LagRow(
            shown(lag.content_type), number(lag.theirs.total), _both(lag.theirs), _both(lag.ours)
        )


def _both(spread: Spread) -> str:
    """Median and 95 in 100."""
    return (
        f"{rough(spread.quantile(0.5))} / {rough(spread.quantile(0.95))}" if spread.total else "-"
    )
