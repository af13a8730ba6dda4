"""The one place where a database's errors become ours, with what happened and what to do next.

The text of a statement and its parameters never travel on: only the driver's own first sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from trailkeeper.errors import Bug, TrailkeeperError, Unavailable

_SQLITE = {
    "SQLITE_BUSY": (
        "is locked by another process",
        "Try again; if it lasts, find the process that holds it (fuser FILE) and end it.",
    ),
    "SQLITE_CANTOPEN": (
        "cannot be opened",
        "Check that the folder exists and that this user may write in it; before a read-only copy "
        "is made, stop the service, so that no `-wal` file is left beside it.",
    ),
    "SQLITE_READONLY": (
        "cannot be written",
        "Give this user write permission on the file and its folder: coverage, export, report with "
        "-o and tenants list only read, everything else writes.",
    ),
    "SQLITE_NOTADB": (
        "is not a SQLite database",
        "Correct service.ledger, or restore the file from a backup.",
    ),
    "SQLITE_CORRUPT": (
        "is damaged",
        "Stop the service and restore the file from a backup; the records are safe in the lake.",
    ),
    "SQLITE_FULL": ("has no room to grow: the disk is full", "Free disk space and try again."),
    "SQLITE_IOERR": ("cannot be read or written", "Check the disk and its file system."),
}
"""by the beginning of sqlite3's error name: https://www.sqlite.org/rescode.html"""

_POSTGRESQL = {
    "28": ("refuses the login", "Correct the user and password in service.ledger."),
    "3D": ("does not exist", "Create the database, or correct service.ledger."),
    "42501": ("may not be used by this user", "Grant this user all rights on the database."),
    "53": ("is out of room", "Free disk space, memory or connections on the server."),
    "57": ("is shutting down or starting", "Wait until the server is back; we try again."),
    "25006": ("is read-only", "Point service.ledger at the primary server, not a replica."),
    "40": ("undid this step in favour of another", "Try again; nothing was changed."),
}
"""by the beginning of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_OUT_OF_REACH = (
    "cannot be reached",
    "Check that the server runs, and host, port, user and database in service.ledger.",
)
_MISTAKE = (DataError, IntegrityError, ProgrammingError)


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Raise `Unavailable` for what is out of reach or broken, `Bug` for a statement of ours."""
    try:
        yield
    except DBAPIError as error:
        raise _ours(error, url) from None
    except PoolTimeout:
        raise Unavailable(
            f"the ledger {_name(url)} has no connection left for this process",
            "Run fewer threads in one process.",
        ) from None


def _ours(error: DBAPIError, url: URL) -> TrailkeeperError:
    code = _code(error)
    known = _known(url, code)
    if known is None and isinstance(error, _MISTAKE):
        return Bug(
            f"the ledger {_name(url)} refused a statement: {_sentence(error)}",
            "Report this with the version and the log.",
            code,
        )
    what, remedy = known or _OUT_OF_REACH
    return Unavailable(f"the ledger {_name(url)} {what}: {_sentence(error)}", remedy, code)


def _known(url: URL, code: str) -> tuple[str, str] | None:
    sqlite = url.get_backend_name() == "sqlite"
    table = _SQLITE if sqlite else _POSTGRESQL
    for beginning, words in table.items():
        if code.startswith(beginning):
            return words
    return (
        ("cannot be used", "Check the file and the disk it lies on.") if sqlite and code else None
    )


def _code(error: DBAPIError) -> str:
    """sqlite3's error name or PostgreSQL's SQLSTATE; empty when the driver gave none."""
    cause = error.orig
    found = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return str(found or "")


def _sentence(error: DBAPIError) -> str:
    return (str(error.orig).strip().splitlines() or ["no reason given"])[0]


def _name(url: URL) -> str:
    return url.render_as_string(hide_password=True)
