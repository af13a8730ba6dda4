"""Who may pull which segment, and what came of it. Compare-and-set on (id, epoch) throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from trailkeeper.errors import LeaseLost
from trailkeeper.model.blob import BlobMark
from trailkeeper.model.segment import (
    Finding,
    Landed,
    Lease,
    Leased,
    NewSegment,
    Purpose,
    Segment,
    SegmentState,
)
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window
from trailkeeper.store import schema
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.planning import add_segments
from trailkeeper.store.ledger.rows import (
    SEGMENT_COLUMNS,
    AnyRow,
    add_findings,
    batches,
    claimable,
    overlaps,
    same_stream,
    segment_of,
)
from trailkeeper.store.ledger.worklist import mark_blobs
from trailkeeper.store.schema import parkings, segments, streams

_NO_LEASE = {"owner": None, "deadline_at": None}


class Leasing(OverEngine):
    def due(self, now: datetime, limit: int, per_stream: int) -> list[Segment]:
        with self._reading() as connection:
            return [segment_of(row) for row in connection.execute(_due(now, limit, per_stream))]

    def lease(
        self, segment_id: int, owner: str, now: datetime, until: datetime, per_stream: int
    ) -> Leased | None:
        with self._writing() as connection:
            if not _has_room(connection, segment_id, now, per_stream):
                return None
            died = case((segments.c.state == SegmentState.LEASED.value, 1), else_=0)
            taken = connection.execute(
                update(segments)
                .where(segments.c.id == segment_id, claimable(now))
                .values(
                    state=SegmentState.LEASED.value,
                    owner=owner,
                    deadline_at=until,
                    epoch=segments.c.epoch + 1,
                    attempts=segments.c.attempts + died,
                )
            )
            if taken.rowcount == 0:
                return None
            return _leased(connection, segment_id, now)

    def renew(self, lease: Lease, until: datetime) -> Lease:
        with self._writing() as connection:
            _change(connection, lease, deadline_at=until)
        return replace(lease, deadline_at=until)

    def land(
        self,
        lease: Lease,
        landed: Landed,
        findings: Sequence[Finding],
        follow_ups: Sequence[NewSegment],
        now: datetime,
        marks: Sequence[BlobMark] = (),
    ) -> None:
        with self._writing() as connection:
            if _landed_already(connection, lease, landed):
                return
            _change(connection, lease, **_NO_LEASE, **_landing(landed, now))
            add_findings(connection, lease.segment_id, findings)
            add_segments(connection, follow_ups, now)
            mark_blobs(connection, lease.segment_id, marks, now)

    def release(
        self, lease: Lease, due_at: datetime, error: str, *, counts_as_attempt: bool
    ) -> None:
        with self._writing() as connection:
            _change(
                connection,
                lease,
                **_NO_LEASE,
                state=SegmentState.PLANNED.value,
                due_at=due_at,
                error=error,
                attempts=segments.c.attempts + int(counts_as_attempt),
            )

    def lose(self, lease: Lease, findings: Sequence[Finding], now: datetime) -> None:
        with self._writing() as connection:
            if _stands(connection, lease, SegmentState.LOST):
                return
            _change(
                connection,
                lease,
                **_NO_LEASE,
                state=SegmentState.LOST.value,
                finished_at=now,
            )
            add_findings(connection, lease.segment_id, findings)

    def segments(self, ids: Sequence[int]) -> list[Segment]:
        found: dict[int, Segment] = {}
        with self._reading() as connection:
            for batch in batches(ids):
                rows = connection.execute(select(*SEGMENT_COLUMNS).where(segments.c.id.in_(batch)))
                found.update((row.id, segment_of(row)) for row in rows)
        return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]

    def unfinished(self, tenant: str, window: Window) -> list[Segment]:
        same_axis = [source.value for source in Source if source.axis is window.axis]
        query = (
            select(*SEGMENT_COLUMNS)
            .where(
                segments.c.tenant == tenant,
                segments.c.source.in_(same_axis),
                schema.in_state(*schema.UNFINISHED),
                overlaps(segments, window),
            )
            .order_by(segments.c.start_at, segments.c.id)
        )
        with self._reading() as connection:
            return [segment_of(row) for row in connection.execute(query)]


def _due(now: datetime, limit: int, per_stream: int) -> Select[Any]:
    """One statement: rank within each stream, cut to its free places, then take turns.

    Fresh time goes before all else: a stream has at most a window or two of it, so that nobody
    starves. The rest goes by turns: the n-th place of every stream before the (n+1)-th of any, live
    leases counted, and among equals the stream that waited longest since its last lease.
    """
    live = _live(now).subquery()
    in_stream = func.row_number().over(
        partition_by=[segments.c.tenant, segments.c.source, segments.c.content_type],
        order_by=[segments.c.rank, segments.c.start_at.desc(), segments.c.id],
    )
    ranked = (
        select(
            segments.c.id,
            segments.c.rank,
            (in_stream + func.coalesce(live.c.n, 0)).label("turn"),
            streams.c.leased_at,
        )
        .select_from(segments)
        .join(streams, same_stream(streams, segments))
        .outerjoin(live, same_stream(live, segments))
        .where(claimable(now), _runs(now))
        .subquery()
    )
    fresh_first = case((ranked.c.rank == Purpose.INCREMENTAL.rank, 0), else_=1)
    return (
        select(*SEGMENT_COLUMNS)
        .join(ranked, ranked.c.id == segments.c.id)
        .where(ranked.c.turn <= per_stream)
        .order_by(
            fresh_first,
            ranked.c.turn,
            ranked.c.leased_at.nulls_first(),
            ranked.c.rank,
            segments.c.id,
        )
        .limit(limit)
    )


def _live(now: datetime) -> Select[Any]:
    """Streams with live leases and how many."""
    stream = (segments.c.tenant, segments.c.source, segments.c.content_type)
    return (
        select(*stream, func.count().label("n"))
        .where(schema.in_state(SegmentState.LEASED), segments.c.deadline_at > now)
        .group_by(*stream)
    )


def _runs(now: datetime) -> ColumnElement[bool]:
    """The stream is neither postponed nor parked, or its parking is to be retried by now."""
    parked = exists().where(
        parkings.c.tenant == streams.c.tenant,
        parkings.c.source.in_(["", streams.c.source]),
        or_(parkings.c.retry_at.is_(None), parkings.c.retry_at > now),
    )
    rested = or_(streams.c.postponed_until.is_(None), streams.c.postponed_until <= now)
    return and_(rested, not_(parked))


def _has_room(connection: Connection, segment_id: int, now: datetime, per_stream: int) -> bool:
    """Lock the segment's stream, so that two workers do not both take its last place."""
    ours = (
        select(streams)
        .join(segments, same_stream(streams, segments))
        .where(segments.c.id == segment_id, _runs(now))
        .with_for_update(of=streams, key_share=True)
    )
    stream = connection.execute(ours).first()
    if stream is None:
        return False
    live = select(func.count()).where(
        schema.in_state(SegmentState.LEASED),
        segments.c.tenant == stream.tenant,
        segments.c.source == stream.source,
        segments.c.content_type == stream.content_type,
        segments.c.deadline_at > now,
    )
    return connection.scalars(live).one() < per_stream


