"""Run by Alembic, over the connection and inside the transaction that `database.migrate` opened."""

from alembic import context

from trailkeeper.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by rebuilding it
)
context.run_migrations()
