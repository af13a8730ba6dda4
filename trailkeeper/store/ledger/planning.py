"""Adding segments to the ledger, and how far each stream is planned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection, bindparam, func, or_, select, update

from trailkeeper.model.planning import Watermark
from trailkeeper.model.segment import NewSegment, Purpose, Segment
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.process.crash_points import durable
from trailkeeper.store import schema
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import (
    SEGMENT_COLUMNS,
    AnyRow,
    batches,
    new_row,
    of_stream,
    segment_of,
    stream_key,
    stream_of,
)
from trailkeeper.store.schema import from_micros, segments, streams, to_micros

Planner = Callable[[Watermark | None], Iterable[NewSegment]]


class Planning(OverEngine):
    def plan(
        self,
        stream: Stream,
        planner: Planner,
        now: datetime,
    ) -> int:
        with self._writing() as connection:
            before = watermark_of(locked(connection, stream))
            new = list(planner(before))
            added = add_segments(connection, new, now)
            after = moved(before, stream, new, now)
            if after is not None and after != before:
                store_watermark(connection, stream, after)
            return added

    def plan_all(self, planners: Mapping[Stream, Planner], now: datetime) -> list[Segment]:
        with durable("plan.commit"), self._writing() as connection:
            before = _locked_all(connection, sorted(planners))
            new = {stream: list(planners[stream](before[stream])) for stream in sorted(planners)}
            added = _added(connection, [each for found in new.values() for each in found], now)
            after = {stream: moved(before[stream], stream, new[stream], now) for stream in new}
            rows = [
                _watermark_row(stream, watermark)
                for stream, watermark in after.items()
                if watermark is not None and watermark != before[stream]
            ]
            if rows:
                connection.execute(_STORE, rows)
            return added

    def watermarks(self, source: Source) -> dict[Stream, Watermark]:
        query = select(streams).where(streams.c.source == source.value)
        with self._reading() as connection:
            rows = list(connection.execute(query))
        return {stream_of(row): found for row in rows if (found := watermark_of(row))}

    def watermark(self, stream: Stream) -> Watermark | None:
        with self._reading() as connection:
            row = connection.execute(select(streams).where(of_stream(streams, stream))).first()
            return watermark_of(row) if row else None

    def planned_ids(self, segments: Sequence[NewSegment]) -> list[int]:
        wanted = list(dict.fromkeys(segments))
        ids: dict[_Identity, int] = {}
        with self._reading() as connection:
            for stream, group in groupby(sorted(wanted, key=_by_stream), key=_by_stream):
                ids.update(_unfinished_ids(connection, stream, list(group)))
        return [ids[key] for key in map(_identity, wanted) if key in ids]

    def extent(self, stream: Stream) -> Window | None:
        query = select(func.min(segments.c.start_at), func.max(segments.c.end_at)).where(
            of_stream(segments, stream)
        )
        with self._reading() as connection:
            start, end = connection.execute(query).one()
            return None if start is None else Window(start, end, stream.source.axis)

    def streams(self, tenant: str) -> list[Stream]:
        with self._reading() as connection:
            rows = connection.execute(select(streams).where(streams.c.tenant == tenant))
            return sorted(map(stream_of, rows))


def add_segments(connection: Connection, new: Sequence[NewSegment], now: datetime) -> int:
    """Insert those whose identity is free; how many that were. Their streams are added if unknown.

    Raises `AxisMixedError` for a window that its stream cannot be asked for.
    """
    if not new:
        return 0
    for stream in dict.fromkeys(segment.stream for segment in new):
        _ensure(connection, stream)
    statement = insert_into(connection, segments).on_conflict_do_nothing()
    return connection.execute(statement, [new_row(segment, now) for segment in new]).rowcount


def _added(connection: Connection, new: Sequence[NewSegment], now: datetime) -> list[Segment]:
    """As `add_segments` for streams that are known already; what was inserted."""
    if not new:
        return []
    statement = insert_into(connection, segments).on_conflict_do_nothing()
    rows = [new_row(segment, now) for segment in new]
    found = connection.execute(statement.returning(*SEGMENT_COLUMNS), rows)
    return [segment_of(row) for row in found]


def moved(
    watermark: Watermark | None, stream: Stream, new: Iterable[NewSegment], now: datetime
) -> Watermark | None:
    """The watermark after planning `new`; only the stream's own segments move it."""
    for segment in new:
        if segment.stream != stream:
            continue
        if segment.purpose in (Purpose.INCREMENTAL, Purpose.BACKFILL):
            watermark = _widened(watermark, segment, now)
        elif segment.purpose is Purpose.REREAD and segment.round > 0 and watermark is not None:
            watermark = replace(watermark, reread_until=_reread(watermark, segment))
    return watermark


