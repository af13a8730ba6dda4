"""Between rows and the words of the model, both ways; and the conditions that queries share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Exists,
    FromClause,
    Row,
    and_,
    bindparam,
    exists,
    insert,
    literal_column,
    not_,
    or_,
)

from trailkeeper.model.segment import (
    Finding,
    Landed,
    LandedSegment,
    NewSegment,
    Purpose,
    Segment,
    SegmentState,
    Verdict,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, AxisMixedError, Window
from trailkeeper.store import schema
from trailkeeper.store.schema import findings, parkings, segments, streams

AnyRow = Row[*tuple[Any, ...]]
"""a row of whatever columns"""

SEGMENT_COLUMNS = (
    segments.c.id,
    segments.c.tenant,
    segments.c.source,
    segments.c.content_type,
    segments.c.start_at,
    segments.c.end_at,
    segments.c.purpose,
    segments.c.round,
    segments.c.state,
    segments.c.due_at,
    segments.c.attempts,
    segments.c.error,
)

LANDED_COLUMNS = (
    segments.c.id,
    segments.c.tenant,
    segments.c.source,
    segments.c.content_type,
    segments.c.file,
    segments.c.received,
    segments.c.size,
    segments.c.requests,
    segments.c.foreign_rows,
    segments.c.landed_at,
)


def stream_of(row: AnyRow) -> Stream:
    return Stream(row.tenant, Source(row.source), row.content_type)


def segment_of(row: AnyRow) -> Segment:
    stream = stream_of(row)
    return Segment(
        id=row.id,
        stream=stream,
        window=Window(row.start_at, row.end_at, stream.source.axis),
        purpose=Purpose(row.purpose),
        round=row.round,
        state=SegmentState(row.state),
        due_at=row.due_at,
        attempts=row.attempts,
        error=row.error or "",
    )


def landed_of(row: AnyRow) -> LandedSegment:
    landed = Landed(row.file, row.received, row.size, row.requests, row.foreign_rows)
    return LandedSegment(row.id, stream_of(row), landed, row.landed_at)


def finding_of(row: AnyRow, axis: Axis) -> Finding:
    return Finding(
        window=Window(row.start_at, row.end_at, axis),
        verdict=Verdict(row.verdict),
        observed_at=row.observed_at,
        reason=row.reason,
        evidence=json.loads(row.evidence),
    )


def stream_key(stream: Stream) -> dict[str, str]:
    return {
        "tenant": stream.tenant,
        "source": stream.source.value,
        "content_type": stream.content_type,
    }


def of_stream(table: FromClause, stream: Stream) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in stream_key(stream).items()))


def same_stream(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in ("tenant", "source", "content_type")))


def overlaps(table: FromClause, window: Window) -> ColumnElement[bool]:
    return and_(table.c.start_at < window.end, table.c.end_at > window.start)


NOW = bindparam("now", type_=schema.Instant())
"""Statements that run for every poll are built once, at import: SQLAlchemy takes longer to put one
together than SQLite to answer it."""

CLAIMABLE = and_(
    schema.in_state(*schema.OPEN),
    or_(
        and_(schema.in_state(SegmentState.PLANNED), segments.c.due_at <= NOW),
        and_(schema.in_state(SegmentState.LEASED), segments.c.deadline_at <= NOW),
    ),
)
"""planned and due, or leased by somebody whose deadline passed"""


def is_parked(*conditions: ColumnElement[bool]) -> Exists:
    """The stream's source or its whole tenant is parked, under `conditions`."""
    return exists().where(
        parkings.c.tenant == streams.c.tenant,
        parkings.c.content_type == literal_column("''"),
        or_(parkings.c.source == literal_column("''"), parkings.c.source == streams.c.source),
        *conditions,
    )


RUNS = and_(
    or_(streams.c.postponed_until.is_(None), streams.c.postponed_until <= NOW),
    not_(is_parked(or_(parkings.c.retry_at.is_(None), parkings.c.retry_at > NOW))),
)
"""the stream is neither postponed nor parked, or its parking is to be retried by now"""


def require_axis(stream: Stream, window: Window) -> None:
    """Raises `AxisMixedError` for a window that this stream cannot be asked for."""
    if stream.source.axis is not window.axis:
        raise AxisMixedError(
            f"{stream} is asked on the {stream.source.axis} axis, not {window.axis}"
        )


def new_row(segment: NewSegment, now: datetime) -> dict[str, object]:
    """The row of a planned segment. Raises `AxisMixedError`."""
    require_axis(segment.stream, segment.window)
    return {
        **stream_key(segment.stream),
        "start_at": segment.window.start,
        "end_at": segment.window.end,
        "purpose": segment.purpose.value,
        "rank": segment.purpose.rank,
        "round": segment.round,
        "state": SegmentState.PLANNED.value,
        "due_at": segment.due_at or now,
        "file_kept": False,
        **dict.fromkeys(_COUNTERS, 0),
    }


_COUNTERS = (
    "attempts",
    "epoch",
    "received",
    "size",
    "requests",
    "foreign_rows",
    "stored",
    "duplicates",
    "conflicts",
)


def add_findings(connection: Connection, segment_id: int, found: Sequence[Finding]) -> None:
    if found:
        rows = [_finding_row(segment_id, finding) for finding in found]
        connection.execute(insert(findings), rows)


def _finding_row(segment_id: int, finding: Finding) -> dict[str, object]:
    return {
        "segment_id": segment_id,
        "start_at": finding.window.start,
        "end_at": finding.window.end,
        "verdict": finding.verdict.value,
        "observed_at": finding.observed_at,
        "reason": finding.reason,
        "evidence": json.dumps(finding.evidence, sort_keys=True),
    }


_Item = TypeVar("_Item")


def batches(items: Sequence[_Item], size: int = 500) -> Iterator[Sequence[_Item]]:
    """Slices small enough for the bound parameters of one statement, in any database."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
