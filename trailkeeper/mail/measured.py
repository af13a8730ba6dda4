"""What was measured of the sources, in rows for the templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trailkeeper.mail.wording import counted, number, shown
from trailkeeper.model.feed.lag import summed
from trailkeeper.model.measures.match import Match, rate
from trailkeeper.model.measures.spread import Spread, rough
from trailkeeper.model.report import MonthReport
from trailkeeper.model.sources import title_of

TIMES_NOTE = (
    "Half of the records took no longer than the first time, 19 in 20 no longer than the second."
)
LAG_NOTE = (
    f"{TIMES_NOTE} Until they are available is Microsoft's share, from there into the lake ours."
)


WORKLOADS_SHOWN = 10
"""workloads with misses that the mail shows, the worst first; all stand in report.json"""


@dataclass(frozen=True, slots=True)
class MatchRow:
    """What one source missed, and how soon it brought the rest."""

    source: str
    missed: str
    share: str
    seen: str


@dataclass(frozen=True, slots=True)
class WorkloadRow:
    workload: str
    source: str
    missed: str
    records: str


def _match(report: MonthReport) -> Match | None:
    return next((each.match for each in report.coverage if each.match), None)


def match_text(report: MonthReport) -> str:
    """What was compared, and what the result means; empty when nothing was."""
    match = _match(report)
    if match is None:
        return ""
    missed = sum(map(match.missed_by, match.missed))
    outcome = (
        f"{counted(missed, 'record')} that one of them missed came from the other, and "
        f"{'is' if missed == 1 else 'are'} in this report."
        if missed
        else "Neither missed a record that the other had."
    )
    return (
        f"In {counted(match.hours, 'hour')} that both sources are proven to have read to the end, "
        f"{counted(match.total, 'record')} were matched by Id. {outcome} What both missed, nobody "
        "can count."
    )


def match_rows(report: MonthReport) -> Iterator[MatchRow]:
    match = _match(report) or Match()
    for source in sorted(match.missed):
        missed = match.missed_by(source)
        yield MatchRow(
            title_of(source),
            number(missed),
            rate(missed, match.total),
            _both(match.lags.get(source, Spread())),
        )


def workload_rows(report: MonthReport) -> list[WorkloadRow]:
    """Workloads of which a source missed something, the most first."""
    match = _match(report) or Match()
    found = [
        (missed, workload, source)
        for source, workloads in match.missed.items()
        for workload, missed in workloads.items()
        if missed
    ]
    return [
        WorkloadRow(
            shown(workload),
            title_of(source),
            number(missed),
            number(match.records.get(workload, 0)),
        )
        for missed, workload, source in sorted(found, key=lambda f: (-f[0], f[1], f[2]))
    ][:WORKLOADS_SHOWN]


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
