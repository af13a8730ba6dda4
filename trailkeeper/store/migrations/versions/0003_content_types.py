"""Parking of single content types; reports of months that are not over; what was measured by day.

A migration spells its types out: it must stay as it was when the code around it moves on.
"""

from datetime import UTC, datetime, timedelta

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
    _match_from_tomorrow()


def downgrade() -> None:
    op.execute("DELETE FROM notes WHERE key LIKE 'sightings_forgotten/%'")
    op.drop_table("measures")
    op.drop_column("outbox", "preliminary")
    op.execute("DELETE FROM parkings WHERE content_type != ''")
    _made_anew(_parkings("tenant", "source"), {})


def _match_from_tomorrow() -> None:
    """Which source brought a record as well was not kept so far: what occurred until today would
    look as if the second source had missed it."""
    now = datetime.now(UTC)
    values = {"day": str(now.date() + timedelta(days=1)), "now": int(now.timestamp() * 1_000_000)}
    op.get_bind().execute(
        sa.text(
            "INSERT INTO notes (key, value, noted_at) "
            "SELECT DISTINCT 'sightings_forgotten/' || tenant, :day, :now FROM segments"
        ),
        values,
    )


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
