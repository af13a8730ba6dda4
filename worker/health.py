"""One line and an exit code for probes: `python -m worker.health ROLE`, 0 alive, 1 not.

Whoever asks will restart what answers 1, so it condemns only what a restart can mend:

- A worker's node (`pull@HOST`, `plan@HOST`, `keep@HOST`) is pinged through Redis. Its main process
  answers while its children pull or merge for as long as they like, so long work is never mistaken
  for death.
- Beat leaves a sign of life each time it turns, and says in it when a tick last arrived at a
  worker. Both are told by the monotonic clock: a wrong wall clock hides and condemns nothing.
- With `--anywhere`, for people: whether any worker, on whatever host, takes the role's queue.
- While Redis is out of reach nothing can be told apart and no restart helps: alive, and said so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from celery import Celery
from celery.utils.nodenames import host_format
from kombu.exceptions import OperationalError

from trailkeeper.errors import TrailkeeperError
from trailkeeper.messages import Queue
from trailkeeper.settings import Settings, find_folder, load
from trailkeeper.ticks import HEARTBEAT_FILE, read_heartbeat
from wire.transport import kombu_url, transport

BEAT_STALE_SECONDS = 120.0
"""beat turns, and a tick arrives, every five seconds"""
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
_ALL_ANSWER_SECONDS = (0.5, 2.0, _ANSWER_SECONDS)
"""How many nodes there are, nobody knows: each of these is waited for in full, the short one mostly
enough."""


class Role(StrEnum):
    """What runs in the container that asks."""

    PULL = "pull"
    PLAN = "plan"
    KEEP = "keep"
    """every queue but `pull` and `plan`"""
    BEAT = "beat"


_TAKES = {Role.PULL: Queue.PULL, Role.PLAN: Queue.PLAN, Role.KEEP: Queue.MERGE}


@dataclass(frozen=True, slots=True)
class Health:
    alive: bool
    line: str


def judge(
    role: Role, settings: Settings, now: float | None = None, *, anywhere: bool = False
) -> Health:
    """Is `role` of this host alive, or any worker `anywhere`? Takes at most about ten seconds.

    `now`: seconds of the monotonic clock; None asks it.

    Raises `ConfigurationError` when no Redis is configured or its password cannot be read.
    """
    queue = _queue(settings)
    with queue.connection_for_write() as redis:
        try:
            redis.connect()
            if role is Role.BEAT:
                return _beat(settings.service.data, time.monotonic() if now is None else now)
            if anywhere:
                return _any_worker(_TAKES[role], queue)
            return _worker(host_format(f"{role.value}@%h"), queue)
        except (OperationalError, *redis.connection_errors) as error:
            why = type(error).__name__  # its text may quote the URL
            return Health(True, f"{role.value}: waits for Redis, which is out of reach ({why})")


def _queue(settings: Settings) -> Celery:
    """An app that only asks: the worker's own would load every task."""
    url = settings.broker_url()
    queue = Celery("trailkeeper-health", broker=kombu_url(url), set_as_current=False)
    queue.conf.broker_transport = transport(url, settings.message_key())
    queue.conf.broker_transport_options = {
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_timeout": _ANSWER_SECONDS,
    }
    return queue


def _worker(node: str, queue: Celery) -> Health:
    if queue.control.ping(destination=[node], timeout=_ANSWER_SECONDS):
        return Health(True, f"{node}: answers")
    return Health(False, f"{node}: no answer in {_ANSWER_SECONDS:g} s, though Redis is there")


def _any_worker(queue: Queue, asking: Celery) -> Health:
    """By queue and not by name: who starts Celery by hand may name a node as he likes."""
    for seconds in _ALL_ANSWER_SECONDS:
        taken = asking.control.inspect(timeout=seconds).active_queues() or {}
        nodes = [n for n, queues in taken.items() if any(q["name"] == queue for q in queues)]
        if nodes:
            return Health(True, f"{queue.value}: taken by {len(nodes)}, {min(nodes)} among them")
    return Health(False, f"{queue.value}: no worker takes this queue, though Redis is there")


def _beat(data: Path, now: float) -> Health:
    left = read_heartbeat(data)
    if left is None or left.turned_at > now:  # that of an earlier boot
        return Health(False, f"beat: no {data / HEARTBEAT_FILE} of this boot; it never began")
    turned, arrived = now - left.turned_at, now - left.arrived_at
    if turned > BEAT_STALE_SECONDS:
        return Health(False, f"beat: it last turned {turned:.0f} s ago")
    line = (
        f"beat: turned {turned:.0f} s ago; a tick arrived, or the wait began, {arrived:.0f} s ago"
    )
    return Health(arrived <= BEAT_STALE_SECONDS, line)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.health", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("role", choices=[role.value for role in Role])
    parser.add_argument("--anywhere", action="store_true", help="any worker on any host; not beat")
    asked = parser.parse_args(words)
    role = Role(asked.role)
    try:
        settings = load(find_folder())
        health = judge(role, settings, anywhere=asked.anywhere)
    except TrailkeeperError as error:
        health = Health(False, f"{role.value}: {error}")
    print(health.line)  # noqa: T201 - the line is what a probe records
    return 0 if health.alive else 1


if __name__ == "__main__":
    sys.exit(main())