def _leased(connection: Connection, segment_id: int, now: datetime) -> Leased:
    row = connection.execute(select(segments).where(segments.c.id == segment_id)).one()
    connection.execute(update(streams).where(_is_stream_of(row)).values(leased_at=now))
    return Leased(segment_of(row), Lease(row.id, row.owner, row.epoch, row.deadline_at))


def _is_stream_of(row: AnyRow) -> ColumnElement[bool]:
    return and_(
        streams.c.tenant == row.tenant,
        streams.c.source == row.source,
        streams.c.content_type == row.content_type,
    )


def _landing(landed: Landed, now: datetime) -> dict[str, object]:
    empty = landed.file is None
    return {
        "state": (SegmentState.MERGED if empty else SegmentState.LANDED).value,
        "file": landed.file,
        "file_kept": not empty,
        "received": landed.received,
        "size": landed.size,
        "requests": landed.requests,
        "foreign_rows": landed.foreign,
        "landed_at": now,
        "finished_at": now if empty else None,
        "error": None,
    }


def _change(connection: Connection, lease: Lease, **values: object) -> None:
    """Update the segment if this lease still holds it. Raises `LeaseLost`."""
    changed = connection.execute(
        update(segments)
        .where(
            segments.c.id == lease.segment_id,
            segments.c.epoch == lease.epoch,
            segments.c.state == SegmentState.LEASED.value,
        )
        .values(**values)
    )
    if changed.rowcount == 0:
        raise LeaseLost(
            f"{lease.owner} no longer owns segment {lease.segment_id} (epoch {lease.epoch})",
            "Nothing to do: whoever holds the segment now carries on.",
        )


def _landed_already(connection: Connection, lease: Lease, landed: Landed) -> bool:
    state = SegmentState.MERGED if landed.file is None else SegmentState.LANDED
    return _stands(connection, lease, state, SegmentState.MERGED) and (
        connection.scalars(select(segments.c.file).where(segments.c.id == lease.segment_id)).one()
        == landed.file
    )


def _stands(connection: Connection, lease: Lease, *states: SegmentState) -> bool:
    """Did this very lease bring the segment into one of `states` already?"""
    query = select(segments.c.id).where(
        segments.c.id == lease.segment_id,
        segments.c.epoch == lease.epoch,
        segments.c.state.in_([state.value for state in states]),
    )
    return connection.execute(query).first() is not None
