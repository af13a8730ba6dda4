"""What polars and deltalake raise, in our words: translated once, at the edge of the lake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    SchemaMismatchError,
)
from polars.exceptions import PolarsError

from trailkeeper.errors import Bug, Transient, Unavailable

_SIGNED = re.compile(r"\?[^\s\"'),]*")
"""a query string: a shared-access signature would stand there"""
_BACKTRACE = re.compile(r"(?i)\b(?:stack )?backtrace\b\s*:|^\s*0: +(?:0x|std::|__)", re.MULTILINE)
"""where Rust's libraries begin to list their own frames"""
_LONGEST = 300

_REMEDIES = (
    ("no space left", "Free space on the lake's disk."),
    ("quota", "Raise the quota of the service's user or of the storage account."),
    ("permission denied", "Give the service's user write access to the lake."),
    ("read-only", "Mount the lake's disk writable."),
    ("forbidden", "Give the service's identity read and write access to the lake."),
    ("unauthorized", "Check the storage credentials in the service's environment."),
    ("credential", "Check the storage credentials in the service's environment."),
)
_CHECK_ALL = "Check the lake's disk, or the network and the storage credentials."


@contextmanager
def lake_errors(what: str) -> Iterator[None]:
    """Translate what goes wrong while `what` ("merging contoso") is done.

    Raises `Transient` when another writer won, `Unavailable` when storage fails, `Bug` for a panic.
    A panic is a `BaseException` of a class that each library makes for itself, hence by name.
    """
    try:
        yield
    except CommitFailedError:
        raise Transient(
            f"another writer changed the table while {what}", "It is tried again by itself."
        ) from None
    except (DeltaProtocolError, SchemaMismatchError) as error:
        raise Unavailable(
            f"{what}: the table has a form that this version does not know: {error_words(error)}",
            "Use the version of Trailkeeper that wrote it, or undo the change made by other tools.",
        ) from None
    except (DeltaError, PolarsError, OSError) as error:
        words = error_words(error)
        raise Unavailable(f"{what} failed: {words}", _remedy(words)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Bug(
            f"{what}: a library panicked: {error_words(error)}",
            "Report it with the versions that `trailkeeper doctor` prints.",
        ) from None


def error_words(error: BaseException) -> str:
    """One line without query strings and native backtraces, short enough for a log."""
    line = " ".join(_BACKTRACE.split(str(error))[0].split()) or type(error).__name__
    return _SIGNED.sub("?…", line)[:_LONGEST].rstrip(". ")


def _remedy(words: str) -> str:
    lowered = words.lower()
    return next((remedy for sign, remedy in _REMEDIES if sign in lowered), _CHECK_ALL)
