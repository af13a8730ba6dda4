"""How many requests a tenant's feed gets a minute: counted in Redis for all workers, or here.

2,000 a minute and tenant are the documented baseline (management-api-and-graph.md, section 1.8).
The real number differs and is not told: after an AF429 the tenant rests, and what comes too soon
after that halves its number for a while and doubles the rest.
"""

from __future__ import annotations

import random
import threading
import time
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

log = structlog.get_logger()

BASELINE = 1900
"""a little below the documented 2,000: two minutes' borders are not the service's"""
LEAST = 30
_REST_SECONDS = 5.0
"""after the first AF429; doubles with each that follows within `_REMEMBERED_SECONDS`, unless
requests went well in between"""
_LONGEST_REST_SECONDS = 600.0
_REMEMBERED_SECONDS = 900
_WENT_WELL = 5
"""blobs that one process got between two refusals, and not long ago: the second is a first then"""
_RECENT_SECONDS = 60.0
_ONE_BURST_SECONDS = 2
"""threads that are refused side by side are one refusal"""
_MOST_HALVINGS = 6
_REDIS_AGAIN_SECONDS = 15.0


class RequestBudget:
    """Implements `ports.Budget`. While Redis is out of reach each process counts for itself."""

    def __init__(self, redis_url: str | None, per_minute: int = BASELINE) -> None:
        """Connects to nothing yet."""
        self._url = redis_url
        self._per_minute = per_minute
        self._local = _Counter(MemoryStorage())
        self._shared: _Counter | None = None
        self._shared_again_at = 0.0
        self._guard = threading.Lock()
        self._went_well: dict[str, tuple[int, float]] = {}
        """by tenant: how many blobs, and when the last one came"""

    def take(self, tenant: str, requests: int = 1) -> float:
        """0.0 goes ahead; otherwise seconds until there is room."""
        counter = self._counter()
        try:
            return counter.take(tenant, requests, self._per_minute)
        except StorageError:
            return self._without_redis().take(tenant, requests, self._per_minute)

    def answered(self, tenant: str) -> None:
        # Counted in this process alone, and two threads may lose one: it costs every request.
        self._went_well[tenant] = self._recent(tenant) + 1, time.monotonic()

    def slow_down(self, tenant: str) -> float:
        """Halve what the tenant gets, for a quarter of an hour; seconds to rest.

        Refusals one after another halve it again and double the rest. One that comes after the
        service has answered begins anew: it refuses now and then, and not this tenant's pace.
        """
        counter, in_a_row = self._counter(), self._recent(tenant) < _WENT_WELL
        self._went_well.pop(tenant, None)
        try:
            refusals = counter.refused(tenant, in_a_row=in_a_row)
        except StorageError:
            refusals = self._without_redis().refused(tenant, in_a_row=in_a_row)
        rest: float = min(_REST_SECONDS * 2 ** (refusals - 1), _LONGEST_REST_SECONDS)
        return rest * random.uniform(1.0, 1.3)  # noqa: S311 - spreads workers, guards nothing

    def _recent(self, tenant: str) -> int:
        """What went well hours ago says nothing of a refusal now."""
        count, last = self._went_well.get(tenant, (0, 0.0))
        return count if time.monotonic() - last < _RECENT_SECONDS else 0

    def _counter(self) -> _Counter:
        if self._url is None or time.monotonic() < self._shared_again_at:
            return self._local
        with self._guard:
            if self._shared is None:
                self._shared = _Counter(_redis_storage(self._url))
            return self._shared

    def _without_redis(self) -> _Counter:
        if time.monotonic() >= self._shared_again_at:
            where = urlsplit(self._url or "").hostname or "unix socket"
            log.warning("budget_not_shared", redis=where)
            self._shared_again_at = time.monotonic() + _REDIS_AGAIN_SECONDS
        return self._local


class _Counter:
    """Both counts over one storage."""

    def __init__(self, storage: MemoryStorage | RedisStorage) -> None:
        self._storage = storage
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._limits: dict[str, tuple[int, float]] = {}

    def take(self, tenant: str, requests: int, per_minute: int) -> float:
        limit = max(per_minute >> self._halvings(tenant), LEAST)
        item = RateLimitItemPerMinute(limit, 1, "feed")
        if self._limiter.hit(item, tenant, cost=min(requests, limit)):
            return 0.0
        until = self._limiter.get_window_stats(item, tenant).reset_time
        return max(until - time.time(), 1.0)

    def refused(self, tenant: str, *, in_a_row: bool) -> int:
        """How many refusals in a row within the remembered time, this one included; those of a
        burst count once."""
        if self._storage.incr(f"feed-burst/{tenant}", _ONE_BURST_SECONDS) > 1:
            return max(self._storage.get(f"feed-refused/{tenant}"), 1)
        self._limits.pop(tenant, None)
        if not in_a_row:
            self._storage.clear(f"feed-refused/{tenant}")
        return self._storage.incr(f"feed-refused/{tenant}", _REMEMBERED_SECONDS)

    def _halvings(self, tenant: str) -> int:
        """Looked up every few seconds: it changes seldom and costs a round trip."""
        known, until = self._limits.get(tenant, (0, 0.0))
        if time.monotonic() < until:
            return known
        found = min(self._storage.get(f"feed-refused/{tenant}"), _MOST_HALVINGS)
        self._limits[tenant] = found, time.monotonic() + 5.0
        return found


def _redis_storage(url: str) -> RedisStorage:
    return RedisStorage(
        url, wrap_exceptions=True, key_prefix="trailkeeper-feed", socket_timeout=5.0
    )
