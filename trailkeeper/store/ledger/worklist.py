"""The feed's work list: which blobs are known, which are to be fetched, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Connection,
    Text,
    bindparam,
    delete,
    literal_column,
    or_,
    select,
    update,
)

from trailkeeper.model.feed.blob import (
    LOOK_AGAIN,
    Blob,
    BlobLag,
    BlobMark,
    BlobState,
    Missing,
    Work,
)
from trailkeeper.model.segment import Purpose, SegmentState
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window
from trailkeeper.store import schema
from trailkeeper.store.engines import insert_into
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.lags import keep_lags
from trailkeeper.store.ledger.rows import AnyRow, batches
from trailkeeper.store.schema import blobs, notes, segments

_OPEN = (BlobState.LISTED.value, BlobState.SET_ASIDE.value, BlobState.LOST.value)
"""the words of the partial index"""
_HOLDS_UP = 8
"""failed tries of a poll, in ten minutes, after which the next one is planned all the same: more,
and a feed that is back waits longer; fewer, and more polls pile up meanwhile"""


class BlobWorklist(OverEngine):
    def list_blobs(
        self, tenant: str, listed: Sequence[Blob], window: Window, now: datetime
    ) -> Work:
        """One short read when nothing is new: a re-list costs the ledger no write."""
        with self._reading() as connection:
            known = _known(connection, tenant, listed)
            new = [blob for blob in listed if blob.content_id not in known]
            if not new:
                return _open(connection, tenant, listed, window, now)
        with self._writing() as connection:
            statement = insert_into(connection, blobs).on_conflict_do_nothing()
            connection.execute(statement, [_row(tenant, blob, now) for blob in new])
            return _open(connection, tenant, listed, window, now)

    def waiting_polls(self, source: Source, now: datetime) -> set[str]:
        query = select(segments.c.tenant).where(
            schema.in_state(*schema.OPEN),
            segments.c.source == source.value,
            segments.c.purpose == Purpose.INCREMENTAL.value,
            segments.c.attempts < _HOLDS_UP,
            or_(segments.c.due_at <= now, segments.c.attempts > 0),
        )
        with self._reading() as connection:
            return set(connection.scalars(query))

    def blob_lags(self, tenant: str | None, since: datetime, until: datetime) -> list[BlobLag]:
        query = (
            select(
                blobs.c.content_type,
                blobs.c.created_at,
                segments.c.finished_at,
                blobs.c.records,
                blobs.c.lag_seconds,
            )
            .join(segments, segments.c.id == blobs.c.segment_id)
            .where(
                segments.c.source == Source.ACTIVITY.value,
                schema.in_state(SegmentState.MERGED),
                segments.c.finished_at >= since,
                segments.c.finished_at < until,
            )
        )
        if tenant is not None:
            query = query.where(segments.c.tenant == tenant)
        with self._reading() as connection:
            return [BlobLag(*row) for row in connection.execute(query)]

    def claim(self, key: str, now: datetime, older_than: datetime) -> bool:
        with self._writing() as connection:
            values = {"value": "", "noted_at": now}
            claimed = connection.execute(
                insert_into(connection, notes)
                .values(key=key, **values)
                .on_conflict_do_update(
                    index_elements=["key"], set_=values, where=notes.c.noted_at < older_than
                )
            )
            return claimed.rowcount > 0

    def forget_blobs(self, expired_before: datetime) -> int:
        expired = blobs.c.expires_at < expired_before
        with self._writing() as connection:
            keep_lags(connection, expired, expired_before)
            return connection.execute(delete(blobs).where(expired)).rowcount


def mark_blobs(
    connection: Connection, segment_id: int, marks: Sequence[BlobMark], now: datetime
) -> None:
    """Record what became of the segment's blobs; one that is done stays done."""
    if not marks:
        return
    tenant = connection.scalars(_TENANT, {"segment": segment_id}).one()
    rows = [{**_mark_row(tenant, segment_id, mark), "now": now} for mark in marks]
    connection.execute(_MARK, rows)


