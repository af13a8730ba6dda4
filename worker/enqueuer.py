"""Sends ids to the queue; `ports.Enqueuer` over Celery."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from trailkeeper.messages import COMPACTION_EXPIRES_SECONDS, EXPIRES_SECONDS, Task
from trailkeeper.model.report import Month

log = structlog.get_logger()


class CeleryEnqueuer:
    """Losing a message loses nothing, so a queue out of reach is logged and not an error."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def pull(self, segment_ids: Sequence[int]) -> None:
        for segment_id in segment_ids:
            self._send(Task.PULL_SEGMENT, segment_id)

    def merge(self, tenant: str) -> None:
        self._send(Task.MERGE_TENANT, tenant)

    def report(self, tenant: str, month: Month) -> None:
        self._send(Task.REPORT_MONTH, tenant, str(month))

    def deliver(self, outbox_id: int) -> None:
        self._send(Task.DELIVER, outbox_id)

    def compact(self, tenant: str) -> None:
        self._send(Task.COMPACT_TENANT, tenant, expires=COMPACTION_EXPIRES_SECONDS)

    def months(self) -> None:
        self._send(Task.TICK_MONTHS)

    def _send(self, task: Task, *arguments: object, expires: int = EXPIRES_SECONDS) -> None:
        try:
            self._app.send_task(
                task.value,
                args=arguments,
                queue=task.queue.value,
                expires=expires,
                retry=False,
            )
        except OperationalError as error:
            log.warning("enqueue_failed", task=task.value, reason=str(error)[:200])
