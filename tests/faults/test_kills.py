"""Any process may be killed at any instruction, and Redis emptied: the export is still exact."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.configured import Configured
from tests.days import recent
from tests.e2e.running import Service, exported, is_proven, service, until
from tests.servers.redis import RedisServer, redis_server

START, END = recent("2026-10-01T00:00:00Z"), recent("2026-11-01T00:00:00Z")
TENANT = "contoso"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """A month of one tenant that takes a while: every call is answered after a moment."""
    with Sandbox(tmp_path / "box", tenants=(TENANT,), rate=1500, start=START, end=END) as box:
        box.control.alter(TENANT, seconds_per_call=0.25)
        yield box


@pytest.fixture
def running(box: Sandbox, redis: RedisServer, tmp_path: Path) -> Iterator[Service]:
    folder = Configured(
        tmp_path / "conf",
        box,
        [TENANT],
        service={"lease": "4s"},
        collection={"segment_length": "24h"},
        tenant={"since": recent("2026-10-01")},
        recipients=(),
    ).write()
    with service(folder, redis, tmp_path) as running:
        yield running


def _finish(box: Sandbox, running: Service, tmp_path: Path) -> None:
    """Wait until October is proven, then compare the export with the truth."""
    folder = running.configuration

    until(
        lambda: is_proven(folder, TENANT, START, END),
        f"October proven; see {running.log.read_text()[-3000:]}",
        240,
        nudge=running.tick,
    )
    truth = Counter(record["AuditData"] for record in box.control.records(TENANT))
    assert exported(folder, TENANT, tmp_path / "export.jsonl") == truth


def _searches(box: Sandbox) -> int:
    return int(box.control.counters()["requests"].get("search", 0))


def test_pulling_worker_killed_in_mid_pull(box: Sandbox, running: Service, tmp_path: Path) -> None:
    """SIGKILL of the pulling worker, three times while calls are under way, loses nothing."""
    for _ in range(3):
        before = _searches(box)
        until(
            lambda before=before: _searches(box) > before + 2, "calls under way", nudge=running.tick
        )
        running.kill("pull")
        running.start("pull")
    _finish(box, running, tmp_path)


def test_merging_worker_killed_in_mid_commit(
    box: Sandbox, running: Service, tmp_path: Path
) -> None:
    """SIGKILL of the merging worker at moments around its commits doubles nothing."""
    landing = Path(running.configuration.parent, "data", "landing")
    dice = random.Random(7)
    for _ in range(4):
        seen = len(list(landing.rglob("*.zst")))
        until(
            lambda seen=seen: len(list(landing.rglob("*.zst"))) > seen,
            "a segment landed",
            nudge=running.tick,
        )
        time.sleep(dice.uniform(0.0, 0.6))
        running.kill("keep")
        running.start("keep")
    _finish(box, running, tmp_path)


def test_redis_emptied_in_mid_run(
    box: Sandbox, running: Service, redis: RedisServer, tmp_path: Path
) -> None:
    """FLUSHALL, again and again while the month is collected, loses nothing and doubles nothing."""
    for _ in range(4):
        before = _searches(box)
        until(lambda before=before: _searches(box) > before, "another call", nudge=running.tick)
        with redis.client() as client:
            client.flushall()
    _finish(box, running, tmp_path)