_TENANT = select(segments.c.tenant).where(segments.c.id == bindparam("segment"))
_MARK = (
    update(blobs)
    .where(
        blobs.c.tenant == bindparam("its_tenant"),
        blobs.c.content_id == bindparam("its_id"),
        blobs.c.state != BlobState.DONE.value,
    )
    .values(
        state=bindparam("new_state"),
        attempts=bindparam("new_attempts"),
        evidence=bindparam("new_evidence"),
        records=bindparam("new_records"),
        lag_seconds=bindparam("new_lag"),
        segment_id=bindparam("new_segment"),
        tried_at=bindparam("now"),
    )
)


def _mark_row(tenant: str, segment_id: int, mark: BlobMark) -> dict[str, object]:
    return {
        "its_tenant": tenant,
        "its_id": mark.content_id,
        "new_state": mark.state.value,
        "new_attempts": mark.attempts,
        "new_evidence": mark.evidence,
        "new_records": mark.records,
        "new_lag": mark.lag_seconds,
        "new_segment": segment_id if mark.state is BlobState.DONE else None,
    }


def _known(connection: Connection, tenant: str, listed: Sequence[Blob]) -> set[str]:
    found: set[str] = set()
    for batch in batches([blob.content_id for blob in listed]):
        found.update(connection.scalars(_KNOWN, {"its_tenant": tenant, "ids": list(batch)}))
    return found


def _open(
    connection: Connection, tenant: str, listed: Sequence[Blob], window: Window, now: datetime
) -> Work:
    """What is not done: created in the window, or listed although created elsewhere."""
    asked = {"its_tenant": tenant, "start": window.start, "end": window.end}
    rows = list(connection.execute(_NOT_DONE_WITHIN, asked))
    strange = [blob.content_id for blob in listed if not window.contains(blob.created_at)]
    for batch in batches(strange):
        rows += connection.execute(_NOT_DONE_OF, {"its_tenant": tenant, "ids": list(batch)})
    rows.sort(key=lambda row: (row.created_at, row.content_id))
    due = [row for row in rows if _is_due(row, now)]
    rest = [row for row in rows if not _is_due(row, now)]
    return Work([_blob(row) for row in due], [_missing(row) for row in rest])


_OF_TENANT = blobs.c.tenant == bindparam("its_tenant")
_OF_IDS = blobs.c.content_id.in_(bindparam("ids", expanding=True))
_KNOWN = select(blobs.c.content_id).where(_OF_TENANT, _OF_IDS)
_NOT_DONE = select(blobs).where(
    _OF_TENANT,
    # in constants, as the partial index spells it
    blobs.c.state.in_([literal_column(f"'{state}'", Text) for state in _OPEN]),
)
_NOT_DONE_OF = _NOT_DONE.where(_OF_IDS)
_NOT_DONE_WITHIN = _NOT_DONE.where(
    blobs.c.created_at >= bindparam("start"), blobs.c.created_at < bindparam("end")
)


def _is_due(row: AnyRow, now: datetime) -> bool:
    if row.state == BlobState.SET_ASIDE.value:
        return bool(row.tried_at <= now - LOOK_AGAIN)
    return bool(row.state == BlobState.LISTED.value)


def _missing(row: AnyRow) -> Missing:
    return Missing(row.created_at, row.state == BlobState.LOST.value, row.evidence)


def _blob(row: AnyRow) -> Blob:
    return Blob(
        row.content_type,
        row.content_id,
        row.uri,
        row.created_at,
        row.expires_at,
        row.attempts,
    )


def _row(tenant: str, blob: Blob, now: datetime) -> dict[str, object]:
    return {
        "tenant": tenant,
        "content_id": blob.content_id,
        "content_type": blob.content_type,
        "uri": blob.uri,
        "created_at": blob.created_at,
        "expires_at": blob.expires_at,
        "state": BlobState.LISTED.value,
        "attempts": 0,
        "listed_at": now,
        "records": 0,
        "lag_seconds": 0,
        "evidence": "",
    }
