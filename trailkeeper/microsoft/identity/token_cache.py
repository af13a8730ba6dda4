"""Where tokens are kept between requests: sealed in Redis for all workers, or in memory.

Two operations and a lock, the same for both: `read`, `swap` (write only if nobody wrote meanwhile)
and `lock` (one asker per tenant, with an owner and an expiry that outlives a dead one).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock
from redis.retry import Retry

from trailkeeper.errors import Transient, Unavailable
from trailkeeper.microsoft.identity.token_crypto import TokenKeys

_log = structlog.get_logger(__name__)

LOCK_SECONDS = 120.0
"""Longest that one login may take, discovery included, before another worker may try."""
_RETRY_REDIS_SECONDS = 15.0
_LONGEST_POLL = 0.25

_SWAP = """
local now = redis.call('GET', KEYS[1])
if (now or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""


class StoreDown(Unavailable):
    """The shared store is out of reach."""


class TokenStore(Protocol):
    """One text per owner. Raises `StoreDown` when it is out of reach."""

    def read(self, owner: str) -> tuple[str, bytes]:
        """The text (empty: none) and a stamp to hand to `swap`."""
        ...

    def swap(self, owner: str, stamp: bytes, text: str, seconds: float) -> bool:
        """Write `text` for `seconds` unless it changed since `stamp`; empty text removes."""
        ...

    def try_lock(self, owner: str) -> str:
        """A fresh lock's name, empty when somebody holds it."""
        ...

    def unlock(self, owner: str, name: str) -> None: ...


@dataclass(slots=True)
class Table:
    """What a store without Redis holds, by owner: texts with their stamps, locks with their ends
    (monotonic seconds, which all processes of a machine share)."""

    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    locks: dict[str, tuple[str, float]] = field(default_factory=dict)


class MemoryTokens:
    """This process's own store."""

    def __init__(self) -> None:
        self._table = Table()
        self._guard = threading.Lock()

    @contextmanager
    def _opened(self) -> Iterator[Table]:
        """The table, for one at a time; what is changed in it is kept."""
        with self._guard:
            yield self._table

    def read(self, owner: str) -> tuple[str, bytes]:
        with self._opened() as table:
            text, stamp = table.texts.get(owner, _NO_TEXT)
            return text, stamp.encode()

    def swap(self, owner: str, stamp: bytes, text: str, seconds: float) -> bool:
        with self._opened() as table:
            if table.texts.get(owner, _NO_TEXT)[1].encode() != stamp:
                return False
            table.texts[owner] = (text, secrets.token_hex(8)) if text else _NO_TEXT
            return True

    def try_lock(self, owner: str) -> str:
        now = time.monotonic()
        with self._opened() as table:
            if table.locks.get(owner, _NO_LOCK)[1] > now:
                return ""
            name = secrets.token_hex(8)
            table.locks[owner] = (name, now + LOCK_SECONDS)
            return name

    def unlock(self, owner: str, name: str) -> None:
        with self._opened() as table:
            if table.locks.get(owner, _NO_LOCK)[0] == name:
                del table.locks[owner]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


_NO_TEXT = ("", "")
_NO_LOCK = ("", 0.0)


class RedisTokens:
    """The store that all workers share; every value is sealed before it leaves this process."""

    def __init__(self, client: redis.Redis, keys: TokenKeys) -> None:
        self._redis = client
        self._keys = keys

    def read(self, owner: str) -> tuple[str, bytes]:
        sealed = self._call(lambda: self._redis.get(_value_key(owner)))
        if not isinstance(sealed, bytes):
            return "", b""
        plain = self._keys.open(sealed, owner)
        if plain is None:
            _log.warning("token_cache_unreadable", owner=owner)
            return "", sealed
        return plain.decode("utf-8"), sealed

    def swap(self, owner: str, stamp: bytes, text: str, seconds: float) -> bool:
        sealed = self._keys.seal(text.encode("utf-8"), owner) if text else b""
        arguments: tuple[Any, ...] = (_value_key(owner), stamp, sealed, max(int(seconds * 1000), 1))
        return bool(self._call(lambda: self._redis.eval(_SWAP, 1, *arguments)))

    def try_lock(self, owner: str) -> str:
        name = secrets.token_hex(8)
        return name if self._call(lambda: self._lock(owner).acquire(token=name)) else ""

    def unlock(self, owner: str, name: str) -> None:
        """A lock that has expired meanwhile is somebody else's, and is left alone."""
        with suppress(LockNotOwnedError):
            self._call(lambda: self._lock(owner).do_release(name))

    def _lock(self, owner: str) -> Lock:
        key = _lock_key(owner)
        return Lock(self._redis, key, timeout=LOCK_SECONDS, blocking=False, thread_local=False)

    def _call(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except LockNotOwnedError:
            raise
        except redis.RedisError as error:
            raise StoreDown(
                f"Redis cannot be used: {type(error).__name__}",
                "Check service.redis; tokens are kept in each process until it is back.",
            ) from None


def redis_tokens(url: str, keys: TokenKeys) -> RedisTokens:
    """The shared store at `url`; connects at the first use, and gives up within seconds."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=3.0,
        socket_connect_timeout=3.0,
        retry=Retry(NoBackoff(), 1),  # once, for a pooled connection that a restart has cut
    )
    return RedisTokens(client, keys)


_Result = TypeVar("_Result")


class TokenCache:
    """Redis while it answers, this process while it does not; says so at each change."""

    def __init__(
        self, shared: TokenStore | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`shared` None: one process, and no Redis configured."""
        self._shared = shared
        self._own = MemoryTokens()
        self._monotonic = monotonic
        self._avoid_until = 0.0
        if shared is None:
            _log.info("token_cache_local", reason="no Redis is configured")

    def using(self, act: Callable[[TokenStore], _Result]) -> _Result:
        """`act` on the shared store, and once more on our own when the shared one fails it."""
        if self._shared is None or self._monotonic() < self._avoid_until:
            return act(self._own)
        try:
            return act(self._shared)
        except StoreDown as error:
            self._avoid_until = self._monotonic() + _RETRY_REDIS_SECONDS
            _log.warning("token_cache_unreachable", reason=error.summary)
            return act(self._own)


@contextmanager
def locked(
    store: TokenStore, owner: str, sleep: Callable[[float], None], served: Callable[[], bool]
) -> Iterator[bool]:
    """Wait until we hold the owner's lock (True), or until `served()` makes it needless (False).

    Raises `Transient` when neither happens within twice the lock's life.
    """
    name = _wait(store, owner, sleep, served)
    try:
        yield bool(name)
    finally:
        if name:
            _release(store, owner, name)


def _wait(
    store: TokenStore, owner: str, sleep: Callable[[float], None], served: Callable[[], bool]
) -> str:
    pause, waited = 0.02, 0.0
    while waited < 2 * LOCK_SECONDS:
        if name := store.try_lock(owner):
            return name
        if served():
            return ""
        sleep(pause)
        waited += pause
        pause = min(pause * 1.5, _LONGEST_POLL)
    raise Transient("other workers have been asking for this token for minutes", "Try again later.")


def _release(store: TokenStore, owner: str, name: str) -> None:
    try:
        store.unlock(owner, name)
    except StoreDown:
        _log.warning("token_lock_unreleased", owner=owner)  # it expires by itself


def _value_key(owner: str) -> str:
    return f"trailkeeper:tokens:{owner}"


def _lock_key(owner: str) -> str:
    return f"trailkeeper:tokens-lock:{owner}"
