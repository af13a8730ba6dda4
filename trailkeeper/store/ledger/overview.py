"""The service in a few numbers. Every minute, so nothing here reads all that was ever collected."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from trailkeeper.model.segment import SegmentState
from trailkeeper.ports.overview import Overview
from trailkeeper.store import schema
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import stream_key, stream_of
from trailkeeper.store.schema import segments, streams

UNFINISHED = (SegmentState.PLANNED, SegmentState.LEASED, SegmentState.LANDED)
_NEWEST = 50
"""windows of a stream that are looked at for its last landing: about a day of fresh ones"""
_STREAM = (streams.c.tenant, streams.c.source, streams.c.content_type)


class Overviews(OverEngine):
    def overview(self) -> Overview:
        with self._reading() as connection:
            known = [stream_of(row) for row in connection.execute(select(*_STREAM))]
            return Overview(
                {state: _count(connection, state) for state in UNFINISHED},
                {stream: connection.scalar(_LANDED, stream_key(stream)) for stream in known},
            )


def _count(connection: Connection, state: SegmentState) -> int:
    query = select(func.count()).select_from(segments).where(schema.in_state(state))
    return int(connection.execute(query).scalar_one())


_NEWEST_WINDOWS = (
    select(segments.c.landed_at)
    .where(*(segments.c[column.name] == bindparam(column.name) for column in _STREAM))
    .order_by(segments.c.start_at.desc())
    .limit(_NEWEST)
    .subquery()
)
_LANDED = select(func.max(_NEWEST_WINDOWS.c.landed_at))
"""built once: it is asked for every stream"""
