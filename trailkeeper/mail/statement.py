"""The coverage statement: what the report may claim, in words that a reader of mail understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from trailkeeper.mail.wording import counted, length, number, period, shown, span
from trailkeeper.model.coverage import Coverage, Stretch, decisive
from trailkeeper.model.report import MonthReport
from trailkeeper.model.segment import MergeCounts
from trailkeeper.model.sources import title_of
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, subtract, total, union

STRETCHES_SHOWN = 25
"""rows of the table, the rest stands in report.json: Gmail clips mails over 102 kB"""

_REASON_LIMIT = 200


class Kind(StrEnum):
    LOST = "lost"
    """a gap that nobody can fill any more"""
    GAP = "gap"
    SUSPECT = "suspect"


_Unproven = tuple[Kind, Stream, Stretch]


@dataclass(frozen=True, slots=True)
class StretchRow:
    """One unproven stretch of one source; its content types are named together."""

    kind: Kind
    window: Window
    when: str
    length: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """What one stream was asked and answered."""

    source: str
    proven: str
    counts: MergeCounts


@dataclass(frozen=True, slots=True)
class Statement:
    """`headline` begins with "Complete" or "Incomplete"; all text is safe to show, not escaped."""

    complete: bool
    running: bool
    """rendered before the month was over: the claims end at `MonthReport.rendered_at`"""
    headline: str
    stretches: tuple[StretchRow, ...]
    more: int
    """stretches that the table leaves out"""
    by_availability: bool
    """some stretch is one of availability, not of occurrence"""
    provisional: tuple[str, ...]
    sources: tuple[SourceRow, ...]
    unproven_days: Mapping[date, Kind]
    """local days that a gap or a suspect stretch touches; a gap outweighs a suspicion"""


def state(report: MonthReport) -> Statement:
    """Everything that the report claims, from one pass over its coverage."""
    zone = ZoneInfo(report.timezone)
    unproven = [(kind, *found) for kind in Kind for found in _unproven(report, kind)]
    stretches = tuple(_rows(unproven, zone))
    complete = report.is_complete and not stretches
    return Statement(
        complete=complete,
        running=_is_running(report),
        headline=_complete(report) if complete else _incomplete(report, stretches),
        stretches=stretches[:STRETCHES_SHOWN],
        more=max(0, len(stretches) - STRETCHES_SHOWN),
        by_availability=any(row.window.axis is Axis.AVAILABLE for row in stretches),
        provisional=tuple(_provisional(report, zone)),
        sources=tuple(
            SourceRow(_stream_name(c.stream), _proven(c), c.counts) for c in report.coverage
        ),
        unproven_days=_unproven_days(unproven, zone),
    )


def _unproven_days(unproven: Iterable[_Unproven], zone: ZoneInfo) -> dict[date, Kind]:
    days: dict[date, Kind] = {}
    for kind, _, stretch in sorted(unproven, key=lambda each: each[0] is not Kind.SUSPECT):
        shade = Kind.SUSPECT if kind is Kind.SUSPECT else Kind.GAP
        days.update(dict.fromkeys(_days(stretch.window, zone), shade))
    return days


def _days(window: Window, zone: ZoneInfo) -> Iterator[date]:
    cursor = window.start.astimezone(zone).date()
    last = (window.end - timedelta(microseconds=1)).astimezone(zone).date()
    while cursor <= last:
        yield cursor
        cursor += timedelta(days=1)


# --- sentences ---------------------------------------------------------------------------------


def _complete(report: MonthReport) -> str:
    sources = _listed(dict.fromkeys(title_of(c.stream.source) for c in decisive(report.coverage)))
    month = _period(report)
    asked = _asked(report).duration
    claim = (
        f"every record that Microsoft had delivered for {month} is in this report"
        if report.figures.records
        else f"Microsoft had delivered no records for {month}"
    )
    return (
        f"Complete: {claim}, proven by reading all {length(asked)} of it to the end "
        f"in the {sources}, with a second look wherever nothing came back."
    )


def _incomplete(report: MonthReport, stretches: Iterable[StretchRow]) -> str:
    month = _period(report)
    if not report.coverage:
        return f"Incomplete: no source was read for {month}, so nothing is proven."
    gaps = _plain(row.window for row in stretches if row.kind is not Kind.SUSPECT)
    lost = _lost_for_good(report)
    suspect = subtract(
        _plain(row.window for row in stretches if row.kind is Kind.SUSPECT),
        gaps,  # one source's gap outweighs another's suspicion of the same time
    )
    parts = []
    if gaps:
        part = f"{counted(len(gaps), 'gap')}, {length(total(gaps))} in all"
        parts.append(f"{part}, of which {length(total(lost))} lost" if lost else part)
    if suspect:
        noun = counted(len(suspect), "suspect stretch", "suspect stretches")
        parts.append(f"{noun}, {length(total(suspect))} in all")
    gone = " What is lost Microsoft no longer has, and nobody can fill it in." if lost else ""
    return (
        f"Incomplete: {'; '.join(parts)}. Records of these times may be missing from this report; "
        f"everything else that Microsoft had delivered for {month} is in it.{gone}"
    )


def _lost_for_good(report: MonthReport) -> list[Window]:
    """What every source that was asked has lost: one that still has it may yet fill it in."""
    by_source: dict[Source, list[Window]] = {}
    for coverage in report.coverage:
        lost = by_source.setdefault(coverage.stream.source, [])
        lost += _plain(gap.window for gap in coverage.gaps if gap.lost)
    whole = _asked(report)
    kept = [part for lost in by_source.values() for part in subtract([whole], lost)]
    return subtract([whole], kept)


def _period(report: MonthReport) -> str:
    until = report.rendered_at if _is_running(report) else None
    return period(report.month, report.timezone, until)


def _is_running(report: MonthReport) -> bool:
    return report.window.contains(report.rendered_at)


def _asked(report: MonthReport) -> Window:
    """The part of the month that was over when the report was rendered; nobody can prove more."""
    if _is_running(report) and report.rendered_at > report.window.start:
        return Window(report.window.start, report.rendered_at)
    return report.window


def _provisional(report: MonthReport, zone: ZoneInfo) -> Iterator[str]:
    """One line a source: where records may still be added by Microsoft."""
    for source in dict.fromkeys(c.stream.source for c in decisive(report.coverage)):
        young = union(
            w for c in decisive(report.coverage) if c.stream.source is source for w in c.provisional
        )
        if young:
            listed = _listed(span(w, zone) for w in young[:3])
            more = f" and {number(len(young) - 3)} more" if len(young) > 3 else ""
            yield f"{title_of(source)}: {listed}{more}"


def _proven(coverage: Coverage) -> str:
    asked = length(coverage.range.duration)
    if coverage.is_complete:
        return f"all {asked} proven"
    lost = total(gap.window for gap in coverage.gaps if gap.lost)
    text = f"{length(coverage.complete_time)} of {asked} proven"
    return f"{text}, {length(lost)} lost" if lost else text


# --- stretches ---------------------------------------------------------------------------------


def _rows(unproven: Iterable[_Unproven], zone: ZoneInfo) -> Iterator[StretchRow]:
    """Oldest first; the content types of one source that share window and reason are one row."""
    rows: dict[tuple[Window, Kind, Source, str], list[str]] = {}
    for kind, stream, stretch in unproven:
        key = (stretch.window, kind, stream.source, stretch.reason)
        rows.setdefault(key, []).append(stream.content_type)
    for (window, kind, source, reason), types in sorted(rows.items(), key=_by_time):
        yield StretchRow(
            kind=kind,
            window=window,
            when=span(window, zone),
            length=length(window.duration),
            source=_source_name(source, types),
            reason=shown(reason, _REASON_LIMIT),
        )


def _by_time(
    row: tuple[tuple[Window, Kind, Source, str], list[str]],
) -> tuple[datetime, Kind, datetime, Source, str]:
    window, kind, source, reason = row[0]
    return window.start, kind, window.end, source, reason


def _unproven(report: MonthReport, kind: Kind) -> Iterator[tuple[Stream, Stretch]]:
    for coverage in decisive(report.coverage):
        for stretch in _of_kind(report, coverage, kind):
            yield coverage.stream, stretch


def _of_kind(report: MonthReport, coverage: Coverage, kind: Kind) -> Iterator[Stretch]:
    if kind is Kind.SUSPECT:
        yield from coverage.suspect
        return
    yield from (gap for gap in coverage.gaps if gap.lost is (kind is Kind.LOST))
    if kind is Kind.GAP:
        yield from _unasked(report, coverage)


def _unasked(report: MonthReport, coverage: Coverage) -> Iterator[Stretch]:
    """Parts of the month outside the range that this coverage speaks of: proven by nobody."""
    asked = _asked(report)
    due = Window(asked.start, asked.end, coverage.range.axis)
    for window in subtract([due], [coverage.range]):
        yield Stretch(window, "this source was not asked for this time")


def _plain(windows: Iterable[Window]) -> list[Window]:
    """The union whatever the axis: for a reader an hour without proof is an hour without proof."""
    return union(Window(w.start, w.end) for w in windows)


def _stream_name(stream: Stream) -> str:
    return _source_name(stream.source, [stream.content_type])


def _source_name(source: Source, content_types: Iterable[str]) -> str:
    types = ", ".join(shown(t) for t in content_types if t)
    return f"{title_of(source)} ({types})" if types else title_of(source)


def _listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
