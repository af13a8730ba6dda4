"""A clock for tests in which time is an argument."""

from __future__ import annotations

from datetime import datetime


class HandClock:
    """Moved by hand; nothing waits for it."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")
