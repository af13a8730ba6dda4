"""Which source brought a record, beyond the one that the lake names: raw material of matching.

The lake keeps the source that brought a record first. That another one brought it too is a row in a
small table beside the lake, written before the merge commits. A sighting is a member of a set, (id,
source) with the earliest time: writing one twice says nothing new, so that a merge may be killed at
any instruction and made again. Tenants with one source have no such table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl
from deltalake import DeltaTable, Field, Schema, write_deltalake
from deltalake.schema import PrimitiveType

from trailkeeper.store.lake_table import PARTITION, WRITER_PROPERTIES, Tables

_TYPES = {
    "id": "string",
    "source": "string",
    "created_at": "timestamp",
    "first_seen_at": "timestamp",
    PARTITION: "date",
}
COLUMNS = tuple(_TYPES)
_SCHEMA = Schema([Field(name, PrimitiveType(kind)) for name, kind in _TYPES.items()])
_FOLDER = "_sightings"
_PAIR = ["id", "source"]


def seen_again(rows: pl.DataFrame, stored: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Of the received `rows` the first of each id and source that the lake does not show by itself.

    `stored`: id and source of what the lake holds of them; `new`: what is about to be added. Empty,
    at the cost of a look at two columns, where there is one source only.
    """
    if pl.concat([rows["source"], stored["source"]]).n_unique() < 2:
        return rows.clear().select(COLUMNS)
    return (
        rows.remove("keyless")
        .unique(_PAIR, keep="first", maintain_order=True)
        .join(stored.select(_PAIR), on=_PAIR, how="anti")
        .join(new.select(_PAIR), on=_PAIR, how="anti")
        .select(COLUMNS)
    )


class Sightings:
    """The tables of all tenants, below the lake."""

    def __init__(self, url: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.tables = Tables(f"{url.rstrip('/')}/{_FOLDER}", storage_options, schema=_SCHEMA)

    def add(self, tenant: str, sightings: pl.DataFrame) -> DeltaTable | None:
        """Append what is not known yet; the table when something was."""
        if sightings.is_empty():
            return None
        table = self.tables.find_or_create(tenant)
        known = self._of_days(table, sightings[PARTITION]).select(_PAIR).unique()
        fresh = sightings.join(known.collect(engine="streaming"), on=_PAIR, how="anti")
        if fresh.is_empty():
            return None
        write_deltalake(table, fresh, mode="append", writer_properties=WRITER_PROPERTIES)
        return table

    def of_day(self, tenant: str, day: date) -> pl.LazyFrame:
        """`id`, `source`, `first_seen_at`, each pair once or more."""
        table = self.tables.find(tenant)
        if table is None:
            types = dict.fromkeys(_PAIR, pl.String)
            return pl.LazyFrame(schema={**types, "first_seen_at": pl.Datetime("us", "UTC")})
        return self._of_days(table, pl.Series([day])).select(*_PAIR, "first_seen_at")

    def compact(self, tenant: str, retain: timedelta) -> None:
        table = self.tables.find(tenant)
        if table is not None:
            table.optimize.compact(writer_properties=WRITER_PROPERTIES, max_concurrent_tasks=1)
            hours = math.ceil(retain / timedelta(hours=1))
            table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False)

    def forget(self, tenant: str, before: date) -> None:
        """Delete the sightings of events before a day: whole partitions, no file is rewritten."""
        table = self.tables.find(tenant)
        if table is not None and _oldest(table) < before:
            table.delete(f"{PARTITION} < '{before.isoformat()}'")

    def _of_days(self, table: DeltaTable, days: pl.Series) -> pl.LazyFrame:
        wanted = days.unique().sort().to_list()
        return self.tables.scan(table).filter(pl.col(PARTITION).is_in(wanted))


def _oldest(table: DeltaTable) -> date:
    """The first day that has a file; far in the future when there is none."""
    days = [str(partition[PARTITION]) for partition in table.partitions()]
    return min(map(date.fromisoformat, days), default=date.max)
