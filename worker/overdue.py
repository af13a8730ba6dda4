"""The last resort: a task that runs for hours is killed with its process, and said so.

Every exchange with another machine has its own deadline, so this is met by what nobody has thought
of. Nothing is lost by it: the lease runs out, and the next reconciliation enqueues the work again.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import structlog
from celery.exceptions import TimeLimitExceeded
from celery.signals import task_failure

log = structlog.get_logger()

HARD_LIMIT_SECONDS = 6 * 3600
"""no task takes as long: a pull gives its rest back when it has enough, however slow the service"""
_said: deque[str] = deque(maxlen=100)


@task_failure.connect
def say_killed(
    sender: Any = None,
    task_id: str = "",
    exception: object = None,
    args: object = (),
    **_: object,
) -> None:
    """In the main process, when it kills the child that runs the task. Celery tells it twice."""
    if not isinstance(exception, TimeLimitExceeded) or task_id in _said:
        return  # any other failure is told by the task itself
    _said.append(task_id)
    ids = list(args) if isinstance(args, list | tuple) else []
    log.error(
        "task_killed",
        task=str(getattr(sender, "name", "")),
        ids=ids,
        seconds=exception.args[0] if exception.args else None,
        remedy="The ledger has it enqueued again by itself. Report this when it happens again.",
    )
