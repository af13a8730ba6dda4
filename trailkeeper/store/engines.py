"""Engines and transactions, on SQLite and PostgreSQL alike.

An engine is built after any fork, by whoever builds the world; one that finds itself in a forked
child all the same leaves the parent's connections alone and opens its own.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DisconnectionError

from trailkeeper.store.faults import translated

BUSY_SECONDS = 30
"""How long a writer waits for its turn in SQLite. All our transactions take milliseconds; shorter
would turn a slow disk into errors, longer would hide a process that hangs with the lock."""
_CONNECT_SECONDS = 10
_WRITING = "trailkeeper_writing"


def build_engine(url: URL, *, foreign_keys: bool = True, read_only: bool = False) -> Engine:
    """An engine that has not connected yet. `foreign_keys` False is for migrations only;
    `read_only`: a SQLite file on a disk where nothing can be written."""
    if read_only:
        engine = create_engine(url, creator=partial(_look_only, url), hide_parameters=True)
        _begin_each(engine)
    elif url.get_backend_name() == "sqlite":
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

    _begin_each(engine)


def _look_only(url: URL) -> sqlite3.Connection:
    """A file in WAL mode wants a writable file beside it, unless nobody can change it meanwhile.
    One that was left with a log (`-wal`) needs that log read, so its index must be there too."""
    path = Path(url.database or "").resolve()
    has_log = Path(f"{path}-wal").is_file() and Path(f"{path}-wal").stat().st_size > 0
    mode = "mode=ro" if has_log else "immutable=1"
    return sqlite3.connect(
        f"file:{quote(str(path))}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _begin_each(engine: Engine) -> None:
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
