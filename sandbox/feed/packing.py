"""How records become blobs: in the order in which they are available, by size and by time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from zlib import crc32

from sandbox.clock import MICROSECOND
from sandbox.feed.switches import FeedSwitches, lag_seconds
from sandbox.generator import delay

_MILLISECOND = 1000
_HOUR = 3600 * MICROSECOND


def lot(word: str, number: int) -> float:
    """In [0, 1), always the same for the same record: no state, and no order of calls."""
    return crc32(b"%b%d" % (word.encode(), number)) / 2**32


def available_at(switches: FeedSwitches, number: int, time: int, arrival: int) -> int:
    """When a record is there for a blob to take it, under the lag that is switched on now."""
    lag = switches.feed_lag
    if lag == "arrival":
        return arrival
    if lag == "instant":
        return time
    if lag == "typical":
        return time + delay(random.Random(number))
    low, high = lag_seconds(lag)
    return time + int((low + (high - low) * lot("lag", number)) * MICROSECOND)


def again_at(switches: FeedSwitches, number: int, available: int) -> Iterator[int]:
    """When the same record comes once more, in another blob."""
    if switches.redelivered_share and lot("again", number) < switches.redelivered_share:
        yield available + int((1 + 119 * lot("when", number)) * _HOUR)
    if switches.doubled_share and lot("double", number) < switches.doubled_share:
        yield available + int(switches.blob_seconds * MICROSECOND) + _MILLISECOND


class Packer:
    """One content type of one tenant: what waits, and the blob that is being filled."""

    __slots__ = ("_closes_at", "_made", "_open", "_target", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int]] = []
        self._open: list[int] = []
        self._closes_at = 0
        self._target = 1
        self._made = 0

    def take(self, available: int, number: int) -> None:
        heapq.heappush(self._waiting, (available, number))

    def cut(self, now: int, switches: FeedSwitches) -> Iterator[tuple[int, list[int]]]:
        """(created, record numbers) of every blob that is closed by `now`.

        The outcome does not depend on how often this is called in between.
        """
        while self._waiting and self._waiting[0][0] <= now:
            available, number = heapq.heappop(self._waiting)
            if self._open and available >= self._closes_at:
                yield self._closed(self._closes_at)
            if not self._open:
                self._begin(available, switches)
            self._open.append(number)
            if len(self._open) >= self._target:
                yield self._closed(available)
        if self._open and self._closes_at <= now:
            yield self._closed(self._closes_at)

    def _begin(self, available: int, switches: FeedSwitches) -> None:
        self._closes_at = available + int(switches.blob_seconds * MICROSECOND)
        most = max(1, switches.blob_records)
        varied = 1 + int(lot("size", self._made) * most)
        self._target = varied if switches.blob_sizes == "varied" else most

    def _closed(self, created: int) -> tuple[int, list[int]]:
        numbers, self._open = self._open, []
        self._made += 1
        return -(-created // _MILLISECOND) * _MILLISECOND, numbers
