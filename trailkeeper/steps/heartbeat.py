"""Keep a lease alive while its work goes on, however long one answer takes.

A lease is short, so that a dead worker's work is soon taken over; a living one renews it from a
thread of its own, three times before it would end. A worker that was stopped for longer than that
finds its lease lost: its epoch has moved on, and nothing it marks will count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from trailkeeper.errors import LeaseLost, TrailkeeperError
from trailkeeper.ports.clock import Clock
from trailkeeper.process import threads

log = structlog.get_logger()


class Heartbeat:
    """`with Heartbeat(renew, clock, length) as heart:`; call `heart.check()` where work can end.

    Entering raises `Unavailable` when no thread can be started.
    """

    def __init__(
        self, renew: Callable[[datetime], object], clock: Clock, length: timedelta
    ) -> None:
        self._renew = renew
        self._clock = clock
        self._length = length
        self._ended = threading.Event()
        self._lost: LeaseLost | None = None
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def check(self) -> None:
        """Raise `LeaseLost` once somebody else has taken the work over."""
        if self._lost:
            raise self._lost

    def _beat(self) -> None:
        while not self._ended.wait(self._length.total_seconds() / 3):
            try:
                self._renew(self._clock.now() + self._length)
            except LeaseLost as error:
                self._lost = error
                return
            except TrailkeeperError as error:  # tried again at the next beat, while there is time
                log.warning("lease_renewal_failed", reason=error.summary)

    def __enter__(self) -> Self:
        threads.start(self._thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
