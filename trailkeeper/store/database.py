"""Opening the database of the ledger: made, migrated, or refused with a reason.

Migrations run inside one transaction under a lock, so any number of processes may start at once:
the first migrates, the others wait and find it done.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from trailkeeper.errors import ConfigurationError, Unavailable
from trailkeeper.store import schema
from trailkeeper.store.engines import build_engine, reading, writing

MIGRATIONS = Path(__file__).parent / "migrations"

# PostgreSQL's advisory locks are numbers shared by the whole database: these are ours.
_MIGRATION_LOCK = 0x7472_6B01
_one_thread = threading.Lock()  # Alembic's context is one per process


def open_database(url: str, *, create: bool = True) -> Engine:
    """An engine over a database whose tables are as this code expects them.

    `create`: make the file and its folder, and migrate. Without it a missing or older database is
    refused. Where the disk is read-only, so is the engine.

    Connects, so call it after any fork. Raises `Unavailable` when the database is out of
    reach, damaged or not writable, `ConfigurationError` when the URL cannot be used or a newer
    Trailkeeper wrote the database.
    """
    parsed = _parsed(url)
    read_only = False
    if parsed.get_backend_name() == "sqlite":
        _prepare_file(parsed, create)
        read_only = _is_read_only(Path(parsed.database or ""))
    engine = build_engine(parsed, read_only=read_only)
    try:
        if _revision_of(engine) != schema.REVISION:
            _refuse_unless(create and not read_only, parsed)
            migrate(parsed)
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate(url: URL) -> None:
    """Bring the database to the newest revision. Raises as `open_database` does."""
    # Loaded here only: most processes open a database that is up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # ConfigParser reads a percent sign in a path as the start of a reference.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    # Rebuilding a table in SQLite drops it first, which would cascade with foreign keys on.
    engine = build_engine(url, foreign_keys=False)
    try:
        with _one_thread, writing(engine) as connection:
            _lock(connection)
            _refuse_newer(_revision(connection), known, url)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "service.ledger is not a database URL",  # not shown: it may hold a password
            "Write sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME.",
        ) from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    raise ConfigurationError(
        f"service.ledger: {parsed.render_as_string()} cannot hold a ledger",
        "Write sqlite:///PATH (one machine) or postgresql+psycopg://USER@HOST/NAME (several).",
    )


def _prepare_file(url: URL, create: bool) -> None:
    path = Path(url.database or "")
    if not create and not path.exists():
        raise _missing(url)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unavailable(
            f"the folder {path.parent} for the ledger cannot be made: {reason}",
            "Make it writable for this user, or move the ledger with service.ledger.",
        ) from None


def _is_read_only(path: Path) -> bool:
    """A ledger on a snapshot or a mounted backup: there to be looked at."""
    return path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _refuse_unless(create: bool, url: URL) -> None:
    if not create:
        raise _missing(url)


def _missing(url: URL) -> Unavailable:
    return Unavailable(
        f"there is no up-to-date ledger at {url.render_as_string()}",
        "Start the service once to make or migrate it, or correct service.ledger.",
    )


def _revision_of(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    """The revision that the database carries; None when it was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _refuse_newer(revision: str | None, known: set[str], url: URL) -> None:
    if revision is not None and revision not in known:
        raise ConfigurationError(
            f"the ledger {url.render_as_string()} was written by a newer Trailkeeper"
            f" (revision {revision}, this one knows up to {schema.REVISION})",
            "Upgrade Trailkeeper on this machine, or point service.ledger at another database.",
        )


def _lock(connection: Connection) -> None:
    """Keep other migrating processes out until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    # SQLite: the transaction began with BEGIN IMMEDIATE, which is the lock.
