"""Celery's configuration of beat: where Redis is, and who keeps the time."""

from __future__ import annotations

import sys

from trailkeeper.errors import TrailkeeperError
from trailkeeper.settings import Settings, find_folder, load
from wire.transport import kombu_url, transport


def _settings() -> Settings:
    try:
        settings = load(find_folder())
        settings.keep_private()
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
beat_scheduler = "beat.scheduler:MonotonicScheduler"
# A Redis that hangs must not hold the clock.
broker_transport_options = {"socket_connect_timeout": 5, "socket_timeout": 10}
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]
worker_hijack_root_logger = False
broker_connection_retry_on_startup = True
timezone = "UTC"
enable_utc = True