def _widened(watermark: Watermark | None, segment: NewSegment, now: datetime) -> Watermark:
    start, end = segment.window.start, segment.window.end
    if watermark is None:
        return Watermark(first_at=start, fresh_until=end, begun_at=now)
    return replace(
        watermark,
        first_at=min(watermark.first_at, start),
        fresh_until=max(watermark.fresh_until, end),
    )


def _reread(watermark: Watermark, segment: NewSegment) -> tuple[datetime | None, ...]:
    reached = list(watermark.reread_until)
    reached += [None] * (segment.round - len(reached))
    earlier = reached[segment.round - 1]
    end = segment.window.end
    reached[segment.round - 1] = max(earlier, end) if earlier else end
    return tuple(reached)


def locked(connection: Connection, stream: Stream) -> AnyRow:
    """The stream's row, made if need be, ours until the transaction ends.

    `key_share`: segments that refer to it may still be added by others meanwhile.
    """
    ours = select(streams).where(of_stream(streams, stream)).with_for_update(key_share=True)
    row = connection.execute(ours).first()
    if row is None:
        _ensure(connection, stream)
        row = connection.execute(ours).one()
    return row


def _locked_all(connection: Connection, wanted: Sequence[Stream]) -> dict[Stream, Watermark | None]:
    """As `_locked`, in the order given: in any other, two planners could block each other."""
    found: dict[Stream, Watermark | None] = {}
    for batch in batches(wanted, _KEYS_AT_ONCE):
        same = or_(*(of_stream(streams, stream) for stream in batch))
        ours = select(streams).where(same).order_by(*_KEY).with_for_update(key_share=True)
        rows = {stream_of(row): watermark_of(row) for row in connection.execute(ours)}
        for stream in batch:
            found[stream] = (
                rows[stream] if stream in rows else watermark_of(locked(connection, stream))
            )
    return found


def store_watermark(connection: Connection, stream: Stream, watermark: Watermark) -> None:
    connection.execute(_STORE, _watermark_row(stream, watermark))


def _ensure(connection: Connection, stream: Stream) -> None:
    values = {**stream_key(stream), "reread_until": "[]"}
    connection.execute(insert_into(connection, streams).values(values).on_conflict_do_nothing())


def watermark_of(row: AnyRow) -> Watermark | None:
    if row.first_at is None:
        return None
    reread = json.loads(row.reread_until)
    return Watermark(
        first_at=row.first_at,
        fresh_until=row.fresh_until,
        begun_at=row.begun_at,
        reread_until=tuple(None if m is None else from_micros(m) for m in reread),
    )


_KEY = (streams.c.tenant, streams.c.source, streams.c.content_type)
_KEYS_AT_ONCE = 100
_MOVED = ("first_at", "fresh_until", "begun_at", "reread_until")
_STORE = (
    update(streams)
    .where(*(column == bindparam(f"its_{column.name}") for column in _KEY))
    .values({name: bindparam(f"new_{name}") for name in _MOVED})
)


def _watermark_row(stream: Stream, watermark: Watermark) -> dict[str, object]:
    reread = [None if moment is None else to_micros(moment) for moment in watermark.reread_until]
    return {
        **{f"its_{name}": value for name, value in stream_key(stream).items()},
        "new_first_at": watermark.first_at,
        "new_fresh_until": watermark.fresh_until,
        "new_begun_at": watermark.begun_at,
        "new_reread_until": json.dumps(reread),
    }


_Identity = tuple[Stream, datetime, datetime, str, int]


def _identity(segment: NewSegment) -> _Identity:
    window = segment.window
    return (segment.stream, window.start, window.end, segment.purpose.value, segment.round)


def _by_stream(segment: NewSegment) -> Stream:
    return segment.stream


def _unfinished_ids(
    connection: Connection, stream: Stream, wanted: Sequence[NewSegment]
) -> Iterator[tuple[_Identity, int]]:
    """Every unfinished segment of the stream in the time that `wanted` spans, by identity."""
    rows = connection.execute(
        select(segments).where(
            of_stream(segments, stream),
            schema.in_state(*schema.UNFINISHED),
            segments.c.start_at >= min(segment.window.start for segment in wanted),
            segments.c.end_at <= max(segment.window.end for segment in wanted),
        )
    )
    for row in rows:
        yield (stream, row.start_at, row.end_at, row.purpose, row.round), row.id
