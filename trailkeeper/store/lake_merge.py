"""Which of the received records are new: the rule of identity, in columns.

Key is (id, keyless). The same key with an equal JSON value is a duplicate: the text received first
stays. The same key with another value is a conflict: each variant is stored once.

Equal bytes (equal digest) need no look at the text, and that is nearly every duplicate there is.
Only records whose key is known under another digest are *disputed*: their texts are compared as
JSON values, the only place where Python touches records one by one (about 60 µs each).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trailkeeper.model.canonical import content_digest
from trailkeeper.model.record import PlacedBy
from trailkeeper.model.segment import LandedSegment, MergeCounts
from trailkeeper.store.lake_sightings import seen_again
from trailkeeper.store.lake_table import PARTITION, TABLE_COLUMNS, TABLE_SCHEMA
from trailkeeper.store.landing import batches, damaged

_KEY = ["id", "keyless"]
_TEXT = [*_KEY, "digest"]
_VALUE = [*_KEY, "content"]


@dataclass(frozen=True, slots=True)
class Folded:
    """`new`: the rows to append, in the table's columns; `counts` by segment id.

    `sightings`: of records that another source brought as well; see `lake_sightings`.
    """

    new: pl.DataFrame
    counts: dict[int, MergeCounts]
    sightings: pl.DataFrame


def received(files: Sequence[tuple[LandedSegment, Path]]) -> pl.DataFrame:
    """All rows of the landing files, those received first on top.

    Raises `DamagedLanding` when a file is damaged or shorter than the ledger says, `Unavailable`
    when it cannot be read.
    """
    ordered = sorted(files, key=lambda pair: (pair[0].landed_at, pair[0].segment_id))
    frames = [frame for entry, path in ordered for frame in _rows(entry, path)]
    return (
        pl.concat(frames) if frames else pl.DataFrame(schema={**TABLE_SCHEMA, "segment": pl.Int64})
    )


def _rows(entry: LandedSegment, path: Path) -> Iterator[pl.DataFrame]:
    frames = [pl.DataFrame(batch) for batch in batches(path)]
    if sum(frame.height for frame in frames) != entry.landed.received:
        raise damaged(path)
    if not frames:
        return
    yield (
        pl.concat(frames, rechunk=False)
        .with_columns(
            pl.from_epoch("created_at", time_unit="us").dt.replace_time_zone("UTC"),
            segment=pl.lit(entry.segment_id, pl.Int64),
            source=pl.lit(entry.stream.source.value),
            first_seen_at=pl.lit(entry.landed_at).dt.cast_time_unit("us"),
            raw_size=pl.col("raw").str.len_bytes().cast(pl.Int64),
        )
        .with_columns(pl.col("created_at").dt.date().alias(PARTITION))
    )


def fold(rows: pl.DataFrame, table: pl.LazyFrame) -> Folded:
    """Compare `rows` with each other and with the `table`; see the module for the rule."""
    texts = rows.unique(_TEXT, keep="first", maintain_order=True)
    stored = Stored(table, texts)
    fresh = texts.join(stored.texts, on=_TEXT, how="anti", maintain_order="left")
    fresh = fresh.join(
        stored.texts.select(_KEY).unique().with_columns(known=True),
        on=_KEY,
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("known").fill_null(False))
    disputed = fresh.select(pl.col("known") | pl.struct(_KEY).is_duplicated()).to_series()
    new = fresh
    if disputed.any():
        new = pl.concat([fresh.remove(disputed), _settled(fresh.filter(disputed), stored)])
    new = new.with_columns(conflict=pl.col("known") | ~pl.struct(_KEY).is_first_distinct())
    return Folded(
        new.sort("created_at", "id").select(TABLE_COLUMNS),
        _counts(rows, new),
        seen_again(rows, stored.texts, new),
    )


def _settled(disputed: pl.DataFrame, stored: Stored) -> pl.DataFrame:
    """The first row of every value that the table does not hold yet."""
    valued = disputed.with_columns(content=_content()).unique(
        _VALUE, keep="first", maintain_order=True
    )
    values = stored.values(disputed.filter("known")["id"])
    return valued.join(values, on=_VALUE, how="anti", maintain_order="left").drop("content")


def _content() -> pl.Expr:
    return pl.col("raw").map_batches(
        lambda texts: pl.Series([content_digest(text) for text in texts], dtype=pl.Binary),
        return_dtype=pl.Binary,
        is_elementwise=True,
    )


def _counts(rows: pl.DataFrame, new: pl.DataFrame) -> dict[int, MergeCounts]:
    stored = new.group_by("segment").agg(stored=pl.len(), conflicts=pl.col("conflict").sum())
    table = (
        rows.group_by("segment")
        .agg(received=pl.len())
        .join(stored, on="segment", how="left")
        .with_columns(pl.col("stored", "conflicts").fill_null(0))
    )
    return {
        segment: MergeCounts(received, stored, received - stored, conflicts)
        for segment, received, stored, conflicts in table.select(
            "segment", "received", "stored", "conflicts"
        ).iter_rows()
    }


class Stored:
    """What the table holds under the keys of some received rows.

    Looked for where an equal record can be. Texts equal as JSON carry the same CreationTime, so
    they lie on the same day. A record without readable CreationTime is placed by what differs from
    one reading to the next: it is looked for among its like on all days, which the statistics of
    the files keep cheap. The same Id with other content on another day is therefore stored, as it
    must be, but counted as a conflict only by the report.
    """

    def __init__(self, table: pl.LazyFrame, rows: pl.DataFrame) -> None:
        days = rows[PARTITION].unique().sort().to_list()
        if None in days:
            raise ValueError("a received record lies in no day")
        self._slots = [table.filter(pl.col(PARTITION).is_in(days))]
        if (rows["placed_by"] != PlacedBy.CREATION_TIME).any():
            elsewhere = ~pl.col(PARTITION).is_in(days)
            misplaced = pl.col("placed_by") > int(PlacedBy.CREATION_TIME)
            self._slots.append(table.filter(elsewhere, misplaced))
        self.texts = self._look_up(rows["id"], pl.col("digest", "source"))

    def values(self, ids: pl.Series) -> pl.DataFrame:
        """`id`, `keyless`, `content` of the stored variants; texts pass by in a stream."""
        return self._look_up(ids, _content().alias("content"))

    def _look_up(self, ids: pl.Series, column: pl.Expr) -> pl.DataFrame:
        """What is stored under `ids`, keyless or not: whoever compares, compares the whole key."""
        found = [
            place.filter(pl.col("id").is_in(ids.implode())).select(*_KEY, column).unique()
            for place in self._slots
        ]
        return pl.concat(pl.collect_all(found, engine="streaming"))
