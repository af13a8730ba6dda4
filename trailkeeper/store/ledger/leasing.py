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
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from trailkeeper.errors import LeaseLost
from trailkeeper.model.feed.blob import BlobMark
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
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.process.crash_points import durable
from trailkeeper.store import schema
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.fairness import is_fair
from trailkeeper.store.ledger.planning import add_segments, locked
from trailkeeper.store.ledger.rows import (
    CLAIMABLE,
    NOW,
    RUNS,
    SEGMENT_COLUMNS,
    AnyRow,
    add_findings,
    batches,
    is_parked,
    overlaps,
    same_stream,
    segment_of,
    stream_key,
)
from trailkeeper.store.ledger.worklist import mark_blobs
from trailkeeper.store.schema import segments, streams

_THESE = select(*SEGMENT_COLUMNS).where(segments.c.id.in_(bindparam("ids", expanding=True)))
_NO_LEASE = {"owner": None, "deadline_at": None}


class Leasing(OverEngine):
    def due(
        self, now: datetime, limit: int, per_stream: int, stream: Stream | None = None
    ) -> list[Segment]:
        asked: dict[str, object] = {"now": now, "most": limit, "per_stream": per_stream}
        if stream:
            asked |= {f"its_{name}": value for name, value in stream_key(stream).items()}
        with self._reading() as connection:
            rows = connection.execute(_DUE_OF_STREAM if stream else _DUE, asked)
            return [segment_of(row) for row in rows]

    def lease(
        self,
        segment_id: int,
        owner: str,
        now: datetime,
        until: datetime,
        per_stream: int,
        processes: int | None = None,
    ) -> Leased | None:
        with durable("segment.lease"), self._writing() as connection:
            stream = _with_room(connection, segment_id, now, per_stream)
            if stream is None:
                return None
            if processes is not None and not is_fair(connection, stream, processes, now):
                return None
            asked = {"segment": segment_id, "owner": owner, "now": now, "until": until}
            row = connection.execute(_TAKE, asked).first()
            if row is None:
                return None
            connection.execute(_TURN, {**_its_stream(row), "now": now})
            lease = Lease(row.id, row.owner, row.epoch, row.deadline_at)
            return Leased(segment_of(row), lease, bool(stream.parked))

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
        with durable("segment.land"), self._writing() as connection:
            for stream in sorted({new.stream for new in follow_ups}):  # before the segment, as all
                locked(connection, stream)
            if not _landed(connection, lease, landed, now):
                return
            add_findings(connection, lease.segment_id, findings)
            add_segments(connection, follow_ups, now)
            mark_blobs(connection, lease.segment_id, marks, now)

    def share(self, lease: Lease, kept: Window, given: Sequence[NewSegment], now: datetime) -> bool:
        with durable("segment.share"), self._writing() as connection:
            locked(connection, given[0].stream)  # nobody adds any between our look and our change
            if _planned_already(connection, lease, [kept, *(new.window for new in given)]):
                return False
            _change(connection, lease, start_at=kept.start, end_at=kept.end)
            add_segments(connection, given, now)
            return True

    def release(
        self, lease: Lease, due_at: datetime, error: str, *, counts_as_attempt: bool
    ) -> None:
        with durable("segment.release"), self._writing() as connection:
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
                rows = connection.execute(_THESE, {"ids": list(batch)})
                found.update((row.id, segment_of(row)) for row in rows)
        return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]

    def unfinished(self, tenant: str, window: Window) -> list[Segment]:
        same_axis = [source.value for source in Source.known() if source.axis is window.axis]
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


def _live() -> Select[Any]:
    """Streams with live leases and how many."""
    stream = (segments.c.tenant, segments.c.source, segments.c.content_type)
    return (
        select(*stream, func.count().label("n"))
        .where(schema.in_state(SegmentState.LEASED), segments.c.deadline_at > NOW)
        .group_by(*stream)
    )


def _due(*conditions: ColumnElement[bool]) -> Select[Any]:
    """One statement: rank within each stream, cut to its free slots, then take turns.

    Fresh time goes before all else: a stream has few windows of it, and what a large poll of a feed
    leaves over is none, so that nobody starves. The rest goes by turns: the n-th place of every
    stream before the (n+1)-th of any, live leases counted, and among equals the stream that waited
    longest since its last lease.
    """
    live = _live().subquery()
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
        .where(CLAIMABLE, RUNS, *conditions)
        .subquery()
    )
    fresh_first = case((ranked.c.rank == Purpose.INCREMENTAL.rank, 0), else_=1)
    return (
        select(*SEGMENT_COLUMNS)
        .join(ranked, ranked.c.id == segments.c.id)
        .where(ranked.c.turn <= bindparam("per_stream"))
        .order_by(
            fresh_first,
            ranked.c.turn,
            ranked.c.leased_at.nulls_first(),
            ranked.c.rank,
            segments.c.id,
        )
        .limit(bindparam("most"))
    )


