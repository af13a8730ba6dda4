"""Match the records of a day by Id: in columns, a day at a time, no text read."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import polars as pl

from trailkeeper.model.measures.match import HOURS_NAMED, Match, Missed
from trailkeeper.model.measures.spread import STEP, Spread
from trailkeeper.model.stream import Source
from trailkeeper.store.lake_figures import NO_VALUE

_HOUR = pl.col("created_at").dt.truncate("1h")


def match_day(
    lake: pl.LazyFrame,
    sightings: pl.LazyFrame,
    hours: Collection[datetime],
    since: Mapping[Source, datetime | None],
    ignored: Sequence[int],
) -> Match:
    """Match what occurred in `hours` (the first instant of each), all of one day.

    `since`: the sources that are matched, each with when it began to be followed (None: never);
    `ignored`: record types that one of them is not asked for. A record that no source can bring
    twice under the same key, keyless or malformed, is left out.
    """
    wanted = lake.filter(
        _HOUR.is_in(list(hours)),
        ~pl.col("keyless"),
        ~pl.col("malformed"),
        ~pl.col("record_type").is_in(list(ignored)).fill_null(False),
    ).select("id", "source", "first_seen_at", "workload", "created_at")
    facts = wanted.group_by("id").agg(
        pl.col("created_at").min(), pl.col("workload").min().fill_null(NO_VALUE)
    )
    pairs = pl.concat([wanted.select("id", "source", "first_seen_at"), sightings])
    seen = pairs.group_by("id").agg(
        pl.col("first_seen_at").filter(pl.col("source") == source.value).min().alias(source.value)
        for source in since
    )
    matched = facts.join(seen, on="id", how="left").with_columns(hour=_HOUR)
    counted, *spreads = pl.collect_all(
        [_counted(matched, since), *(_spread(matched, *each) for each in since.items())],
        engine="streaming",
    )
    return Match(
        hours=len(hours),
        records=_by_workload(counted, "records"),
        missed={source: _by_workload(counted, source.value) for source in since},
        lags={
            source: Spread(dict(found.iter_rows()))
            for source, found in zip(since, spreads, strict=True)
            if not found.is_empty()
        },
        named=_named(counted, since),
    )


def _counted(matched: pl.LazyFrame, sources: Collection[Source]) -> pl.LazyFrame:
    """Records, and those that each source did not bring, by hour and workload."""
    missing = (pl.col(source.value).is_null().sum().alias(source.value) for source in sources)
    return matched.group_by("hour", "workload").agg(pl.len().alias("records"), *missing)


def _spread(matched: pl.LazyFrame, source: Source, since: datetime | None) -> pl.LazyFrame:
    """Classes of `measures.spread`, with counts: from occurrence to first seen by the source."""
    seconds = (pl.col(source.value) - pl.col("created_at")).dt.total_seconds()
    place = ((seconds.log() / math.log(STEP)) - 1e-9).ceil().cast(pl.Int64)
    place = pl.when(seconds <= 1).then(0).otherwise(place)
    followed = pl.col("created_at") >= since if since else pl.lit(False)
    return (
        matched.filter(pl.col(source.value).is_not_null(), followed)
        .group_by(place.alias("class"))
        .agg(pl.len())
    )


def _by_workload(counted: pl.DataFrame, column: str) -> dict[str, int]:
    sums = counted.group_by("workload").agg(pl.col(column).sum()).sort("workload")
    return {workload: count for workload, count in sums.iter_rows() if count}


def _named(counted: pl.DataFrame, sources: Collection[Source]) -> tuple[Missed, ...]:
    found = (
        Missed(row["hour"], row["workload"], source, row[source.value])
        for row in counted.sort("hour", "workload").iter_rows(named=True)
        for source in sources
        if row[source.value]
    )
    return tuple(found)[:HOURS_NAMED]
