"""Whether the clock's ticks arrive: counted in Redis by who takes them, watched by who cares.

A count and not a time: it means the same whatever any machine's clock says. How long ago it moved
is measured by the watcher's monotonic clock, which nobody sets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

KEY = "trailkeeper.ticks"
HEARTBEAT_FILE = "beat-heartbeat"
MISSING_SECONDS = 90.0
"""The shortest tick comes every five seconds: after so long without any, none is coming."""
_TIMEOUT_SECONDS = 1.0


class TickCounter:
    """The count in Redis. A Redis that does not answer is nobody's error here."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def received(self) -> None:
        """One more tick was taken."""
        try:
            self._client.incr(KEY)
        except redis.ResponseError:  # it is no number any more
            self._quietly(lambda: self._client.delete(KEY))
        except redis.RedisError:
            return

    def count(self) -> int | None:
        """How many were taken; None when that cannot be told."""
        try:
            said = self._client.get(KEY)
            return int(said) if isinstance(said, bytes) else None
        except (redis.RedisError, ValueError):
            return None

    def _quietly(self, command: Callable[[], object]) -> None:
        try:
            command()
        except redis.RedisError:
            return


class TickWatch:
    """How long no tick has arrived, by a clock that only ever goes on."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._count: int | None = None
        self._looked = False
        self.arrived_at = now()
        """when the last one was seen to have arrived; at first, when the watch began"""
        self._said_at = self.arrived_at

    def look(self, count: int | None) -> None:
        """`count` as `TickCounter.count` gives it."""
        if count is None:
            return
        if self._looked and count != self._count:
            self.arrived_at = self._said_at = self._now()
        self._looked, self._count = True, count

    @property
    def missing_seconds(self) -> float:
        return self._now() - self.arrived_at

    def should_say(self) -> bool:
        """Whether it is time to say that ticks are missing: once in `MISSING_SECONDS`."""
        if self._now() - self._said_at < MISSING_SECONDS:
            return False
        self._said_at = self._now()
        return True


@dataclass(frozen=True, slots=True)
class BeatHeartbeat:
    """Beat's sign of life, a file: when it last turned, and when a tick last arrived.

    In seconds of the monotonic clock, which all processes of a machine share and nobody sets:
    neither a wrong clock nor a file system that does not move a file's time can hide a beat that
    stands still.
    """

    turned_at: float
    arrived_at: float

    def write(self, folder: Path) -> None:
        """Raises `OSError`."""
        path = folder / HEARTBEAT_FILE
        new = path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{self.turned_at:.3f} {self.arrived_at:.3f}\n")
        os.replace(new, path)


def read_heartbeat(folder: Path) -> BeatHeartbeat | None:
    """None when beat has left none, or one that cannot be read."""
    try:
        turned_at, arrived_at = (folder / HEARTBEAT_FILE).read_text(encoding="ascii").split()
        return BeatHeartbeat(float(turned_at), float(arrived_at))
    except (OSError, ValueError):
        return None
