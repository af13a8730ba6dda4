"""The service in a few numbers. Every minute, so nothing here reads all that was ever collected."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from trailkeeper.model.segment import SegmentState
from trailkeeper.model.stream import Stream
from trailkeeper.ports import Overview
from trailkeeper.store import schema
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import of_stream, stream_of
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
                {stream: _landed_at(connection, stream) for stream in known},
            )


def _count(connection: Connection, state: SegmentState) -> int:
    query = select(func.count()).select_from(segments).where(schema.in_state(state))
    return int(connection.execute(query).scalar_one())


def _landed_at(connection: Connection, stream: Stream) -> datetime | None:
    newest = (
        select(segments.c.landed_at)
        .where(of_stream(segments, stream))
        .order_by(segments.c.start_at.desc())
        .limit(_NEWEST)
        .subquery()
    )
    found: datetime | None = connection.execute(select(func.max(newest.c.landed_at))).scalar_one()
    return found
