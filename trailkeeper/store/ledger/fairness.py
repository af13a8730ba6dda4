"""Whether a tenant may hold one more of the pulling processes: asked inside the lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from trailkeeper.model.fairness import COMES_AGAIN, Crowd, Speed, speed_key
from trailkeeper.model.segment import SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.ports.leasing import BESIDE
from trailkeeper.store import schema
from trailkeeper.store.ledger.rows import CLAIMABLE, NOW, RUNS, AnyRow, same_stream
from trailkeeper.store.schema import notes, segments, streams

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7235891)")
"""a number of our own: leases of two hosts count each other, so one of them goes first"""
_KEY = (segments.c.tenant, segments.c.source, segments.c.content_type)
_HELD = (
    select(*_KEY, func.count().label("n"))
    .where(
        schema.in_state(SegmentState.LEASED),
        segments.c.deadline_at > NOW,
        segments.c.owner.not_like(f"%{BESIDE}"),
    )
    .group_by(*_KEY)
)
_WAITING = (
    select(segments.c.tenant)
    .join(streams, same_stream(streams, segments))
    .where(CLAIMABLE, RUNS, segments.c.tenant != bindparam("its_tenant"))
    .distinct()
    .limit(bindparam("most"))
)
_ACTIVE = (
    select(streams.c.tenant)
    .where(streams.c.leased_at > bindparam("since"), streams.c.tenant != bindparam("its_tenant"))
    .distinct()
    .limit(bindparam("most"))
)
_SPEEDS = select(notes.c.key, notes.c.value).where(
    notes.c.key.in_(bindparam("keys", expanding=True))
)


def is_fair(connection: Connection, asking: AnyRow, processes: int, now: datetime) -> bool:
    """Whether the stream `asking`, whose row is locked, may have one more of `processes`."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ONE_AT_A_TIME)
    held = connection.execute(_HELD, {"now": now}).all()
    if not held:
        return True
    speeds = _speeds(connection, [asking, *held])
    mine = sum(row.n for row in held if row.tenant == asking.tenant)
    speed = speeds.get(_stream(asking))
    if not mine and speed is not Speed.LONG:
        return True  # everybody has one
    about = {"its_tenant": asking.tenant, "now": now, "most": processes}
    crowd = Crowd(
        processes,
        mine,
        sum(row.n for row in held if speeds.get(_stream(row)) is not Speed.QUICK),
        len(connection.execute(_WAITING, about).all()),
        len(connection.execute(_ACTIVE, {**about, "since": now - COMES_AGAIN}).all()),
    )
    return crowd.allows(speed)


def _speeds(connection: Connection, rows: Sequence[AnyRow]) -> dict[Stream, Speed]:
    """Of those that are known."""
    by_key = {speed_key(_stream(row)): _stream(row) for row in rows}
    found = connection.execute(_SPEEDS, {"keys": list(by_key)})
    return {by_key[row.key]: Speed(row.value) for row in found if row.value in set(Speed)}


def _stream(row: AnyRow) -> Stream:
    return Stream(row.tenant, Source(row.source), row.content_type)
