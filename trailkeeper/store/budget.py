"""How many requests a tenant's feed gets a minute: counted in Redis for all workers, or here.

2,000 a minute and tenant are the documented baseline (management-api-and-graph.md, section 1.8).
The real number differs and is not told. After an AF429 the tenant rests: longer each time, until
requests go well again. And ours is halved for a while, once a minute at most and not far below what
the service gave in the best of the last minutes: it may also refuse by chance, whatever our pace.
A refusal that stands alone among answers is such a chance, and rests nobody.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from trailkeeper.ports.budget import Asked

log = structlog.get_logger()

BASELINE = 1900
"""a little below the documented 2,000: two minutes' borders are not the service's"""
LEAST = 30
_REST_SECONDS = 5.0
"""after the first AF429; doubles with each that follows within `_REMEMBERED_SECONDS`, unless
requests went well in between"""
_LONGEST_REST_SECONDS = 600.0
_MOST_DOUBLINGS = 20
"""more than lead to the longest rest: refused for a week, the count is one that no float holds"""
_REMEMBERED_SECONDS = 900
"""how long refusals count after the last, and halvings after the last"""
_WENT_WELL = 5
"""answers of a kind that one process got between two refusals, which make the second one a first"""
_MOSTLY = 2
"""so many times as many answers as threads were refused side by side: fewer are no good sign"""
_TOGETHER = 5
"""refusals of a kind without an answer between them are throttling: of a service that refuses 7 of
100 by chance, one in half a million is the fifth in a row"""
_MANY, _LAST = 8, 20
"""and so are so many of the last: by the same chance it is one in thirty thousand"""
_LAST_SECONDS = 60.0
"""what came longer ago says nothing of now"""
_HALVED_SECONDS = 60
"""a halving shows only when a minute has passed under it"""
_GIVEN_SHARE = 0.75
"""of what was given in a minute: no halving goes below. A limit that is used up gives nearly all of
it, and so is halved no further"""
_GIVEN_MINUTES = 5
"""the best of so many counts: little may also come because we rested"""
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
        self._answers: dict[tuple[str, Asked], _Answers] = {}
        self._lately: dict[tuple[str, Asked], _Lately] = {}

    def take(self, tenant: str, requests: int = 1) -> float:
        """0.0 goes ahead; otherwise seconds until there is room."""
        counter = self._counter()
        try:
            return counter.take(tenant, requests, self._per_minute)
        except StorageError:
            return self._without_redis().take(tenant, requests, self._per_minute)

    def answered(self, tenant: str, asked: Asked) -> None:
        # Counted in this process alone, and two threads may lose one: it costs every request.
        self._answers_of(tenant, asked).add()
        self._lately_of(tenant, asked).add(refused=False)

    def refused(self, tenant: str, asked: Asked) -> bool:
        """Whether refusals come together, to this process."""
        lately = self._lately_of(tenant, asked)
        lately.add(refused=True)
        return lately.come_together()

    def slow_down(self, tenant: str, asked: Asked) -> float:
        """Fewer requests for the tenant, if more were sent than it was given; seconds to rest.

        Refusals one after another double the rest. One that comes after the service has answered
        requests of the kind begins anew: each round of a tenant whose every blob is refused begins
        with listings that are not. The number stays halved all the same, until it is forgotten.
        """
        counter = self._counter()
        heard = self._answers_of(tenant, asked).refused()
        try:
            refusals = counter.refused(tenant, asked, self._per_minute, *heard)
        except StorageError:
            counter = self._without_redis()
            refusals = counter.refused(tenant, asked, self._per_minute, *heard)
        doublings = min(refusals - 1, _MOST_DOUBLINGS)
        rest: float = min(_REST_SECONDS * 2**doublings, _LONGEST_REST_SECONDS)
        return rest * random.uniform(1.0, 1.3)  # noqa: S311 - spreads workers, guards nothing

    def _answers_of(self, tenant: str, asked: Asked) -> _Answers:
        key = (tenant, asked)
        return self._answers.get(key) or self._answers.setdefault(key, _Answers())

    def _lately_of(self, tenant: str, asked: Asked) -> _Lately:
        key = (tenant, asked)
        return self._lately.get(key) or self._lately.setdefault(key, _Lately())

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


class _Lately:
    """How the last requests of one tenant and kind went, to one process."""

    def __init__(self) -> None:
        self._went: deque[tuple[float, bool]] = deque(maxlen=_LAST)

    def add(self, *, refused: bool) -> None:
        self._went.append((time.monotonic(), refused))

    def come_together(self) -> bool:
        since = time.monotonic() - _LAST_SECONDS
        refused = [was for at, was in tuple(self._went) if at >= since]
        in_a_row = refused[-_TOGETHER:]
        return sum(refused) >= _MANY or (len(in_a_row) == _TOGETHER and all(in_a_row))


class _Answers:
    """What one process heard of one tenant and kind since the last refusal, and no longer ago than
    the minute before this one: what went well hours ago says nothing of a refusal now. And how many
    were refused side by side in the last round, until enough answers have settled them."""

    def __init__(self) -> None:
        self._minute = 0
        self._now = self._before = self._since = self._refused = 0
        self._refused_at = 0.0

    def add(self) -> None:
        self._age()
        self._now += 1
        self._since += 1
        if self._since >= _MOSTLY * self._refused:  # however long that took
            self._refused = 0

    def refused(self) -> tuple[_Well, bool]:
        """What went well since the last time; and whether that was too little to begin anew."""
        self._age()
        well, enough = (self._before, self._now), max(_WENT_WELL, _MOSTLY * self._refused)
        self._now = self._before = self._since = 0
        at, before = time.monotonic(), self._refused_at
        side_by_side = at - before < _REST_SECONDS and not any(well)  # a rest lies between rounds
        self._refused, self._refused_at = self._refused + 1 if side_by_side else 1, at
        return well, sum(well) < enough

    def _age(self) -> None:
        minute = _minute()
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else 0
            self._minute, self._now = minute, 0


_Well = tuple[int, int]
"""how many answers came in the minute before this one, and in this"""


def _minute() -> int:
    return int(time.time() // 60)


class _Counter:
    """All counts over one storage."""

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

    def refused(
        self, tenant: str, asked: Asked, per_minute: int, well: _Well, in_a_row: bool
    ) -> int:
        """How many refusals in a row within the remembered time, this one included; those of a
        burst count once. `well`: answers that this process has not told before."""
        given, key = self._given(tenant, well), f"feed-refused/{tenant}/{asked.value}"
        if self._storage.incr(f"feed-burst/{tenant}", _ONE_BURST_SECONDS) > 1:
            return max(self._storage.get(key), 1)
        self._halve(tenant, per_minute, given)
        if not in_a_row:
            self._storage.clear(key)
        return self._one_more(key)

    def _given(self, tenant: str, well: _Well) -> int:
        """Add these answers; how many came in the best of the last minutes, to all processes."""
        this, key = _minute(), f"feed-given/{tenant}/"
        expiry = 60 * _GIVEN_MINUTES
        before, now = well
        return max(
            self._storage.incr(f"{key}{this}", expiry, now),
            self._storage.incr(f"{key}{this - 1}", expiry, before),
            *(self._storage.get(f"{key}{this - ago}") for ago in range(2, _GIVEN_MINUTES)),
        )

    def _halve(self, tenant: str, per_minute: int, given: int) -> None:
        key = f"feed-halved/{tenant}"
        halvings = self._storage.get(key)
        if halvings >= _MOST_HALVINGS or per_minute >> (halvings + 1) < given * _GIVEN_SHARE:
            return
        if self._storage.incr(f"feed-halved-now/{tenant}", _HALVED_SECONDS) == 1:
            self._one_more(key)
            self._limits.pop(tenant, None)

    def _one_more(self, key: str) -> int:
        """Unlike `incr` alone, remembered anew from now on. One process at a time gets here."""
        count = self._storage.get(key) + 1
        self._storage.clear(key)
        return self._storage.incr(key, _REMEMBERED_SECONDS, count)

    def _halvings(self, tenant: str) -> int:
        """Looked up every few seconds: it changes seldom and costs a round trip."""
        known, until = self._limits.get(tenant, (0, 0.0))
        if time.monotonic() < until:
            return known
        found = min(self._storage.get(f"feed-halved/{tenant}"), _MOST_HALVINGS)
        self._limits[tenant] = found, time.monotonic() + 5.0
        return found


def _redis_storage(url: str) -> RedisStorage:
    if url.startswith("unix://"):
        url = f"redis+{url}"  # as limits writes it
    return RedisStorage(
        url, wrap_exceptions=True, key_prefix="trailkeeper-feed", socket_timeout=5.0
    )
