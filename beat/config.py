"""Celery's configuration of beat: where Redis is, and the table of ticks."""

from __future__ import annotations

import sys
from typing import Any

from beat.ticks import TICKS
from trailkeeper.errors import TrailkeeperError
from trailkeeper.settings import Settings, find_folder, load
from wire.transport import kombu_url, transport


def _settings() -> Settings:
    try:
        settings = load(find_folder())
        settings.broker_url()
        settings.make_data_folder()  # beat may be first
        settings.message_key()
    except TrailkeeperError as error:
        print(f"trailkeeper: {error}", file=sys.stderr)  # noqa: T201 - the door's own words
        raise SystemExit(2) from None
    return settings


_ours = _settings()
broker_url = kombu_url(_ours.broker_url())
broker_transport = transport(_ours.broker_url(), _ours.message_key())
beat_schedule_filename = str(_ours.service.data / "beat-schedule")
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]
beat_schedule: dict[str, dict[str, Any]] = {
    tick.task.value: {
        "task": tick.task.value,
        "schedule": tick.every,
        "options": {"queue": tick.queue.value, "expires": tick.every.total_seconds()},
    }
    for tick in TICKS
}
worker_hijack_root_logger = False
broker_connection_retry_on_startup = True
timezone = "UTC"
enable_utc = True
