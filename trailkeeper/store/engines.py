"""Engines and transactions, on SQLite and PostgreSQL alike.

An engine is built after any fork, by whoever builds the world; one that finds itself in a forked
child all the same leaves the parent's connections alone and opens its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DisconnectionError

from trailkeeper.store.faults import translated

BUSY_SECONDS = 30
"""How long a writer waits for its turn in SQLite. All our transactions take milliseconds; shorter
would turn a slow disk into errors, longer would hide a process that hangs with the lock."""
_CONNECT_SECONDS = 10
_WRITING = "trailkeeper_writing"


def build_engine(url: URL, *, foreign_keys: bool = True) -> Engine:
    """An engine that has not connected yet. `foreign_keys` False is for migrations only."""
    if url.get_backend_name() == "sqlite":
        # isolation_level None stops sqlite3 from beginning transactions by itself: ours begin in
        # `_tune_sqlite`, so that a writer holds the lock before it reads what it will change.
        arguments = {"timeout": BUSY_SECONDS, "isolation_level": None}
        engine = create_engine(url, connect_args=arguments, hide_parameters=True)
        _tune_sqlite(engine, foreign_keys)
    else:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
            hide_parameters=True,
            pool_pre_ping=True,
        )
    _forget_after_fork(engine)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads. Raises `Unavailable`."""
    with translated(engine.url), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes; rolled back when the body raises. Raises `Unavailable`."""
    writer = engine.execution_options(**{_WRITING: True})
    with translated(engine.url), writer.begin() as connection:
        yield connection


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, in the words of this connection's database.

    Its `rowcount` says how many rows were added; SQLAlchemy forgets that of an INSERT unless asked.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table).execution_options(preserve_rowcount=True)


def _tune_sqlite(engine: Engine, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: object) -> None:
        _write_ahead(connection)
        # FULL: a commit survives a power cut. NORMAL would forget the last ones, and a forgotten
        # merge or "sent" is done twice.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(connection: Any) -> None:
    """Put the file in WAL mode, once for ever: readers do not wait for the writer.

    The switch itself needs the file alone and does not always honour the busy timeout, so processes
    that start together on a new file take turns here.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except connection.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _forget_after_fork(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _remember(_connection: object, record: Any) -> None:
        record.info["pid"] = os.getpid()

    @event.listens_for(engine, "checkout")
    def _compare(_connection: object, record: Any, proxy: Any) -> None:
        if record.info["pid"] != os.getpid():
            record.dbapi_connection = proxy.dbapi_connection = None
            raise DisconnectionError("this connection belongs to the parent process")
