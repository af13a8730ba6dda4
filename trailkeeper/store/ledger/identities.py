"""Whose records are kept under which tenant's name: written once, deleted with the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from trailkeeper.model.identity import Identity
from trailkeeper.process.crash_points import durable
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import AnyRow
from trailkeeper.store.schema import identities


class IdentityRows(OverEngine):
    def identity(self, tenant: str) -> Identity | None:
        query = select(identities).where(identities.c.tenant == tenant)
        with self._reading() as connection:
            row = connection.execute(query).first()
            return _identity(row) if row else None

    def identities(self) -> dict[str, Identity]:
        with self._reading() as connection:
            return {row.tenant: _identity(row) for row in connection.execute(select(identities))}

    def adopt(self, wanted: Mapping[str, Identity], now: datetime) -> dict[str, Identity]:
        """Of two processes with different configurations the first one's stays."""
        rows = [
            {"tenant": name, "tenant_id": str(one.tenant_id), "cloud": one.cloud, "adopted_at": now}
            for name, one in wanted.items()
        ]
        with durable("identity.claim"), self._writing() as connection:
            if rows:
                unless_there = insert_into(connection, identities).on_conflict_do_nothing()
                connection.execute(unless_there, rows)
            kept = connection.execute(select(identities))
            return {row.tenant: _identity(row) for row in kept if row.tenant in wanted}


def _identity(row: AnyRow) -> Identity:
    return Identity(UUID(row.tenant_id), row.cloud)
