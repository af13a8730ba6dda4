"""What was learned of a tenant's search is kept by stream, not by tenant.

Density and lateness were noted as `density/TENANT` and `lateness/TENANT`, arrivals measured under
`arrival`: all three were of the source `exchange`.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE notes SET key = key || '/exchange' "
        "WHERE (key LIKE 'density/%' OR key LIKE 'lateness/%') AND key NOT LIKE '%/%/%'"
    )
    op.execute("UPDATE measures SET topic = 'arrival/exchange' WHERE topic = 'arrival'")


def downgrade() -> None:
    op.execute(
        "UPDATE notes SET key = substr(key, 1, length(key) - length('/exchange')) "
        "WHERE key LIKE 'density/%/exchange' OR key LIKE 'lateness/%/exchange'"
    )
    op.execute("UPDATE measures SET topic = 'arrival' WHERE topic = 'arrival/exchange'")
