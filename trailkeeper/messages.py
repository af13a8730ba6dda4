"""Task and queue names, and the only payloads that ever travel through Redis: ids.

`beat` sends the ticks, `worker` registers every task here and nothing else; a test holds both to
it.
"""

from __future__ import annotations

from enum import StrEnum


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
    TICK_COLLECT = "trailkeeper.tick_collect"
    """plan fresh windows, enqueue everything the ledger says is due"""
    TICK_FEEDS = "trailkeeper.tick_feeds"
    """plan the feeds whose turn it is, and enqueue them"""
    TICK_MONTHS = "trailkeeper.tick_months"
    """enqueue months that ended, settled and are not reported yet"""
    TICK_CERTIFICATES = "trailkeeper.tick_certificates"
    """look at some of the certificates, and say which of them end"""
    TICK_REAP = "trailkeeper.tick_reap"
    """remove what nobody needs any more"""
    TICK_COMPACT = "trailkeeper.tick_compact"
    """enqueue the tables whose turn it is to be compacted"""
    PULL_SEGMENT = "trailkeeper.pull_segment"
    MERGE_TENANT = "trailkeeper.merge_tenant"
    REPORT_MONTH = "trailkeeper.report_month"
    DELIVER = "trailkeeper.deliver"
    COMPACT_TENANT = "trailkeeper.compact_tenant"


TICKS = frozenset(task for task in Task if task.value.startswith("trailkeeper.tick_"))
"""what beat sends"""

EXPIRES_SECONDS = 90
"""A message older than this is dropped unread: the next reconciliation has enqueued the same thing
again, and a queue that nobody drains does not grow without end."""

COMPACTION_EXPIRES_SECONDS = 900
"""No reconciliation enqueues a compaction again: its tenant's next turn is six hours later, in the
same order. Half of the time until the next twelfth's turn; the other half is left to reports, which
share its queue."""

QUEUE_OF: dict[Task, Queue] = {
    Task.TICK_COLLECT: Queue.PLAN,
    Task.TICK_FEEDS: Queue.PLAN,
    Task.TICK_MONTHS: Queue.PLAN,
    Task.TICK_CERTIFICATES: Queue.REPORT,
    Task.TICK_REAP: Queue.REPORT,
    Task.TICK_COMPACT: Queue.PLAN,
    Task.PULL_SEGMENT: Queue.PULL,
    Task.MERGE_TENANT: Queue.MERGE,
    Task.REPORT_MONTH: Queue.REPORT,
    Task.DELIVER: Queue.MAIL,
    Task.COMPACT_TENANT: Queue.REPORT,
}
