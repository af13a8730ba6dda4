"""Batches of landed segments on their way into the lake, and the landing files that wait for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
    true,
    update,
)

from trailkeeper.errors import Bug, LeaseLost
from trailkeeper.model.segment import LandedSegment, Merge, MergeCounts, SegmentState
from trailkeeper.process.crash_points import durable
from trailkeeper.store import schema
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import LANDED_COLUMNS, AnyRow, batches, landed_of
from trailkeeper.store.schema import merges, segments, to_micros

# PostgreSQL's advisory locks are numbers shared by the whole database: these are ours.
_OPENING_LOCK = 0x7472_6B02


class Merging(OverEngine):
    def tenants_to_merge(self) -> list[str]:
        query = (
            select(segments.c.tenant)
            .where(schema.in_state(SegmentState.LANDED))
            .group_by(segments.c.tenant)
            .order_by(func.min(segments.c.landed_at), segments.c.tenant)
        )
        with self._reading() as connection:
            return list(connection.scalars(query))

    def open_merge(
        self, tenant: str, owner: str, now: datetime, until: datetime, limit_bytes: int
    ) -> Merge | None:
        its = {"its_tenant": tenant}
        with self._reading() as connection:  # mostly the second question of a merge: is there more?
            if not connection.scalar(_ANYTHING, its):
                return None
        with durable("merge.open"), self._writing() as connection:
            row = connection.execute(_OPEN_MERGE, its).first()
            if row is not None:
                return _reclaimed(connection, row, owner, now, until)
            return _opened(connection, tenant, owner, now, until, limit_bytes)

    def renew_merge(self, merge: Merge, until: datetime) -> None:
        with self._writing() as connection:
            held = {"merge": merge.id, "its_epoch": merge.epoch}
            if connection.execute(_RENEW, {**held, "until": until}).rowcount == 0:
                raise taken_over(merge)

    def release_merge(self, merge: Merge, now: datetime) -> None:
        with self._writing() as connection:
            held = {"merge": merge.id, "its_epoch": merge.epoch}
            connection.execute(_RENEW, {**held, "until": now})

    def close_merge(self, merge: Merge, counts: dict[int, MergeCounts], now: datetime) -> None:
        with durable("merge.close"), self._writing() as connection:
            held = {"merge": merge.id, "its_epoch": merge.epoch}
            if connection.execute(_CLOSE, {**held, "now": now}).rowcount == 0:
                if _closed_already(connection, merge):
                    return
                raise taken_over(merge)
            if merge.entries:
                rows = [_counts_row(merge, entry, counts, now) for entry in merge.entries]
                connection.execute(_MARK_MERGED, rows)

    def merged_files(self, before: datetime) -> list[LandedSegment]:
        query = (
            select(*LANDED_COLUMNS)
            .where(
                text("segments.file_kept"),  # bare, as the partial index spells it
                schema.in_state(SegmentState.MERGED),
                segments.c.finished_at < before,
            )
            .order_by(segments.c.finished_at, segments.c.id)
        )
        with self._reading() as connection:
            return [landed_of(row) for row in connection.execute(query)]

    def forget_files(self, segment_ids: Sequence[int]) -> None:
        with durable("reap.forget"), self._writing() as connection:
            for batch in batches(segment_ids):
                connection.execute(
                    update(segments)
                    .where(segments.c.id.in_(batch), schema.in_state(SegmentState.MERGED))
                    .values(file_kept=False)
                )

    def known_files(self) -> set[tuple[str, str]]:
        query = select(segments.c.tenant, segments.c.file).where(
            schema.in_state(SegmentState.LANDED)
        )
        with self._reading() as connection:
            return {(row.tenant, row.file) for row in connection.execute(query)}


_TENANT: BindParameter[str] = bindparam("its_tenant")
_LANDED_OF = and_(segments.c.tenant == _TENANT, schema.in_state(SegmentState.LANDED))
_OPEN_MERGE = select(merges).where(merges.c.tenant == _TENANT, merges.c.closed_at.is_(None))
_ANYTHING_LANDED = select(exists().where(_LANDED_OF))
_ANYTHING = select(
    or_(
        exists().where(_LANDED_OF),
        exists().where(merges.c.tenant == _TENANT, merges.c.closed_at.is_(None)),
    )
)
_NEWEST = select(func.max(merges.c.id))


def _reclaimed(
    connection: Connection, row: AnyRow, owner: str, now: datetime, until: datetime
) -> Merge | None:
    """The open merge under a new epoch, or None while its worker may still be at it."""
    taken = connection.execute(
        update(merges)
        .where(
            merges.c.id == row.id,
            merges.c.epoch == row.epoch,
            merges.c.closed_at.is_(None),
            merges.c.deadline_at <= now,
        )
        .values(owner=owner, epoch=row.epoch + 1, deadline_at=until)
    )
    if taken.rowcount == 0:
        return None
    found = connection.execute(_ENTRIES_OF, {"merge": row.id})
    return Merge(row.id, row.tenant, owner, row.epoch + 1, tuple(map(landed_of, found)))


def _opened(
    connection: Connection,
    tenant: str,
    owner: str,
    now: datetime,
    until: datetime,
    limit_bytes: int,
) -> Merge | None:
    """A new merge over the oldest landed segments, or None when nothing is landed."""
    if not connection.scalar(_ANYTHING_LANDED, {"its_tenant": tenant}):
        return None
    merge_id = _next_id(connection, now)
    opened = connection.execute(
        insert_into(connection, merges)
        .values(id=merge_id, tenant=tenant, owner=owner, epoch=1, deadline_at=until, opened_at=now)
        .on_conflict_do_nothing()
    )
    if opened.rowcount == 0:
        return None
    # Read only now that the merge is ours: before, another one could still have closed over them.
    asked = {"its_tenant": tenant, "most": limit_bytes}
    entries = tuple(map(landed_of, connection.execute(_OLDEST_ENTRIES, asked)))
    for batch in batches([entry.segment_id for entry in entries]):
        connection.execute(_JOIN, {"ids": list(batch), "merge": merge_id})
    return Merge(merge_id, tenant, owner, 1, entries)


def _next_id(connection: Connection, now: datetime) -> int:
    """Larger than every id before it, and at least the clock in microseconds.

    The lake skips a merge whose id it has committed. A ledger restored from a backup, or begun
    afresh beside an old lake, must therefore never hand out an id again that was lost with it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING_LOCK})
    newest = connection.scalar(_NEWEST) or 0
    return max(newest + 1, to_micros(now))


