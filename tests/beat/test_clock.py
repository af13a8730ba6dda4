"""Ticks go on whatever the wall clock does, and their absence is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beat.scheduler import Timetable
from beat.ticks import TICKS
from tests.servers.redis import RedisServer, redis_server
from tests.servers.wall_clock import WallClock
from trailkeeper.messages import Task
from trailkeeper.ticks import (
    KEY,
    MISSING_SECONDS,
    BeatHeartbeat,
    TickCounter,
    TickWatch,
    read_heartbeat,
)

HOUR, DAY = 3600, 86400


class _Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_every_tick_comes_at_the_start_and_then_at_its_distance() -> None:
    """A tick that was missed many times, as in a machine that slept, comes once."""
    clock = _Clock()
    table = Timetable(clock)
    assert set(table.due()) == set(TICKS)
    assert table.due() == []
    assert table.seconds_left() == pytest.approx(5)
    clock.at += 61
    assert {tick.task for tick in table.due()} == {Task.TICK_FEEDS, Task.TICK_COLLECT}
    clock.at += 30 * DAY
    assert sorted(table.due(), key=str) == sorted(TICKS, key=str)
    assert table.seconds_left() == pytest.approx(5)


def test_missing_ticks_are_said_within_two_minutes_and_again() -> None:
    """A count that does not move is a missing tick; one that cannot be read proves nothing."""
    clock = _Clock()
    watch = TickWatch(clock)
    watch.look(5)  # of an earlier life: no sign that one arrives now
    clock.at += MISSING_SECONDS - 1
    watch.look(None)
    assert not watch.should_say()
    clock.at += 2
    assert watch.missing_seconds < 120
    assert watch.should_say()
    assert not watch.should_say()
    watch.look(6)
    assert watch.missing_seconds == 0
    clock.at += MISSING_SECONDS + 1
    watch.look(6)
    assert watch.should_say()
    watch.look(1)  # Redis was emptied meanwhile
    assert watch.missing_seconds == 0


def test_the_sign_of_life_is_read_as_written(tmp_path: Path) -> None:
    """Whatever else the file holds counts as none."""
    assert read_heartbeat(tmp_path) is None
    BeatHeartbeat(12.5, 10.25).write(tmp_path)
    assert read_heartbeat(tmp_path) == BeatHeartbeat(12.5, 10.25)
    (tmp_path / "beat-heartbeat").write_text("\0 x", encoding="ascii")
    assert read_heartbeat(tmp_path) is None


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def test_the_count_survives_what_others_write(redis: RedisServer) -> None:
    """A key that became something else is made anew; without Redis nothing is raised."""
    counter = TickCounter(redis.url)
    assert counter.count() is None
    counter.received()
    assert counter.count() == 1
    for spoil in (b"x", None):
        with redis.client() as client:
            client.delete(KEY)
            client.set(KEY, spoil) if spoil else client.sadd(KEY, "x")
        assert counter.count() is None
        counter.received()
        counter.received()
        assert counter.count() == 1
    redis.stop()
    counter.received()
    assert counter.count() is None


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler here")
@pytest.mark.parametrize(
    "jumps",
    [(3 * DAY, 0), pytest.param((HOUR, 0, -HOUR, 0, -3 * DAY, 0), marks=pytest.mark.nightly)],
    ids=["three days", "all"],
)
def test_ticks_go_on_when_the_clock_is_put_right(
    tmp_path: Path, redis: RedisServer, jumps: tuple[int, ...]
) -> None:
    """A beat whose wall clock jumps either way sends its next tick five seconds later."""
    text = f'[service]\nredis = "{redis.url}"\n'
    (tmp_path / "trailkeeper.toml").write_text(text, encoding="utf-8")
    clock = WallClock(tmp_path)
    environment = {**os.environ, "TRAILKEEPER_CONFIG": str(tmp_path), **clock.variables}
    words = [sys.executable, "-m", "celery", "-A", "beat.app", "beat", "--pidfile="]
    with (tmp_path / "log").open("wb") as log, redis.client() as client:
        beat = subprocess.Popen(
            words, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _next_tick(client.llen, tmp_path)
            for seconds in jumps:
                clock.move(seconds)
                _next_tick(client.llen, tmp_path)
        finally:
            os.killpg(beat.pid, signal.SIGKILL)
            beat.wait()
    assert read_heartbeat(tmp_path / "data") is not None
    lines = (tmp_path / "log").read_text().splitlines()
    assert not [line for line in lines if '"error"' in line and json.loads(line)]


def _next_tick(length: object, folder: Path) -> None:
    """Wait until the queue of ticks has grown."""
    assert callable(length)
    before, deadline = length("plan"), time.monotonic() + 60
    while length("plan") <= before:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)
