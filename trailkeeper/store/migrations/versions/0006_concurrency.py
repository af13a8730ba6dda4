"""A stream's concurrency limit was noted as its pace."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE notes SET key = 'concurrency/' || substr(key, length('pace/') + 1) "
        "WHERE key LIKE 'pace/%'"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE notes SET key = 'pace/' || substr(key, length('concurrency/') + 1) "
        "WHERE key LIKE 'concurrency/%'"
    )
