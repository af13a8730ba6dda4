"""Task and queue names, and the only payloads that ever travel through Redis: ids.

`beat` sends the ticks, `worker` registers every task here and nothing else; a test holds both to
it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Queue(StrEnum):
    PLAN = "plan"
    """ticks; short tasks that read and write the ledger"""
    PULL = "pull"
    """one segment each; network-bound, imports neither polars nor deltalake"""
    MERGE = "merge"
    """one tenant's landed segments into its lake table"""
    REPORT = "report"
    """one tenant's month, or what else may take its time"""
    MAIL = "mail"
    """one delivery from the outbox"""


class Task(StrEnum):
    """A task's name as it travels, and the queue that it waits in."""

    queue: Queue

    def __new__(cls, name: str, queue: Queue) -> Self:
        made = str.__new__(cls, name)
        made._value_ = name
        made.queue = queue
        return made

    TICK_COLLECT = "trailkeeper.tick_collect", Queue.PLAN
    """plan fresh windows, enqueue everything the ledger says is due"""
    TICK_FEEDS = "trailkeeper.tick_feeds", Queue.PLAN
    """plan the feeds whose turn it is, and enqueue them"""
    TICK_MONTHS = "trailkeeper.tick_months", Queue.PLAN
    """enqueue months that ended, settled and are not reported yet"""
    TICK_CERTIFICATES = "trailkeeper.tick_certificates", Queue.REPORT
    """look at some of the certificates, and say which of them end"""
    TICK_REAP = "trailkeeper.tick_reap", Queue.REPORT
    """remove what nobody needs any more"""
    TICK_COMPACT = "trailkeeper.tick_compact", Queue.PLAN
    """enqueue the tables whose turn it is to be compacted"""
    PULL_SEGMENT = "trailkeeper.pull_segment", Queue.PULL
    MERGE_TENANT = "trailkeeper.merge_tenant", Queue.MERGE
    REPORT_MONTH = "trailkeeper.report_month", Queue.REPORT
    DELIVER = "trailkeeper.deliver", Queue.MAIL
    COMPACT_TENANT = "trailkeeper.compact_tenant", Queue.REPORT


TICKS = frozenset(task for task in Task if task.value.startswith("trailkeeper.tick_"))
"""what beat sends"""

EXPIRES_SECONDS = 90
"""A message older than this is dropped unread: the next reconciliation has enqueued the same thing
again, and a queue that nobody drains does not grow without end."""

COMPACTION_EXPIRES_SECONDS = 900
"""No reconciliation enqueues a compaction again: its tenant's next turn is six hours later, in the
same order. Half of the time until the next twelfth's turn; the other half is left to reports, which
share its queue."""
