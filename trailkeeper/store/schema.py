"""The tables of the ledger and the outbox, as the newest migration leaves them.

A test holds this file against the migrations on both databases. Two rules explain most of it:

* Every instant is an integer, microseconds since 1970 UTC (`Instant`): exact, sortable and the same
  on SQLite and PostgreSQL.
* The hot questions (what is due, what is landed) have partial indexes, so that their cost follows
  the work in hand and not the years behind it. SQLite proves such an index usable only when the
  query repeats the index's condition in constants, hence `in_state`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.types import TypeDecorator

from trailkeeper.model.segment import SegmentState
from trailkeeper.model.window import require_utc

REVISION = "0006"
"""The newest migration. A database that carries it is opened without loading Alembic."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC. Raises `ValueError` for a naive datetime."""
    return (require_utc(moment) - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as integer microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class Words(TypeDecorator[str]):
    """Free text from the outside: what a database refuses (NUL, lone surrogates) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        storable = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return storable.replace("\x00", "\ufffd")


# SQLite grows ids for ever only for a column declared exactly INTEGER PRIMARY KEY AUTOINCREMENT.
_BIG = BigInteger().with_variant(Integer(), "sqlite")
_OPEN = ("planned", "leased")
_UNFINISHED = ("planned", "leased", "landed")
REPEATABLE = ("collect", "retry")


def _words_in(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


def _partial(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

streams = Table(
    "streams",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("content_type", Text, primary_key=True),
    Column("first_at", Instant),  # watermark; null before the first planned window
    Column("fresh_until", Instant),
    Column("begun_at", Instant),
    Column("reread_until", Text, nullable=False),  # JSON list of microseconds or null
    Column("postponed_until", Instant),  # throttled until then
    Column("leased_at", Instant),  # when a segment was last leased: whose turn it is
)

merges = Table(
    "merges",
    metadata,
    Column("id", _BIG, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("deadline_at", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),  # null while open
    Index("uq_merges_open", "tenant", unique=True, **_partial("closed_at IS NULL")),
    sqlite_autoincrement=True,
)

segments = Table(
    "segments",
    metadata,
    Column("id", _BIG, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("rank", Integer, nullable=False),  # of the purpose; smaller goes first
    Column("round", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # grows at every lease
    Column("owner", Text),
    Column("deadline_at", Instant),  # of the lease; null unless leased
    Column("error", Words),  # of the last failed attempt
    Column("file", Text),  # landing file of the attempt that landed
    Column("file_kept", Boolean, nullable=False),  # the landing file is still on disk
    Column("received", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("foreign_rows", BigInteger, nullable=False),
    Column("landed_at", Instant),
    Column("merge_id", BigInteger, ForeignKey("merges.id")),
    Column("finished_at", Instant),  # merged or lost
    Column("stored", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("conflicts", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "source", "content_type"],
        ["streams.tenant", "streams.source", "streams.content_type"],
    ),
    sqlite_autoincrement=True,
)

_STREAM = ("tenant", "source", "content_type")
_IDENTITY = (*_STREAM, "start_at", "end_at", "purpose", "round")

Index(
    "uq_segments_identity",
    *(segments.c[name] for name in _IDENTITY),
    unique=True,
    **_partial(f"purpose NOT IN {_words_in(REPEATABLE)}"),
)
# What an operator asks for, and what is retried, may be asked for again once it has finished.
Index(
    "uq_segments_repeatable",
    *(segments.c[name] for name in _IDENTITY),
    unique=True,
    **_partial(
        f"purpose IN {_words_in(REPEATABLE)} AND state IN {_words_in(_UNFINISHED)}",
    ),
)
Index("ix_segments_stream", *(segments.c[name] for name in _STREAM), segments.c.start_at)
Index("ix_segments_merge", segments.c.merge_id)
Index(
    "ix_segments_open",
    *(segments.c[name] for name in (*_STREAM, "rank")),
    segments.c.start_at.desc(),
    *(segments.c[name] for name in ("id", "state", "due_at", "deadline_at")),
    **_partial(f"state IN {_words_in(_OPEN)}"),
)
Index(
    "ix_segments_leased",
    *(segments.c[name] for name in (*_STREAM, "deadline_at")),
    **_partial("state = 'leased'"),
)
Index(
    "ix_segments_unfinished",
    *(segments.c[name] for name in ("tenant", "source", "start_at")),
    **_partial(f"state IN {_words_in(_UNFINISHED)}"),
)
Index(
    "ix_segments_landed",
    *(segments.c[name] for name in ("tenant", "landed_at", "id")),
    **_partial("state = 'landed'"),
)
Index(
    "ix_segments_kept",
    segments.c.finished_at,
    **_partial("file_kept AND state = 'merged'"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", _BIG, Identity(), primary_key=True),
    Column("segment_id", _BIG, ForeignKey("segments.id", ondelete="CASCADE"), nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("observed_at", Instant, nullable=False),
    Column("reason", Words, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON object
    Index("ix_findings_segment", "segment_id"),
    sqlite_autoincrement=True,
)

parkings = Table(
    "parkings",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),  # empty: the whole tenant
    Column("content_type", Text, primary_key=True),  # empty: the whole source
    Column("parked_at", Instant, nullable=False),
    Column("code", Text, nullable=False),
    Column("summary", Words, nullable=False),
    Column("remedy", Words, nullable=False),
    Column("retry_at", Instant),  # null: only when a person resumes it
)

notes = Table(
    "notes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Words, nullable=False),
    Column("noted_at", Instant, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),  # of the directory, lower-case GUID
    Column("cloud", Text, nullable=False),
    Column("adopted_at", Instant, nullable=False),
)

measures = Table(
    "measures",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("day", Text, primary_key=True),  # YYYY-MM-DD, UTC
    Column("value", Text, nullable=False),  # JSON
    Column("measured_at", Instant, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("content_id", Text, primary_key=True),  # opaque, case-sensitive
    Column("content_type", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("created_at", Instant, nullable=False),  # when it became available
    Column("expires_at", Instant, nullable=False),  # as the feed says
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),  # failed looks
    Column("listed_at", Instant, nullable=False),
    Column("tried_at", Instant),  # the last look, good or bad
    Column("segment_id", BigInteger),  # that landed its records
    Column("records", BigInteger, nullable=False),
    Column("lag_seconds", BigInteger, nullable=False),  # occurrence to created_at, the median
    Column("evidence", Words, nullable=False),  # why it is not done
    Index("ix_blobs_window", "tenant", "created_at"),
    Index(
        "ix_blobs_open",
        "tenant",
        "created_at",
        **_partial("state IN ('listed', 'set_aside', 'lost')"),
    ),
    Index("ix_blobs_segment", "segment_id"),
    Index("ix_blobs_expiry", "expires_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _BIG, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("month", Text, nullable=False),  # YYYY-MM
    Column("revision", Integer, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("recipients", Text, nullable=False),  # JSON list
    Column("rendered", Text, nullable=False),  # JSON object, paths absolute
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # grows at every take
    Column("deadline_at", Instant),  # of the lease; null unless sending
    Column("queued_at", Instant, nullable=False),
    Column("finished_at", Instant),  # sent or refused
    Column("reply", Words),  # of the server that took the message
    Column("error", Words),  # of the last failed attempt
    Column("preliminary", Boolean, nullable=False),  # rendered before the month had ended
    UniqueConstraint("tenant", "month", "revision"),
    Index("ix_outbox_owed", "due_at", **_partial("state IN ('queued', 'sending')")),
    sqlite_autoincrement=True,
)

OPEN = (SegmentState.PLANNED, SegmentState.LEASED)
UNFINISHED = (SegmentState.PLANNED, SegmentState.LEASED, SegmentState.LANDED)


def in_state(*states: SegmentState) -> ColumnElement[bool]:
    """`state = 'x'` or `state IN ('x', 'y')` in constants, as the partial indexes spell it."""
    words = [literal_column(f"'{state.value}'", Text) for state in states]
    return segments.c.state == words[0] if len(words) == 1 else segments.c.state.in_(words)
