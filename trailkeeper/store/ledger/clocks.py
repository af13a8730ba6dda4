"""What a clock that ran ahead wrote, put right once it shows the right time again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, delete, literal, select, update

from trailkeeper.model.planning import Watermark, back_to
from trailkeeper.model.segment import Purpose, SegmentState
from trailkeeper.model.stream import Stream
from trailkeeper.store import schema
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.planning import locked, store_watermark, watermark_of
from trailkeeper.store.ledger.rows import AnyRow, of_stream, stream_of
from trailkeeper.store.schema import merges, parkings, segments, streams

_UNTIL = bindparam("until", type_=schema.Instant())
_NOW = bindparam("now", type_=schema.Instant())
_LEASES = (
    update(segments)
    .where(schema.in_state(SegmentState.LEASED), segments.c.deadline_at > _UNTIL)
    .values(deadline_at=_UNTIL)
)
_MERGES = (
    update(merges)
    .where(merges.c.closed_at.is_(None), merges.c.deadline_at > _UNTIL)
    .values(deadline_at=_UNTIL)
)
_PARKINGS = update(parkings).where(parkings.c.retry_at > _UNTIL).values(retry_at=_NOW)
_BY_WATERMARK = (Purpose.INCREMENTAL, Purpose.BACKFILL, Purpose.REREAD)
"""what planning adds again by itself once the watermark is back"""


class Clocks(OverEngine):
    def shorten_waits(self, now: datetime, lease: timedelta, longest: timedelta) -> None:
        ends = {"until": now + lease}
        parked = {"until": now + longest, "now": now}
        # A transaction each: together they would lock rows in an order that nobody else keeps.
        for statement, words in ((_LEASES, ends), (_MERGES, ends), (_PARKINGS, parked)):
            with self._writing() as connection:
                connection.execute(statement, words)

    def set_back(self, now: datetime, ahead: datetime) -> dict[Stream, datetime]:
        query = select(streams).where(streams.c.fresh_until > ahead)
        with self._reading() as connection:
            found = [stream_of(row) for row in connection.execute(query)]
        until: dict[Stream, datetime] = {}
        for stream in sorted(found):
            with self._writing() as connection:
                watermark = watermark_of(locked(connection, stream))
                if watermark is not None and watermark.fresh_until > ahead:
                    _set_back(connection, stream, watermark, now)
                    until[stream] = watermark.fresh_until
        return until


def _set_back(connection: Connection, stream: Stream, watermark: Watermark, now: datetime) -> None:
    dropped = connection.execute(
        delete(segments)
        .where(
            of_stream(segments, stream),
            schema.in_state(*schema.OPEN),
            segments.c.purpose.in_([purpose.value for purpose in _BY_WATERMARK]),
            segments.c.end_at > now,
        )
        .returning(segments.c.start_at, segments.c.purpose, segments.c.round)
    ).all()
    rereads = {n: _start(dropped, now, n) for n in range(1, len(watermark.reread_until) + 1)}
    store_watermark(connection, stream, back_to(watermark, _start(dropped, now), rereads, now))
    connection.execute(
        update(segments)
        .where(
            of_stream(segments, stream),
            schema.in_state(SegmentState.PLANNED),
            segments.c.purpose != Purpose.RETRY.value,
            segments.c.due_at > now,
        )
        .values(
            due_at=case(
                (segments.c.end_at > now, segments.c.end_at), else_=literal(now, schema.Instant())
            )
        )
    )


def _start(dropped: Sequence[AnyRow], now: datetime, round_: int | None = None) -> datetime:
    """The earliest of those that went: of one round of re-reading, or of fresh time; else now."""
    reread = Purpose.REREAD.value
    return min(
        (
            row.start_at
            for row in dropped
            if (row.purpose != reread if round_ is None else _is_round(row, round_))
        ),
        default=now,
    )


def _is_round(row: AnyRow, round_: int) -> bool:
    return bool(row.purpose == Purpose.REREAD.value and row.round == round_)
