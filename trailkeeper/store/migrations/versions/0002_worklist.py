"""The feed's work list: blobs that were listed, and what became of each.

A migration spells its types out: it must stay as it was when the code around it moves on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger  # microseconds since 1970 UTC
OPEN = sa.text("state IN ('listed', 'set_aside', 'lost')")


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("content_id", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("listed_at", INSTANT, nullable=False),
        sa.Column("tried_at", INSTANT),
        sa.Column("segment_id", sa.BigInteger),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("lag_seconds", sa.BigInteger, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "content_id", name="pk_blobs"),
    )
    op.create_index("ix_blobs_window", "blobs", ["tenant", "created_at"])
    op.create_index(
        "ix_blobs_open",
        "blobs",
        ["tenant", "created_at"],
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index("ix_blobs_segment", "blobs", ["segment_id"])
    op.create_index("ix_blobs_expiry", "blobs", ["expires_at"])


def downgrade() -> None:
    op.drop_table("blobs")