def _oldest_entries() -> Select[Any]:
    """Landed segments, oldest first, while their sizes sum up to the limit; at least one."""
    order = (segments.c.landed_at, segments.c.id)
    running = (
        select(
            *LANDED_COLUMNS,
            func.sum(segments.c.size).over(order_by=order, rows=(None, 0)).label("total"),
            func.row_number().over(order_by=order).label("place"),
        )
        .where(_LANDED_OF)
        .subquery()
    )
    return (
        select(running)
        .where(or_(running.c.total <= bindparam("most"), running.c.place == 1))
        .order_by(running.c.landed_at, running.c.id)
    )


_OLDEST_ENTRIES = _oldest_entries()
_ENTRIES_OF = (
    select(*LANDED_COLUMNS)
    .where(segments.c.merge_id == bindparam("merge"))
    .order_by(segments.c.landed_at, segments.c.id)
)
_JOIN = (
    update(segments)
    .where(segments.c.id.in_(bindparam("ids", expanding=True)))
    .values(merge_id=bindparam("merge"))
)


HELD = and_(
    merges.c.id == bindparam("merge"),
    merges.c.epoch == bindparam("its_epoch"),
    merges.c.closed_at.is_(None),
)
_CLOSE = update(merges).where(HELD).values(closed_at=bindparam("now"))
_RENEW = update(merges).where(HELD).values(deadline_at=bindparam("until"))


def taken_over(merge: Merge) -> LeaseLost:
    return LeaseLost(
        f"{merge.owner} no longer owns merge {merge.id} (epoch {merge.epoch})",
        "Nothing to do: whoever holds the merge now carries on.",
    )


def _closed_already(connection: Connection, merge: Merge) -> bool:
    """Did this very epoch close the merge, in a call whose answer was not heard?"""
    query = select(true()).where(
        merges.c.id == merge.id, merges.c.epoch == merge.epoch, merges.c.closed_at.is_not(None)
    )
    return connection.execute(query).first() is not None


def _counts_row(
    merge: Merge, entry: LandedSegment, counts: Mapping[int, MergeCounts], now: datetime
) -> dict[str, object]:
    if entry.segment_id not in counts:
        raise Bug(
            f"merge {merge.id} was committed without counts for segment {entry.segment_id}",
            "Report this with the log; the segment stays landed and loses nothing.",
            "merge-without-counts",
        )
    count = counts[entry.segment_id]
    return {
        "entry": entry.segment_id,
        "merge": merge.id,
        "received": count.received,
        "stored": count.stored,
        "duplicates": count.duplicates,
        "conflicts": count.conflicts,
        "now": now,
    }


_MARK_MERGED = (
    update(segments)
    .where(segments.c.id == bindparam("entry"), segments.c.merge_id == bindparam("merge"))
    .values(
        state=SegmentState.MERGED.value,
        finished_at=bindparam("now"),
        received=bindparam("received"),
        stored=bindparam("stored"),
        duplicates=bindparam("duplicates"),
        conflicts=bindparam("conflicts"),
    )
)
