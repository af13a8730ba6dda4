"""Parking of single content types; reports of months that are not over; what was measured by day.

A migration spells its types out: it must stay as it was when the code around it moves on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger  # microseconds since 1970 UTC


def upgrade() -> None:
    _made_anew(_parkings("tenant", "source", "content_type"), {"content_type": ""})
    op.add_column(
        "outbox", sa.Column("preliminary", sa.Boolean, nullable=False, server_default=sa.false())
    )

    op.create_table(
        "measures",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("measured_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "topic", "day", name="pk_measures"),
    )


def downgrade() -> None:
    op.drop_table("measures")
    op.drop_column("outbox", "preliminary")
    op.execute("DELETE FROM parkings WHERE content_type != ''")
    _made_anew(_parkings("tenant", "source"), {})


def _parkings(*key: str) -> list[sa.schema.SchemaItem]:
    return [
        *(sa.Column(name, sa.Text, nullable=False) for name in key),
        sa.Column("parked_at", INSTANT, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("retry_at", INSTANT),
        sa.PrimaryKeyConstraint(*key, name="pk_parkings"),
    ]


def _made_anew(columns: list[sa.schema.SchemaItem], more: dict[str, str]) -> None:
    """The table with another key. SQLite cannot alter one, and there are few rows."""
    connection = op.get_bind()
    rows = [dict(row) for row in connection.execute(sa.text("SELECT * FROM parkings")).mappings()]
    op.drop_table("parkings")
    table = op.create_table("parkings", *columns)
    kept = set(table.c.keys())
    op.bulk_insert(table, [{k: v for k, v in {**row, **more}.items() if k in kept} for row in rows])
