"""Received rows that a library on the way refuses for what they hold: found, and made storable.

The door (`microsoft/records`) places every record where all can hold it. This is the second line,
for what an earlier version landed and for whatever nobody has thought of: one row must never keep
the others out. A trial is the real thing in a folder that is thrown away: compared, written, read
back and put in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from tempfile import TemporaryDirectory

import polars as pl
from deltalake import write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from polars.exceptions import PolarsError

from trailkeeper.model.record import PlacedBy
from trailkeeper.store.lake_export import slices
from trailkeeper.store.lake_merge import fold
from trailkeeper.store.lake_table import PARTITION, WRITER_PROPERTIES, Tables

_MOST_TRIALS = 300
"""about 30 ms each; after them what is still refused together is stored plainly together"""
_TRIAL = "trial"
_HEADER = (
    "record_type",
    "operation",
    "workload",
    "user_id",
    "user_type",
    "client_ip",
    "result_status",
)


def may_blame_content(error: BaseException) -> bool:
    """Whether the rows can be the reason. Another writer's commit, a disk and a signal are not."""
    if isinstance(error, (CommitFailedError, OSError)):
        return False
    kinds = (PolarsError, DeltaError, ValueError, TypeError, ArithmeticError, RecursionError)
    return isinstance(error, kinds) or type(error).__name__ == "PanicException"


@dataclass(frozen=True, slots=True)
class Mended:
    """`rows` as they can be stored; `refused`, the digests of those that had to give way."""

    rows: pl.DataFrame
    refused: list[bytes]


def mended(rows: pl.DataFrame) -> Mended | None:
    """`rows` with the refused ones in a plain form; None when no row is to blame."""
    if not _passes(rows.clear()):
        return None  # the trial itself cannot be held: a full disk, say
    numbered = rows.with_row_index("place")
    search = _Search(lambda places: _passes(rows[places]))
    bad = search.bad(list(range(rows.height)))
    if not bad:
        return None
    good = numbered.filter(~pl.col("place").is_in(bad))
    plain = [_plain(numbered[place]) for place in bad]
    whole = pl.concat([good, *plain]).sort("place").drop("place")
    return Mended(whole, rows[bad]["digest"].to_list())


@dataclass(slots=True)
class _Search:
    passes: Callable[[list[int]], bool]
    trials: int = field(default=0)

    def bad(self, places: list[int]) -> list[int]:
        """Those that do not pass, by halves."""
        if not places or self._passes(places):
            return []
        if len(places) == 1 or self.trials >= _MOST_TRIALS:
            return places
        middle = len(places) // 2
        return self.bad(places[:middle]) + self.bad(places[middle:])

    def _passes(self, places: list[int]) -> bool:
        self.trials += 1
        return self.passes(places)


def _passes(rows: pl.DataFrame) -> bool:
    with TemporaryDirectory(prefix="trailkeeper-") as folder:
        try:
            _store(rows, Tables(folder))
        except BaseException as error:
            if not may_blame_content(error) and not isinstance(error, OSError):
                raise
            return False
    return True


def _store(rows: pl.DataFrame, tables: Tables) -> None:
    table = tables.find_or_create(_TRIAL)
    new = fold(rows, tables.scan(table)).new
    write_deltalake(table, new, mode="append", writer_properties=WRITER_PROPERTIES)
    for frame in slices(tables, _TRIAL, None):
        frame.select("created_at", PARTITION).rows()


def _plain(row: pl.DataFrame) -> pl.DataFrame:
    """The least form that passes: without header; without Id; wrapped as text."""
    unplaced = row.with_columns(
        pl.lit(int(PlacedBy.REFUSED), pl.Int8).alias("placed_by"),
        pl.col("first_seen_at").alias("created_at"),
        pl.col("first_seen_at").dt.date().alias(PARTITION),
        *(pl.lit(None, row.schema[name]).alias(name) for name in _HEADER),
    )
    keyless = unplaced.with_columns(
        pl.col("digest").bin.encode("hex").alias("id"), pl.lit(value=True).alias("keyless")
    )
    for form in (unplaced, keyless):
        if _passes(form.drop("place")):
            return form
    return _wrapped(keyless)


def _wrapped(row: pl.DataFrame) -> pl.DataFrame:
    text = json.dumps({"Id": None, "CreationTime": None, "AuditDataText": row["raw"].item()})
    return row.with_columns(
        pl.lit(text).alias("raw"),
        pl.lit(len(text), pl.Int64).alias("raw_size"),
        pl.lit(blake2b(text.encode(), digest_size=16).digest(), pl.Binary).alias("digest"),
        pl.lit(value=True).alias("malformed"),
    )
