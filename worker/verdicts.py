"""What becomes of a task whose step raised: one table for all of them.

A task is never retried by Celery. What is unfinished is in the ledger, and the next reconciliation
enqueues it again; a retry in the queue would only be a second opinion about when.
"""

from __future__ import annotations

from enum import StrEnum

from trailkeeper.errors import (
    Bug,
    ConfigurationError,
    DeliveryRefused,
    LeaseLost,
    Lost,
    NeedsPerson,
    Throttled,
    TrailkeeperError,
    Transient,
    Unavailable,
    UsageError,
)


class TaskVerdict(StrEnum):
    AGAIN = "again"
    """the ledger still has it; the next reconciliation enqueues it"""
    DROPPED = "dropped"
    """somebody else has it"""
    PARKED = "parked"
    """a person is needed"""
    FAILED = "failed"
    """our mistake: logged with its traceback"""


_TABLE: dict[type[TrailkeeperError], TaskVerdict] = {
    Throttled: TaskVerdict.AGAIN,
    Transient: TaskVerdict.AGAIN,
    Unavailable: TaskVerdict.AGAIN,
    LeaseLost: TaskVerdict.DROPPED,
    NeedsPerson: TaskVerdict.PARKED,
    ConfigurationError: TaskVerdict.PARKED,
    DeliveryRefused: TaskVerdict.PARKED,
    Lost: TaskVerdict.DROPPED,
    UsageError: TaskVerdict.FAILED,
    Bug: TaskVerdict.FAILED,
}


def verdict(error: BaseException) -> TaskVerdict:
    """The verdict of the error's own kind, or of the nearest kind it descends from."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    return TaskVerdict.FAILED
