"""When each tick is sent. A tick carries nothing; sending one twice changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from trailkeeper.messages import Task


@dataclass(frozen=True, slots=True)
class Tick:
    task: Task
    every: timedelta


TICKS = (
    Tick(Task.TICK_COLLECT, timedelta(minutes=1)),
    Tick(Task.TICK_FEEDS, timedelta(seconds=5)),
    Tick(Task.TICK_MONTHS, timedelta(hours=1)),
    Tick(Task.TICK_CERTIFICATES, timedelta(minutes=5)),
    Tick(Task.TICK_REAP, timedelta(hours=6)),
    Tick(Task.TICK_COMPACT, timedelta(minutes=30)),
)
