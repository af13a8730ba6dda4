"""When the records of a day were first seen by the search: in columns, no text read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from trailkeeper.model.measures.spread import STEP, Spread
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window
from trailkeeper.store.lake_figures import NO_VALUE

_TIME = pl.Datetime("us", "UTC")


def arrivals(
    lake: pl.LazyFrame,
    sightings: pl.LazyFrame,
    source: Source,
    looks: Sequence[tuple[Window, datetime]],
    on_time: timedelta,
) -> dict[str, Spread]:
    """By workload: from occurrence to first seen by `source`, of records in the looks' windows.

    `looks`: disjoint, each with when its time was first asked for. What was seen within `on_time`
    of that had arrived by then, and counts in the first class, however late the look itself was.
    """
    windows = pl.LazyFrame(
        {
            "start": [window.start for window, _ in looks],
            "end": [window.end for window, _ in looks],
            "asked_at": [asked_at for _, asked_at in looks],
        },
        schema={"start": _TIME, "end": _TIME, "asked_at": _TIME},
    ).sort("start")
    seconds = (pl.col("first_seen_at") - pl.col("created_at")).dt.total_seconds()
    late = pl.col("first_seen_at") - pl.col("asked_at") > on_time
    place = ((seconds.clip(lower_bound=1).log() / math.log(STEP)) - 1e-9).ceil().cast(pl.Int64)
    counted = (
        _seen_by(lake, sightings, source)
        .sort("created_at")
        .join_asof(windows, left_on="created_at", right_on="start")
        .filter(pl.col("created_at") < pl.col("end"))
        .group_by("workload", pl.when(late).then(place).otherwise(0).alias("class"))
        .agg(pl.len())
        .collect(engine="streaming")
    )
    by_workload: dict[str, dict[int, int]] = defaultdict(dict)
    for workload, number, count in counted.iter_rows():
        by_workload[workload][number] = count
    return {workload: Spread(counts) for workload, counts in sorted(by_workload.items())}


def _seen_by(lake: pl.LazyFrame, sightings: pl.LazyFrame, source: Source) -> pl.LazyFrame:
    """Each record that `source` brought, with when it did so first."""
    facts = lake.select(
        "id", "created_at", "source", "first_seen_at", pl.col("workload").fill_null(NO_VALUE)
    )
    first = facts.filter(pl.col("source") == source.value).drop("source")
    again = sightings.filter(pl.col("source") == source.value).select("id", "first_seen_at")
    second = facts.drop("first_seen_at", "source").join(again, on="id")
    return (
        pl.concat([first, second.select(first.collect_schema().names())])
        .group_by("id")
        .agg(pl.col("created_at").min(), pl.col("workload").min(), pl.col("first_seen_at").min())
    )
