"""One Delta table a tenant: where it lies, what its columns are, how it is opened and scanned."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, Field, Schema, WriterProperties
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType
from deltalake.writer.properties import ColumnProperties

from trailkeeper.errors import Unavailable
from trailkeeper.model.record import COLUMNS
from trailkeeper.model.window import Axis, AxisMixedError, Window
from trailkeeper.store import lake_identity
from trailkeeper.store.disk import one_name, sync
from trailkeeper.store.lake_identity import Whose, nobody

PARTITION = "event_date"
TABLE_COLUMNS: tuple[str, ...] = (*COLUMNS, "source", "first_seen_at", "raw_size", PARTITION)
"""`raw_size`: bytes of `raw`; lets an export bound its memory without reading the text twice"""

_TYPES = {
    "keyless": "boolean",
    "digest": "binary",
    "created_at": "timestamp",
    "placed_by": "byte",
    "malformed": "boolean",
    "record_type": "long",
    "user_type": "long",
    "first_seen_at": "timestamp",
    "raw_size": "long",
    PARTITION: "date",
}
_POLARS: dict[str, pl.DataType | type[pl.DataType]] = {
    "boolean": pl.Boolean,
    "binary": pl.Binary,
    "timestamp": pl.Datetime("us", "UTC"),
    "byte": pl.Int8,
    "long": pl.Int64,
    "date": pl.Date,
    "string": pl.String,
}
TABLE_SCHEMA = {name: _POLARS[_TYPES.get(name, "string")] for name in TABLE_COLUMNS}
_SCHEMA = Schema([Field(name, PrimitiveType(_TYPES.get(name, "string"))) for name in TABLE_COLUMNS])
_CONFIGURATION: dict[str, str | None] = {
    # Without this the log would carry the smallest and the largest record's text of every file.
    "delta.dataSkippingStatsColumns": "created_at,placed_by",
    # A feed commits once a minute. Opening reads the log from the last checkpoint on, about 0.3 ms
    # a commit; and a folder with a month of commits takes longer to list than all of a merge.
    "delta.checkpointInterval": "16",
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}

# Level 1 costs a sixth less time than 3 for 8 % more bytes. Small row groups, each sorted by time,
# let an export read one part of a large day without unpacking the rest of it. A dictionary of what
# never repeats costs an eighth of a merge's writing, and bytes.
WRITER_PROPERTIES = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    max_row_group_size=16_384,
    column_properties={
        "id": ColumnProperties(dictionary_enabled=False),
        "digest": ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE"),
        "raw": ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE"),
    },
)


class Tables:
    """The tables of all tenants below `url`: a folder, or an az://, s3:// … URL."""

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, str] | None = None,
        expected: Callable[[str], bool] = lambda tenant: False,
        schema: Schema = _SCHEMA,
        whose: Whose = nobody,
    ) -> None:
        """`expected`: whether a tenant's table must be there, since the ledger knows of records;
        `whose`: the directory that a tenant's name stands for."""
        self._whose = whose
        self._expected = expected
        self._schema = schema
        self.url = url.rstrip("/") or url
        self.options = dict(storage_options) if storage_options else None

    @property
    def folder(self) -> Path | None:
        """The local folder; None for an object store."""
        return None if "://" in self.url else Path(self.url)

    def location(self, tenant: str) -> str:
        return f"{self.url}/{one_name(tenant)}"

    def find(self, tenant: str) -> DeltaTable | None:
        """The newest version of the table, or None when nothing was ever merged.

        Raises `Unavailable` when something was: a lake that is gone must not pass for an empty one.
        Raises `ConfigurationError` when the table is another directory's.
        """
        table = self.find_ours(tenant)
        if table is not None or not self._expected(tenant):
            return table
        table = self.find_ours(tenant)  # the first merge may have come between the two looks
        if table is None:
            raise Unavailable(
                f"the records of {tenant} are not in the lake {self.url}, though they were stored",
                "Mount or restore the lake, or set service.lake right; to begin anew, run "
                f"`trailkeeper tenants remove {tenant}` and collect again.",
            )
        return table

    def find_ours(self, tenant: str) -> DeltaTable | None:
        """The table, or None. Raises `ConfigurationError` when it is another directory's."""
        table = self._open(tenant)
        if table is not None:
            lake_identity.compare(table, tenant, self._whose(tenant), self.url)
        return table

    def _open(self, tenant: str) -> DeltaTable | None:
        if self.folder and not (self.folder / tenant / "_delta_log").is_dir():
            return None
        try:
            return DeltaTable(self.location(tenant), storage_options=self.options)
        except TableNotFoundError:
            return None

    def find_or_create(self, tenant: str) -> DeltaTable:
        table = self.find(tenant)
        identity = self._whose(tenant)
        if table is not None:
            if lake_identity.adopt(table, identity):
                self._sync_log(tenant, table)
            return table
        try:
            table = DeltaTable.create(
                self.location(tenant),
                self._schema,
                partition_by=[PARTITION],
                configuration={**_CONFIGURATION, **lake_identity.properties(identity)},
                storage_options=self.options,
                raise_if_key_not_exists=False,  # the identity's are no words of Delta
            )
        except DeltaError:
            table = self.find(tenant)  # another worker may have created it in the same moment
            if table is None:
                raise
            return table
        self._sync_log(tenant, table)
        return table

    def _sync_log(self, tenant: str, table: DeltaTable) -> None:
        """fsync the newest commit: a later one that is durable is worth nothing without it."""
        if self.folder:
            log = self.folder / tenant / "_delta_log"
            for path in (log / f"{table.version():020d}.json", log):
                sync(path)

    def scan(self, table: DeltaTable, window: Window | None = None) -> pl.LazyFrame:
        """The records of `window`; files of other days and hours are never opened."""
        frame = pl.scan_delta(table, storage_options=self.options)
        if window is None:
            return frame
        if window.axis is not Axis.OCCURRED:
            raise AxisMixedError(f"the lake is asked by time of occurrence, not {window.axis}")
        return frame.filter(
            pl.col(PARTITION).is_between(window.start.date(), window.end.date()),
            pl.col("created_at") >= window.start,
            pl.col("created_at") < window.end,
        )

    def drop(self, tenant: str) -> None:
        """Delete the table; on an object store an empty one remains, with its log."""
        if self.folder:
            # The log goes first: after a kill no table is left, and the next call clears the rest.
            for part in (self.folder / tenant / "_delta_log", self.folder / tenant):
                if part.exists():
                    shutil.rmtree(part)
            return
        table = self._open(tenant)
        if table is not None:
            table.delete()
            lake_identity.forget(table)
            table.vacuum(
                retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True
            )
