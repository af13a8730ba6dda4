"""The first tables: what is planned, owned, landed, merged, proven and owed.

A migration spells its types out: it must stay as it was when the code around it moves on.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger  # microseconds since 1970 UTC


def upgrade() -> None:
    _streams()
    _merges()
    _segments()
    _segment_identity()
    _segment_questions()
    _findings()
    _outbox()
    _small_tables()


def downgrade() -> None:
    for table in ("outbox", "notes", "parkings", "findings", "segments", "merges", "streams"):
        op.drop_table(table)


def _big() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _streams() -> None:
    op.create_table(
        "streams",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("first_at", INSTANT),
        sa.Column("fresh_until", INSTANT),
        sa.Column("begun_at", INSTANT),
        sa.Column("reread_until", sa.Text, nullable=False),
        sa.Column("postponed_until", INSTANT),
        sa.Column("leased_at", INSTANT),
        sa.PrimaryKeyConstraint("tenant", "source", "content_type", name="pk_streams"),
    )


def _merges() -> None:
    op.create_table(
        "merges",
        sa.Column("id", _big(), sa.Identity(), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("deadline_at", INSTANT, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_merges"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_merges_open", "merges", ["tenant"], unique=True, **_where("closed_at IS NULL")
    )


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("id", _big(), sa.Identity(), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("start_at", INSTANT, nullable=False),
        sa.Column("end_at", INSTANT, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("deadline_at", INSTANT),
        sa.Column("error", sa.Text),
        sa.Column("file", sa.Text),
        sa.Column("file_kept", sa.Boolean, nullable=False),
        *(_count(name) for name in ("received", "size", "requests", "foreign_rows")),
        sa.Column("landed_at", INSTANT),
        sa.Column("merge_id", sa.BigInteger),
        sa.Column("finished_at", INSTANT),
        *(_count(name) for name in ("stored", "duplicates", "conflicts")),
        sa.ForeignKeyConstraint(["merge_id"], ["merges.id"], name="fk_segments_merges"),
        sa.ForeignKeyConstraint(
            ["tenant", "source", "content_type"],
            ["streams.tenant", "streams.source", "streams.content_type"],
            name="fk_segments_streams",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
        sqlite_autoincrement=True,
    )


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _segment_identity() -> None:
    identity = ["tenant", "source", "content_type", "start_at", "end_at", "purpose", "round"]
    op.create_index(
        "uq_segments_identity",
        "segments",
        identity,
        unique=True,
        **_where("purpose NOT IN ('collect', 'retry')"),
    )
    op.create_index(
        "uq_segments_repeatable",
        "segments",
        identity,
        unique=True,
        **_where("purpose IN ('collect', 'retry') AND state IN ('planned', 'leased', 'landed')"),
    )


def _segment_questions() -> None:
    stream = ["tenant", "source", "content_type"]
    indexes: list[tuple[str, list[str | sa.TextClause], str]] = [
        (
            "ix_segments_open",
            [*stream, "rank", sa.text("start_at DESC"), "id", "state", "due_at", "deadline_at"],
            "state IN ('planned', 'leased')",
        ),
        ("ix_segments_leased", [*stream, "deadline_at"], "state = 'leased'"),
        (
            "ix_segments_unfinished",
            ["tenant", "source", "start_at"],
            "state IN ('planned', 'leased', 'landed')",
        ),
        ("ix_segments_landed", ["tenant", "landed_at", "id"], "state = 'landed'"),
        ("ix_segments_kept", ["finished_at"], "file_kept AND state = 'merged'"),
    ]
    for name, columns, condition in indexes:
        op.create_index(name, "segments", columns, **_where(condition))
    op.create_index("ix_segments_stream", "segments", [*stream, "start_at"])
    op.create_index("ix_segments_merge", "segments", ["merge_id"])


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", _big(), sa.Identity(), nullable=False),
        sa.Column("segment_id", _big(), nullable=False),
        sa.Column("start_at", INSTANT, nullable=False),
        sa.Column("end_at", INSTANT, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("observed_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["segment_id"], ["segments.id"], name="fk_findings_segments", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_findings"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_findings_segment", "findings", ["segment_id"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _big(), sa.Identity(), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("recipients", sa.Text, nullable=False),
        sa.Column("rendered", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("deadline_at", INSTANT),
        sa.Column("queued_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.Column("reply", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("tenant", "month", "revision", name="uq_outbox_tenant_month_revision"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_owed", "outbox", ["due_at"], **_where("state IN ('queued', 'sending')")
    )


def _small_tables() -> None:
    op.create_table(
        "parkings",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("parked_at", INSTANT, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("retry_at", INSTANT),
        sa.PrimaryKeyConstraint("tenant", "source", name="pk_parkings"),
    )
    op.create_table(
        "notes",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("noted_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_notes"),
    )
