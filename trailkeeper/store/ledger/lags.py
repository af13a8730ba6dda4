"""How long the feed's records were on their way, by content type.

Asked from the blobs while they are known; when they are forgotten, their lags are kept by day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    func,
    select,
    true,
    tuple_,
    type_coerce,
)

from trailkeeper.model.feed.lag import ContentLag, summed
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.segment import SegmentState
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window
from trailkeeper.store import schema
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import batches
from trailkeeper.store.schema import blobs, measures, segments, streams

_TOPIC = "lag/"
_DAY = 86_400 * 1_000_000
_FIRST_DAY = date(1970, 1, 1)
_Key = tuple[str, str, str]
"""tenant, topic, day as ISO date"""


class Measures(OverEngine):
    def measure(self, tenant: str, topic: str, day: date, value: str, now: datetime) -> None:
        with self._writing() as connection:
            _upsert(connection, {(tenant, topic, day.isoformat()): value}, now)

    def measures(self, tenant: str, topic: str, first: date, last: date) -> dict[date, str]:
        query = (
            select(measures.c.day, measures.c.value)
            .where(
                measures.c.tenant == tenant,
                measures.c.topic == topic,
                measures.c.day.between(first.isoformat(), last.isoformat()),
            )
            .order_by(measures.c.day)
        )
        with self._reading() as connection:
            rows = connection.execute(query)
            return {date.fromisoformat(row.day): row.value for row in rows}

    def lags(self, tenant: str, window: Window) -> list[ContentLag]:
        with self._reading() as connection:
            kept = _kept(connection, tenant, window)
            theirs = blobs.c.tenant == tenant
            inside = (blobs.c.created_at >= window.start) & (blobs.c.created_at < window.end)
            known = _known(connection, theirs & inside)
        named = (ContentLag(topic.removeprefix(_TOPIC), *halves) for (_, topic, _), halves in known)
        return summed([*kept, *named])


def keep_lags(connection: Connection, forgotten: ColumnElement[bool], now: datetime) -> None:
    """Add the lags of blobs that are about to be forgotten to those of their days."""
    new = dict(_known(connection, forgotten))
    values = {}
    for key, halves in new.items():
        values[key] = ContentLag(key[1].removeprefix(_TOPIC), *halves)
    for batch in batches(list(values)):
        place = tuple_(measures.c.tenant, measures.c.topic, measures.c.day)
        for row in connection.execute(select(measures).where(place.in_(batch))):
            key = (row.tenant, row.topic, row.day)
            values[key] += ContentLag.from_text(values[key].content_type, row.value)
    _upsert(connection, {key: lag.to_text() for key, lag in values.items()}, now)


def _kept(connection: Connection, tenant: str, window: Window) -> list[ContentLag]:
    last = (window.end - timedelta(microseconds=1)).date()
    query = select(measures.c.topic, measures.c.value).where(
        measures.c.tenant == tenant,
        measures.c.topic.like(f"{_TOPIC}%"),
        measures.c.day.between(window.start.date().isoformat(), last.isoformat()),
    )
    rows = connection.execute(query)
    return [ContentLag.from_text(row.topic.removeprefix(_TOPIC), row.value) for row in rows]


def _known(
    connection: Connection, which: ColumnElement[bool]
) -> Iterable[tuple[_Key, tuple[Spread, Spread]]]:
    """Of blobs whose records are in the lake. The database counts: there may be millions."""
    created = type_coerce(blobs.c.created_at, BigInteger)
    ours = (type_coerce(segments.c.finished_at, BigInteger) - created) // 1_000_000
    theirs_by, ours_by = (
        _grouped(blobs.c.lag_seconds, true()),
        _grouped(ours, blobs.c.created_at >= streams.c.begun_at),
    )
    found: dict[_Key, list[list[tuple[float, int]]]] = defaultdict(lambda: [[], []])
    for half, query in enumerate((theirs_by, ours_by)):
        for row in connection.execute(query.where(which)):
            day = (_FIRST_DAY + timedelta(days=int(row.day))).isoformat()
            key = (row.tenant, _TOPIC + row.content_type, day)
            found[key][half].append((float(row.seconds), int(row.records)))
    return [(key, (Spread.of(a), Spread.of(b))) for key, (a, b) in found.items()]


def _grouped(seconds: ColumnElement[Any], which: ColumnElement[bool]) -> Select[Any]:
    """Records by tenant, day of availability, content type and whole seconds."""
    day = (type_coerce(blobs.c.created_at, BigInteger) // _DAY).label("day")
    key = (blobs.c.tenant, day, blobs.c.content_type, seconds.label("seconds"))
    return (
        select(*key, func.sum(blobs.c.records).label("records"))
        .join(segments, segments.c.id == blobs.c.segment_id)
        .join(
            streams,
            (streams.c.tenant == segments.c.tenant)
            & (streams.c.source == segments.c.source)
            & (streams.c.content_type == segments.c.content_type),
        )
        .where(
            segments.c.source == Source.ACTIVITY.value,
            schema.in_state(SegmentState.MERGED),
            blobs.c.records > 0,
            which,
        )
        .group_by(*key)
    )


def _upsert(connection: Connection, values: dict[_Key, str], now: datetime) -> None:
    if not values:
        return
    statement = insert_into(connection, measures)
    statement = statement.on_conflict_do_update(
        index_elements=["tenant", "topic", "day"],
        set_={
            "value": statement.excluded.value,
            "measured_at": statement.excluded.measured_at,
        },
    )
    rows: Sequence[dict[str, object]] = [
        {"tenant": tenant, "topic": topic, "day": day, "value": value, "measured_at": now}
        for (tenant, topic, day), value in values.items()
    ]
    connection.execute(statement, rows)
