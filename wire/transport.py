"""kombu's Redis transport, with every item sealed on its way in and checked on its way out.

Here and not in the tasks, because an item that cannot be decoded ends a Celery worker's main
process long before a task is known. Remote control (pub/sub) goes the same way: a forged `shutdown`
is dropped as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

from wire.envelope import Fault, ForeignError, Seal

Dropped = Callable[[str, Fault, int], None]
"""told which queue held how many foreign items"""

_UNDATED_SECONDS = 600.0
"""of what carries no end of its own: a worker's questions and answers about itself"""
_SHEDDING_SECONDS = 0.5
"""at a time: the worker's main process has its children to look after"""
_MOST_AT_ONCE = 1024
_MOST_BYTES = 4 << 20
_BINDING_PARTS = 3
"""routing key, pattern and queue"""
_TYPES = {"unacked": b"hash", "unacked_index": b"zset", "unacked_mutex": b"string"}


def transport(url: str, key: bytes, dropped: Dropped = lambda *_: None) -> type:
    """The transport class for Celery's `broker_transport`; use `kombu_url(url)` with it."""
    channel = type(
        "SealedChannel", (_Channel,), {"seal": Seal(key), "dropped": staticmethod(dropped)}
    )
    # kombu takes a socket's path from a whole URL only, and a host from a parsed one.
    attributes = {"Channel": channel, "can_parse_url": urlsplit(url).scheme == "unix"}
    return _Named("SealedTransport", (kombu_redis.Transport,), attributes)


def kombu_url(url: str) -> str:
    """redis-py says `unix://…?db=0`, kombu `socket://…?virtual_host=0`, for the same thing; and
    kombu checks no certificate of `rediss://` unless it is told to."""
    if url.startswith("unix://"):
        path, _, query = url.removeprefix("unix").partition("?")
        return f"socket{path}?{query.replace('db=', 'virtual_host=')}"
    if url.startswith("rediss://") and "ssl_cert_reqs" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    return url


class _Named(type):
    """Celery writes the class where it writes an URL's scheme."""

    def __str__(cls) -> str:
        return "redis"


