"""What becomes of an queue message that Redis refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from celery import Celery

from tests.servers.redis import RedisServer, redis_server
from wire.transport import transport
from worker.enqueuer import CeleryEnqueuer


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.mark.parametrize("trouble", ["another type", "full", "gone"])
def test_a_refused_queue_message_is_logged_and_no_error(redis: RedisServer, trouble: str) -> None:
    """The next reconciliation enqueues the same: no task ends because its hint was not taken."""
    with Celery("test", broker=redis.url, set_as_current=False) as app:
        app.conf.broker_transport = transport(redis.url, bytes(32))
        app.conf.task_create_missing_queues = True
        enqueuer = CeleryEnqueuer(app)
        enqueuer.merge("contoso")
        with redis.client() as client:
            if trouble == "another type":
                client.delete("merge")
                client.sadd("merge", "x")
            elif trouble == "full":
                client.config_set("maxmemory", 1)
        if trouble == "gone":
            redis.stop()
        with structlog.testing.capture_logs() as logged:
            enqueuer.merge("contoso")
        assert [event["event"] for event in logged] == ["enqueue_failed"]
