"""What stands still and why (parked, paused, postponed), small facts, and forgetting a tenant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, bindparam, delete, or_, select, update

from trailkeeper.model.stream import Source, Stream
from trailkeeper.ports.parking import PAUSED, Parking
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import AnyRow, stream_key
from trailkeeper.store.schema import (
    blobs,
    findings,
    identities,
    measures,
    merges,
    notes,
    outbox,
    parkings,
    segments,
    streams,
)

_BY_TENANT = (blobs, measures, segments, merges, streams, parkings, outbox, identities)
"""every table with a column `tenant`"""
_WHOLE_TENANT = ""
_THEIR_STREAMS = (
    select(streams.c.tenant)
    .where(streams.c.tenant == bindparam("its_tenant"))
    .order_by(streams.c.source, streams.c.content_type)
    .with_for_update()
)


class Standstill(OverEngine):
    def park(self, parking: Parking) -> None:
        values = _row(parking)
        with self._writing() as connection:
            statement = insert_into(connection, parkings).values(values)
            replaceable = or_(parkings.c.code != PAUSED, statement.excluded.code == PAUSED)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["tenant", "source", "content_type"],
                    set_=values,
                    where=replaceable,
                )
            )

    def unpark(self, tenant: str, source: Source | None = None) -> bool:
        lifted = parkings.c.tenant == tenant
        if source is not None:
            lifted = and_(lifted, parkings.c.source == source.value)
        # A refused content type goes when it has answered: until then its time is asked for again.
        tried = (
            update(parkings)
            .where(lifted, parkings.c.content_type != "")
            .values(retry_at=parkings.c.parked_at)
        )
        gone = delete(parkings).where(lifted, parkings.c.content_type == "")
        with self._writing() as connection:
            return connection.execute(tried).rowcount + connection.execute(gone).rowcount > 0

    def content_answered(self, tenant: str, source: Source, content_type: str) -> None:
        gone = delete(parkings).where(
            parkings.c.tenant == tenant,
            parkings.c.source == source.value,
            parkings.c.content_type == content_type,
        )
        with self._writing() as connection:
            connection.execute(gone)

    def parkings(self, tenant: str | None = None) -> list[Parking]:
        query = select(parkings).order_by(
            parkings.c.tenant, parkings.c.source, parkings.c.content_type
        )
        if tenant is not None:
            query = query.where(parkings.c.tenant == tenant)
        with self._reading() as connection:
            return [_parking(row) for row in connection.execute(query)]

    def postpone(self, stream: Stream, until: datetime) -> None:
        values = {**stream_key(stream), "reread_until": "[]", "postponed_until": until}
        later = or_(streams.c.postponed_until.is_(None), streams.c.postponed_until < until)
        with self._writing() as connection:
            connection.execute(
                insert_into(connection, streams)
                .values(values)
                .on_conflict_do_update(
                    index_elements=["tenant", "source", "content_type"],
                    set_={"postponed_until": until},
                    where=later,
                )
            )

    def note(self, key: str, value: str, now: datetime) -> None:
        values = {"value": value, "noted_at": now}
        with self._writing() as connection:
            connection.execute(
                insert_into(connection, notes)
                .values(key=key, **values)
                .on_conflict_do_update(index_elements=["key"], set_=values)
            )

    def forget(self, key: str) -> None:
        with self._writing() as connection:
            connection.execute(delete(notes).where(notes.c.key == key))

    def noted(self, key: str) -> tuple[str, datetime] | None:
        query = select(notes.c.value, notes.c.noted_at).where(notes.c.key == key)
        with self._reading() as connection:
            row = connection.execute(query).first()
            return (row.value, row.noted_at) if row else None

    def all_noted(self, prefix: str) -> dict[str, tuple[str, datetime]]:
        query = select(notes).where(notes.c.key.startswith(prefix, autoescape=True))
        with self._reading() as connection:
            return {row.key: (row.value, row.noted_at) for row in connection.execute(query)}

    def forget_tenant(self, tenant: str) -> None:
        theirs = select(segments.c.id).where(segments.c.tenant == tenant)
        with self._writing() as connection:
            # Who plans, shares or lands holds these while it adds segments: it is waited for here.
            connection.execute(_THEIR_STREAMS, {"its_tenant": tenant})
            connection.execute(delete(findings).where(findings.c.segment_id.in_(theirs)))
            for table in _BY_TENANT:
                connection.execute(delete(table).where(table.c.tenant == tenant))
            keys = connection.scalars(select(notes.c.key).where(notes.c.key.contains(f"/{tenant}")))
            # TOPIC/TENANT, or TOPIC/TENANT/PART
            noted = [key for key in keys if key.split("/")[1] == tenant]
            connection.execute(delete(notes).where(notes.c.key.in_(noted)))


def _row(parking: Parking) -> dict[str, object]:
    return {
        "tenant": parking.tenant,
        "source": parking.source.value if parking.source else _WHOLE_TENANT,
        "content_type": parking.content_type,
        "parked_at": parking.parked_at,
        "code": parking.code,
        "summary": parking.summary,
        "remedy": parking.remedy,
        "retry_at": parking.retry_at,
    }


def _parking(row: AnyRow) -> Parking:
    return Parking(
        tenant=row.tenant,
        source=Source(row.source) if row.source else None,
        parked_at=row.parked_at,
        code=row.code,
        summary=row.summary,
        remedy=row.remedy,
        retry_at=row.retry_at,
        content_type=row.content_type,
    )