_STREAM_KEY = ("tenant", "source", "content_type")
_OF_STREAM = and_(*(segments.c[name] == bindparam(f"its_{name}") for name in _STREAM_KEY))
_DUE, _DUE_OF_STREAM = _due(), _due(_OF_STREAM)
_OURS = (
    select(*(streams.c[name] for name in _STREAM_KEY), is_parked().label("parked"))
    .join(segments, same_stream(streams, segments))
    .where(segments.c.id == bindparam("segment"), RUNS)
    .with_for_update(of=streams, key_share=True)
)
_LIVE_LEASES = select(func.count()).where(
    schema.in_state(SegmentState.LEASED),
    _OF_STREAM,
    segments.c.deadline_at > NOW,
)
_TAKE = (
    update(segments)
    .where(segments.c.id == bindparam("segment"), CLAIMABLE)
    .values(
        state=SegmentState.LEASED.value,
        owner=bindparam("owner"),
        deadline_at=bindparam("until"),
        epoch=segments.c.epoch + 1,
        attempts=segments.c.attempts + case((schema.in_state(SegmentState.LEASED), 1), else_=0),
    )
    .returning(*SEGMENT_COLUMNS, segments.c.owner, segments.c.epoch, segments.c.deadline_at)
)
_TURN = (
    update(streams)
    .where(*(streams.c[name] == bindparam(f"its_{name}") for name in _STREAM_KEY))
    .values(leased_at=bindparam("now"))
)


def _with_room(
    connection: Connection, segment_id: int, now: datetime, per_stream: int
) -> AnyRow | None:
    """Lock the segment's stream, so that two workers do not both take its last slot."""
    stream = connection.execute(_OURS, {"segment": segment_id, "now": now}).first()
    if stream is None:
        return None
    live: int = connection.scalars(_LIVE_LEASES, {**_its_stream(stream), "now": now}).one()
    return stream if live < per_stream else None


def _its_stream(row: AnyRow) -> dict[str, str]:
    return {
        "its_tenant": row.tenant,
        "its_source": row.source,
        "its_content_type": row.content_type,
    }


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
    }


_HELD = and_(
    segments.c.id == bindparam("segment"),
    segments.c.epoch == bindparam("its_epoch"),
    schema.in_state(SegmentState.LEASED),
)
_LANDED_VALUES = (
    "state",
    "file",
    "file_kept",
    "received",
    "size",
    "requests",
    "foreign_rows",
    "landed_at",
    "finished_at",
)
_LAND = (
    update(segments)
    .where(_HELD)
    .values(
        {name: bindparam(f"new_{name}") for name in _LANDED_VALUES}
        | {"owner": None, "deadline_at": None, "error": None}
    )
)


def _change(connection: Connection, lease: Lease, **values: object) -> None:
    """Update the segment if this lease still holds it. Raises `LeaseLost`."""
    held = {"segment": lease.segment_id, "its_epoch": lease.epoch}
    if connection.execute(update(segments).where(_HELD).values(**values), held).rowcount == 0:
        raise _taken_over(lease)


def _taken_over(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"{lease.owner} no longer owns segment {lease.segment_id} (epoch {lease.epoch})",
        "Nothing to do: whoever holds the segment now carries on.",
    )


def _landed(connection: Connection, lease: Lease, landed: Landed, now: datetime) -> bool:
    """Mark the segment landed; False when this very landing is marked already.

    Raises `LeaseLost`.
    """
    values = {f"new_{name}": value for name, value in _landing(landed, now).items()}
    held = {"segment": lease.segment_id, "its_epoch": lease.epoch}
    if connection.execute(_LAND, {**held, **values}).rowcount:
        return True
    if _landed_already(connection, lease, landed):
        return False
    raise _taken_over(lease)


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


def _planned_already(connection: Connection, lease: Lease, windows: Sequence[Window]) -> bool:
    """Whether one of `windows` has a segment of its own, of the leased one's kind."""
    ours = segments.alias()
    kind = [ours.c.purpose == segments.c.purpose, ours.c.round == segments.c.round]
    wanted = [and_(segments.c.start_at == w.start, segments.c.end_at == w.end) for w in windows]
    counts = or_(
        segments.c.purpose.not_in(schema.REPEATABLE),
        schema.in_state(*schema.UNFINISHED),
    )
    query = (
        select(segments.c.id)
        .join(ours, and_(same_stream(ours, segments), *kind))
        .where(ours.c.id == lease.segment_id, segments.c.id != lease.segment_id)
        .where(or_(*wanted), counts)
    )
    return connection.execute(query).first() is not None
