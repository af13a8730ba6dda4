"""When to tick, by the monotonic clock: a wall clock that jumps moves no tick.

Celery's own scheduler keeps "last run" times on disk. A clock that ran three days ahead and was put
right left them in the future, and beat stood still for three days, also across restarts. Here
nothing is kept: every tick is sent once at the start, and then at its distance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.beat import Scheduler
from kombu.exceptions import KombuError

from beat.ticks import TICKS, Tick
from trailkeeper.settings import find_folder, load
from trailkeeper.ticks import BeatHeartbeat, TickCounter, TickWatch

log = structlog.get_logger()


class Timetable:
    """Which ticks are due, and how long until the next one."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._due_at = dict.fromkeys(TICKS, now())

    def due(self) -> list[Tick]:
        """Those whose time has come; one that was missed many times comes once."""
        now = self._now()
        due = [tick for tick, at in self._due_at.items() if at <= now]
        for tick in due:
            self._due_at[tick] = now + tick.every.total_seconds()
        return due

    def seconds_left(self) -> float:
        return max(0.0, min(self._due_at.values()) - self._now())


class MonotonicScheduler(Scheduler):
    """Celery's beat calls `tick` again and again, and sleeps for what it returns."""

    def setup_schedule(self) -> None:
        settings = load(find_folder())
        self._folder = settings.service.data
        self._counter = TickCounter(settings.broker_url())
        self._watch = TickWatch()
        self._timetable = Timetable()

    def tick(self, *_: object, **__: object) -> float:
        for tick in self._timetable.due():
            self._send(tick)
        self._look()
        return self._timetable.seconds_left()

    def _send(self, tick: Tick) -> None:
        words: dict[str, Any] = {"expires": tick.every.total_seconds(), "retry": False}
        try:
            self.app.send_task(tick.task.value, queue=tick.task.queue.value, **words)
        except (KombuError, OSError) as error:  # the next one is as good
            log.warning("tick_failed", tick=tick.task.value, reason=type(error).__name__)

    def _look(self) -> None:
        """See whether ticks arrive, and leave a sign of life."""
        self._watch.look(self._counter.count())
        if self._watch.should_say():
            log.error(
                "ticks_missed",
                seconds=round(self._watch.missing_seconds),
                remedy="See whether Redis answers and a worker takes the queue `plan`.",
            )
        try:
            BeatHeartbeat(time.monotonic(), self._watch.arrived_at).write(self._folder)
        except OSError as error:
            log.warning("heartbeat_write_failed", reason=(error.strerror or str(error)).lower())
