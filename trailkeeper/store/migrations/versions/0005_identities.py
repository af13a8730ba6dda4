"""Whose records are kept under which tenant's name.

Empty at first: which directory a name stood for so far, only the configuration knows, and the first
use of each name writes it down.

A migration spells its types out: it must stay as it was when the code around it moves on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger  # microseconds since 1970 UTC


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("cloud", sa.Text, nullable=False),
        sa.Column("adopted_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_identities"),
    )


def downgrade() -> None:
    op.drop_table("identities")