class _QoS(kombu_redis.QoS):
    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """What was handed out and not acknowledged goes back; what cannot be read there is gone."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (*self.channel.connection_errors, self.channel.ResponseError):
            raise
        except Exception as error:
            # Of ours, the time is over: the task ran for longer than its message is good for.
            fault = error.fault if isinstance(error, ForeignError) else Fault.UNSIGNED
            self.channel.dropped("unacked", fault, 1)
            self._remove_from_indices(tag).execute()


class _Channel(kombu_redis.Channel):
    QoS = _QoS
    seal: Seal
    dropped: Dropped
    supports_batch_publish = False

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self._remove_unless(_TYPES)

    def _new_queue(self, queue: str, *args: Any, **words: Any) -> None:
        keys = [self._q_for_pri(queue, step) for step in self.priority_steps]
        self._remove_unless(dict.fromkeys(keys, b"list"))
        super()._new_queue(queue, *args, **words)

    def _queue_bind(self, exchange: str, *args: Any, **words: Any) -> None:
        tables = (self.keyprefix_queue % exchange, self.keyprefix_binding_permanent % exchange)
        sets = dict.fromkeys(tables, b"set")
        self._remove_unless({**sets, self.keyprefix_binding_deadlines: b"zset"})
        super()._queue_bind(exchange, *args, **words)

    def get_table(self, exchange: str) -> list[tuple[str, ...]]:
        """Whoever answers a worker's question looks here for the queue of who asked."""
        self._remove_unless({self.keyprefix_queue % exchange: b"set"})
        return [row for row in super().get_table(exchange) if len(row) == _BINDING_PARTS]

    def _remove_unless(self, types: dict[str, bytes]) -> None:
        """A key of another type makes every command on it fail, until it is gone."""
        with self.conn_or_acquire() as client:
            for key, right in types.items():
                if client.type(key) not in (right, b"none"):
                    client.delete(key)
                    self.dropped(key, Fault.UNSIGNED, 1)

    # --- out ---

    def _sealed(self, message: dict[str, Any], place: str) -> bytes:
        return self.seal.close(dumps(message).encode(), place, _seconds(message))

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            pipe.lpush(key, self._sealed(message, queue))
            if expires := self._expires.get(queue):
                for step in self.priority_steps:
                    pipe.pexpire(self._q_for_pri(queue, step), expires)
            pipe.execute()

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], routing_key: str, **_: Any
    ) -> None:
        with self.conn_or_acquire() as client:
            for topic in self._get_publish_topics(exchange, routing_key):
                client.publish(topic, self._sealed(message, exchange))

    def _do_restore_message(
        self, payload: Any, exchange: Any, routing_key: Any, pipe: Any, leftmost: bool = False
    ) -> None:
        """As it was sealed, and not anew: what lies in Redis may have been put there by others."""
        item = _envelope(payload, exchange, routing_key)
        self.seal.open(item, routing_key)
        (pipe.lpush if leftmost else pipe.rpush)(self._q_for_pri(routing_key, 0), item)

    # --- in ---

    def _opened(self, item: bytes, place: str) -> dict[str, Any] | None:
        """The message, None when it was dropped. It keeps its envelope, to be restored in."""
        try:
            message: dict[str, Any] = loads(self.seal.open(item, place))
        except ForeignError as error:
            self.dropped(place, error.fault, 1)
            return None
        message["envelope"] = bytes_to_str(item)
        return message

    def _brpop_read(self, **options: Any) -> bool:
        try:
            try:
                found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()  # the next turn connects again
                raise
            if not found:
                raise Empty
            key, item = found
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            message = self._opened(item, queue)
            if message is None:
                self._shed(key, queue)
                raise Empty
            self.connection._deliver(message, queue)
            return True
        finally:
            self._in_poll: Any = None
            self._flush_brpop_reauth()

    def _get(self, queue: str, timeout: object = None) -> dict[str, Any]:
        with self.conn_or_acquire() as client:
            for step in self.priority_steps:
                while item := client.rpop(self._q_for_pri(queue, step)):
                    if message := self._opened(item, queue):
                        self._maybe_update_queues_expire(client, queue)
                        return message
            self._maybe_update_queues_expire(client, queue)
        raise Empty

    def _shed(self, key: bytes, queue: str) -> None:
        """Where one foreign item was there are more: take them by the hundred, for a moment.

        Ours among them go back where they were. A crash in between loses them, which costs what an
        emptied Redis costs.
        """
        until, count = time.monotonic() + _SHEDDING_SECONDS, 8
        with self.conn_or_acquire() as client:
            while time.monotonic() < until:
                items: list[bytes] = client.rpop(key, count) or []
                ours = [item for item in items if self._opened(item, queue) is not None]
                if ours:
                    client.rpush(key, *reversed(ours))
                if ours or not items:
                    return
                small = sum(map(len, items)) < _MOST_BYTES
                count = min(count * 2, _MOST_AT_ONCE) if small else max(count // 8, 1)

    def _receive_one(self, pubsub: Any) -> bool:
        try:
            response = pubsub.parse_response()
        except self.connection_errors:
            self._in_listen: Any = None
            raise
        if not isinstance(response, (list, tuple)):
            return False
        said = self._handle_message(pubsub, response)
        if not bytes_to_str(said["type"]).endswith("message") or not said["data"]:
            return False
        exchange = _exchange(bytes_to_str(said["channel"]))
        message = self._opened(said["data"], exchange)
        return message is not None and bool(self._deliver_fanout_message(message, exchange))


def _envelope(payload: Any, exchange: Any, queue: Any) -> bytes:
    """Raises `ForeignError`; a `KeyError` would pass for a lost connection with kombu."""
    item = payload.get("envelope") if isinstance(payload, dict) else None
    if exchange != "" or not isinstance(queue, str) or not isinstance(item, str):
        raise ForeignError(Fault.UNSIGNED)
    return item.encode()


def _exchange(channel: str) -> str:
    """`/0.celery.pidbox/key` is the exchange `celery.pidbox`."""
    if channel.startswith("/"):
        channel = channel.partition(".")[2]
    return channel.split("/", 1)[0]


def _seconds(message: dict[str, Any]) -> float:
    """How long a message is good for: Celery's own `expires`, where it has one."""
    said = (message.get("headers") or {}).get("expires")
    if not isinstance(said, str):
        return _UNDATED_SECONDS
    end = datetime.fromisoformat(said)
    return (end.replace(tzinfo=end.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
