"""The row of a fault table, and how a row becomes one of our errors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trailkeeper.errors import (
    Bug,
    Lost,
    NeedsPerson,
    Throttled,
    TrailkeeperError,
    Transient,
)


class Kind(Enum):
    """What a caller does with a code."""

    RETRY = "retry"
    """the same request may succeed later"""
    THROTTLED = "throttled"
    """slow down tenant-wide"""
    PERSON = "person"
    """park, show the remedy"""
    LOST = "lost"
    """the provider no longer has it"""
    BUG = "bug"
    """our mistake, by a code that says so; nothing unknown is one"""


@dataclass(frozen=True, slots=True)
class Row:
    kind: Kind
    remedy: str = ""
    wait: float = 60.0
    """seconds when throttled and the answer names none"""


AGAIN = "It is asked again later."
UNKNOWN = (
    "Look that code up in the provider's list of errors and mend what it names; it is tried again "
    "by itself."
)
REPORT = "Report this with its code: the program should not have asked that."

_PLAIN: dict[Kind, type[TrailkeeperError]] = {
    Kind.RETRY: Transient,
    Kind.PERSON: NeedsPerson,
    Kind.LOST: Lost,
    Kind.BUG: Bug,
}
_DEFAULT_REMEDY = {Kind.RETRY: AGAIN, Kind.THROTTLED: AGAIN, Kind.BUG: REPORT}


def fault(
    row: Row, summary: str, code: str, request_id: str, wait: float | None = None
) -> TrailkeeperError:
    """The error of `row`; `wait` is what the answer asked for, in seconds.

    A retry that names its seconds is as good as throttled: Retry-After is obeyed in full.
    """
    remedy = row.remedy or _DEFAULT_REMEDY.get(row.kind, "")
    if row.kind is Kind.THROTTLED or (row.kind is Kind.RETRY and wait is not None):
        seconds = row.wait if wait is None else wait
        return Throttled(summary, remedy, code, request_id, seconds)
    return _PLAIN[row.kind](summary, remedy, code, request_id)


def by_status(status: int) -> Row:
    """What an HTTP status means when nothing in the answer says more. Never a bug: nobody knows
    whose fault an unknown refusal is, but a person can read its sentence."""
    if status == 429:
        return Row(Kind.THROTTLED)
    if status in (408, 425) or status >= 500 or status < 400:
        return Row(Kind.RETRY)
    return Row(Kind.PERSON, UNKNOWN)
