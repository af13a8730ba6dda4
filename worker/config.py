"""Celery's configuration, read from ours when Celery first asks for it.

Every option that Celery would swallow if misspelt is written once, here.
"""

from __future__ import annotations

import sys

from kombu.entity import Queue as KombuQueue

from trailkeeper.errors import TrailkeeperError
from trailkeeper.messages import Queue, Task
from trailkeeper.settings import Settings, find_folder, load
from wire.transport import kombu_url, transport
from worker.drops import dropped
from worker.overdue import HARD_LIMIT_SECONDS


def _settings() -> Settings:
    try:
        settings = load(find_folder())
        settings.keep_private()
        settings.broker_url()
        settings.message_key()
    except TrailkeeperError as error:
        print(f"trailkeeper: {error}", file=sys.stderr)  # noqa: T201 - the door's own words
        raise SystemExit(2) from None
    return settings


_ours = _settings()
broker_url = kombu_url(_ours.broker_url())
broker_transport = transport(_ours.broker_url(), _ours.message_key(), dropped)
# A key of the wrong type, a full Redis: an error of one command, and no reason to end.
broker_channel_error_retry = True

task_ignore_result = True
task_acks_late = True
task_reject_on_worker_lost = True
task_time_limit = HARD_LIMIT_SECONDS
task_serializer = "json"
accept_content = ["json"]
task_default_queue = Queue.PLAN.value
task_create_missing_queues = False
task_queues = [KombuQueue(queue.value, routing_key=queue.value) for queue in Queue]
task_routes = {task.value: {"queue": task.queue.value} for task in Task}
worker_prefetch_multiplier = 1
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_send_task_events = False
broker_connection_retry_on_startup = True
# Redis hands a message out again after this, whatever acks_late says; a second delivery meets the
# segment's lease and does nothing, so it only has to be rare.
broker_transport_options = {
    "visibility_timeout": max(3600, int(2 * _ours.service.lease.total_seconds())),
    "socket_keepalive": True,
    "socket_connect_timeout": 5,  # a Redis that moved is noticed in seconds, not by the kernel
    "health_check_interval": 30,
}
timezone = "UTC"
enable_utc = True
