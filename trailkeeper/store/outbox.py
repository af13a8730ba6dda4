"""`ports.Outbox` over SQL: a month's report is queued once and sent once per revision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)

from trailkeeper.errors import LeaseLost
from trailkeeper.model.report import Delivery, Month, Queued, Rendered, ReportState
from trailkeeper.process.crash_points import durable
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import AnyRow
from trailkeeper.store.schema import outbox


class SqlOutbox(OverEngine):
    """The outbox on SQLite or PostgreSQL, in the ledger's database."""

    def enqueue(
        self,
        tenant: str,
        month: Month,
        message_id: str,
        recipients: Sequence[str],
        rendered: Rendered,
        now: datetime,
        *,
        again: bool = False,
        preliminary: bool = False,
    ) -> int | None:
        values = {
            "tenant": tenant,
            "month": str(month),
            "message_id": message_id,
            "recipients": json.dumps(list(recipients)),
            "rendered": msgspec.json.encode(rendered).decode(),
            "state": ReportState.QUEUED.value,
            "due_at": now,
            "attempts": 0,
            "epoch": 0,
            "queued_at": now,
            "preliminary": preliminary,
        }
        with durable("outbox.enqueue"), self._writing() as connection:
            revision = _newest_revision(connection, tenant, month)
            while again or not _stands(connection, tenant, month, preliminary=preliminary):
                new = _insert(connection, {**values, "revision": revision + 1})
                if new is not None:
                    return new
                # Another process queued this revision between our question and our insert.
                revision += 1
            return None

    def reported(self, tenant: str, month: Month) -> bool:
        with self._reading() as connection:
            return _stands(connection, tenant, month, preliminary=False)

    def newest(self, tenant: str, month: Month) -> Queued | None:
        query = (
            select(outbox)
            .where(outbox.c.tenant == tenant, outbox.c.month == str(month))
            .order_by(outbox.c.revision.desc())
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Queued(
            row.id,
            ReportState(row.state),
            tuple(json.loads(row.recipients)),
            msgspec.json.decode(row.rendered, type=Rendered).folder,
            row.finished_at,
            row.error or "",
        )

    def due(self, now: datetime, limit: int) -> list[int]:
        query = (
            select(outbox.c.id)
            .where(_owed(), _takeable(now))
            .order_by(outbox.c.due_at, outbox.c.id)
            .limit(limit)
        )
        with self._reading() as connection:
            return list(connection.scalars(query))

    def take(self, outbox_id: int, now: datetime, until: datetime) -> Delivery | None:
        with durable("outbox.take"), self._writing() as connection:
            before = connection.scalar(select(outbox.c.state).where(outbox.c.id == outbox_id))
            taken = connection.execute(
                update(outbox)
                .where(outbox.c.id == outbox_id, _takeable(now))
                .values(
                    state=ReportState.SENDING.value,
                    deadline_at=until,
                    attempts=outbox.c.attempts + 1,
                    epoch=outbox.c.epoch + 1,
                )
            )
            if taken.rowcount == 0:
                return None
            row = connection.execute(select(outbox).where(outbox.c.id == outbox_id)).one()
            return _delivery(row, left_behind=before == ReportState.SENDING.value)

    def sent(self, delivery: Delivery, now: datetime, reply: str) -> None:
        self._finish(delivery, ReportState.SENT, finished_at=now, reply=reply, error=None)

    def again_at(self, delivery: Delivery, due_at: datetime, error: str) -> None:
        self._finish(delivery, ReportState.QUEUED, due_at=due_at, error=error)

    def hurry(self, outbox_id: int, now: datetime) -> None:
        waiting = and_(outbox.c.state == ReportState.QUEUED.value, outbox.c.due_at > now)
        with self._writing() as connection:
            connection.execute(
                update(outbox).where(outbox.c.id == outbox_id, waiting).values(due_at=now)
            )

    def refused(self, delivery: Delivery, now: datetime, error: str) -> None:
        self._finish(delivery, ReportState.REFUSED, finished_at=now, error=error)

    def _finish(self, delivery: Delivery, state: ReportState, **values: object) -> None:
        """sending → `state` if this delivery still holds the lease. Raises `LeaseLost`."""
        with durable("outbox.finish"), self._writing() as connection:
            changed = connection.execute(
                update(outbox)
                .where(
                    outbox.c.id == delivery.outbox_id,
                    outbox.c.epoch == delivery.epoch,
                    outbox.c.state.in_([ReportState.SENDING.value, state.value]),
                )
                .values(state=state.value, deadline_at=None, **values)
            )
            if changed.rowcount == 0:
                raise LeaseLost(
                    f"attempt {delivery.attempt} at delivery {delivery.outbox_id} is over",
                    "Nothing to do: whoever sends the message now carries on.",
                )


def _newest_revision(connection: Connection, tenant: str, month: Month) -> int:
    """0 when the month was never queued."""
    query = select(func.max(outbox.c.revision)).where(
        outbox.c.tenant == tenant, outbox.c.month == str(month)
    )
    return int(connection.scalar(query) or 0)


def _stands(connection: Connection, tenant: str, month: Month, *, preliminary: bool) -> bool:
    """Is there a report of the month, preliminary ones counted only where one is asked for?"""
    query = select(outbox.c.id).where(outbox.c.tenant == tenant, outbox.c.month == str(month))
    if not preliminary:
        query = query.where(outbox.c.preliminary.is_(False))
    return connection.execute(query.limit(1)).first() is not None


def _insert(connection: Connection, values: dict[str, object]) -> int | None:
    """The new row's id, or None when its revision is taken."""
    statement = insert_into(connection, outbox).values(values).on_conflict_do_nothing()
    if connection.execute(statement).rowcount == 0:
        return None
    return int(connection.scalars(_id_of(values)).one())


def _id_of(values: dict[str, object]) -> Select[Any]:
    key = (outbox.c[name] == values[name] for name in ("tenant", "month", "revision"))
    return select(outbox.c.id).where(*key)


def _owed() -> ColumnElement[bool]:
    """In constants, as the partial index spells it: see `schema`."""
    states = [ReportState.QUEUED.value, ReportState.SENDING.value]
    return outbox.c.state.in_(
        bindparam(None, states, type_=Text, expanding=True, literal_execute=True)
    )


def _takeable(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(outbox.c.state == ReportState.QUEUED.value, outbox.c.due_at <= now),
        and_(outbox.c.state == ReportState.SENDING.value, outbox.c.deadline_at <= now),
    )


def _delivery(row: AnyRow, *, left_behind: bool) -> Delivery:
    return Delivery(
        outbox_id=row.id,
        tenant=row.tenant,
        month=Month.parse(row.month),
        message_id=row.message_id,
        recipients=tuple(json.loads(row.recipients)),
        rendered=msgspec.json.decode(row.rendered, type=Rendered),
        attempt=row.attempts,
        epoch=row.epoch,
        left_behind=left_behind,
    )
