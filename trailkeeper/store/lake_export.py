"""Stored records in order, as lines, CSV or Parquet, in bounded memory.

Order: by time, then Id, then text; the same state gives the same bytes. A day is read in slices of
at most `SLICE` bytes of text, cut between two instants (more only when one instant holds more).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import polars as pl
from polars.io.plugins import register_io_source

from trailkeeper.model.window import Window
from trailkeeper.store.lake_table import PARTITION, TABLE_COLUMNS, TABLE_SCHEMA, Tables
from trailkeeper.store.spreadsheet import guarded, guarded_json, shortened

SLICE = 64 * 1024 * 1024
_LINES_AT_ONCE = 4096

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|[\r\n]+', re.DOTALL)

_CSV_COLUMNS = (
    "id",
    "created_at",
    "record_type",
    "operation",
    "workload",
    "user_id",
    "user_type",
    "client_ip",
    "result_status",
    "source",
    "first_seen_at",
    "keyless",
    "malformed",
    "raw",
)
_RECEIVED_TEXT = ("id", "operation", "workload", "user_id", "client_ip", "result_status")


def write_jsonl(tables: Tables, tenant: str, window: Window | None, out: BinaryIO) -> int:
    """One record a line, the text as received; how many records."""
    records = 0
    for frame in slices(tables, tenant, window):
        for part in frame.select(_one_line()).iter_slices(_LINES_AT_ONCE):
            out.write(("\n".join(part["raw"].to_list()) + "\n").encode())
        records += frame.height
    return records


def write_csv(tables: Tables, tenant: str, window: Window | None, out: BinaryIO) -> int:
    """RFC 4180 with a header line, cells that a spreadsheet keeps and does not run; how many."""
    header = pl.DataFrame(schema=TABLE_SCHEMA)
    _csv(header, out, include_header=True)
    records = 0
    for frame in slices(tables, tenant, window):
        for part in frame.iter_slices(_LINES_AT_ONCE):
            _csv(part, out, include_header=False)
        records += frame.height
    return records


def write_parquet(tables: Tables, tenant: str, window: Window | None, out: Path) -> int:
    """One file, there when it is complete; how many records."""
    records = 0

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        nonlocal records
        for frame in slices(tables, tenant, window):
            records += frame.height
            yield frame

    partial = out.with_name(f"{out.name}.partial")
    try:
        lazy = register_io_source(source, schema=TABLE_SCHEMA)
        lazy.sink_parquet(partial, compression="zstd", row_group_size=65_536)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return records


def slices(tables: Tables, tenant: str, window: Window | None) -> Iterator[pl.DataFrame]:
    """All records of `window`, in order, a bounded number at a time."""
    table = tables.find(tenant)
    if table is None:
        return
    stored = tables.scan(table, window)
    for day in sorted(part[PARTITION] for part in table.partitions()):
        of_day = stored.filter(pl.col(PARTITION) == pl.lit(day).str.to_date())
        for first, last in _cuts(of_day):
            piece = of_day.filter(pl.col("created_at").is_between(first, last))
            yield _ordered(piece.collect(engine="streaming"))


def _cuts(of_day: pl.LazyFrame) -> list[tuple[datetime, datetime]]:
    """First and last instant of every slice."""
    weights = (
        of_day.group_by("created_at").agg(pl.col("raw_size").sum()).collect(engine="streaming")
    )
    numbered = weights.sort("created_at").with_columns(
        slice=(pl.col("raw_size").cum_sum() - pl.col("raw_size")) // SLICE
    )
    edges = numbered.group_by("slice", maintain_order=True).agg(
        first=pl.col("created_at").first(), last=pl.col("created_at").last()
    )
    return list(edges.select("first", "last").iter_rows())


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """By time, Id and, only where these two are equal, text: sorting all texts would copy them."""
    ties = pl.len().over("created_at", "id") > 1
    return (
        frame.with_columns(tie=pl.when(ties).then("raw"))
        .sort("created_at", "id", "tie")
        .drop("tie")
        .select(TABLE_COLUMNS)
    )


def one_line(text: str) -> str:
    """`text` without the line breaks between its tokens; nothing inside strings changes."""
    return _TOKEN.sub(lambda match: match[1] or "", text)


def _one_line() -> pl.Expr:
    broken = pl.col("raw").str.contains_any(["\n", "\r"])
    mended = pl.col("raw").map_elements(one_line, return_dtype=pl.String)
    return pl.when(broken).then(mended).otherwise("raw").alias("raw")


def _csv(frame: pl.DataFrame, out: BinaryIO, *, include_header: bool) -> None:
    instants = pl.col("created_at", "first_seen_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    lines = frame.with_columns(*map(guarded, _RECEIVED_TEXT), instants, _one_line())
    cells = shortened(lines.with_columns(guarded_json("raw")).select(_CSV_COLUMNS))
    cells.write_csv(
        out, include_header=include_header, line_terminator="\r\n", quote_style="necessary"
    )
