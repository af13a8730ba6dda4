"""What a whole service consists of, in the order in which it starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis
import structlog

from trailkeeper.bootstrap import World
from trailkeeper.errors import Unavailable
from trailkeeper.messages import Queue
from trailkeeper.process.children import Child, ChildSpec, Supervisor, ended
from trailkeeper.process.lock import data_folder, is_held
from trailkeeper.settings import FOLDER_VARIABLE, REDIS_VARIABLE, Settings
from trailkeeper.supervisor.embedded_redis import EmbeddedRedis
from trailkeeper.ticks import TickCounter, TickWatch

log = structlog.get_logger()

REDIS_STAGE, WORKER_STAGE, BEAT_STAGE = 1, 2, 3
"""beat stops first, so that nothing new is asked; Redis last, so that workers can say goodbye"""
WORKER_STOP_SECONDS = 20.0
"""A worker finishes its tasks for so long. With beat and Redis it stays under the 30 seconds that
container platforms give; what is killed after that is leased again."""
_BEAT_STOP_SECONDS = 4.0
_LOOK_SECONDS = 5.0
_CHECKOUT = Path(__file__).parents[2]

SPARE = 1
"""pulling processes beside `service.workers`: pulls that are known to be long never take the last
one, so this one is there for the quick"""
KEEPING = 2
"""keeping processes: while one compacts or reports for minutes, the other one merges"""
KEEPING_QUEUES = (Queue.MERGE, Queue.REPORT, Queue.MAIL)
"""Ticks have a process of their own: two long merges would hold up every tenant's next minute."""
_TO_BEGIN = (Queue.PLAN, Queue.PULL)
"""by which what waits in the ledger begins: a tick enqueues it, a pull takes it"""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    redis: str
    """where it is, in words; never its password"""
    watch: Callable[[], None]
    """call it again and again: it says when ticks stop to arrive, and starts beat again"""


@contextmanager
def running_service(
    settings: Settings, supervisor: Supervisor, stopping: Callable[[], bool]
) -> Iterator[Service]:
    """Redis unless one is configured, the workers and beat, on a locked data folder.

    Leaving does not stop them in order: call `supervisor.stop` for that. Raises `Unavailable`.
    """
    with data_folder(settings.service.data):
        _open_ledger(settings)
        url, words = settings.redis_url, ""
        if url is None:
            embedded = EmbeddedRedis(settings.service.data / "redis", REDIS_STAGE)
            embedded.start(supervisor, stopping)
            words = f"embedded, {embedded.socket} ({embedded.binary.name})"
            url, variables = embedded.url, {REDIS_VARIABLE: embedded.url}
        else:
            check_redis(url)
            words, variables = f"configured, {_place(url)}", {}
        started = [supervisor.start(spec) for spec in children(settings, variables)]
        yield Service(words, BeatWatch(TickCounter(url), started[-1]))


class BeatWatch:
    """Looks every few seconds whether ticks arrive at the planning worker."""

    def __init__(self, counter: TickCounter, beat: Child) -> None:
        self._counter, self._beat = counter, beat
        self._watch = TickWatch()
        self._look_at = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._watch.look(self._counter.count())
        if self._watch.should_say():
            log.error(
                "ticks_missed",
                seconds=round(self._watch.missing_seconds),
                remedy="beat is started again; see whether Redis answers and `plan` is at work.",
            )
            self._beat.kill()


def _open_ledger(settings: Settings) -> None:
    """Make or migrate it once, here, where an error is one sentence and not one per worker."""
    world = World(settings)
    try:
        world.ledger.parkings()
    finally:
        world.close()


def check_redis(url: str) -> None:
    """Raises `Unavailable` when Redis does not answer; the message never holds its password."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except redis.AuthenticationError:
        raise Unavailable(
            f"Redis at {_place(url)} refuses our password", "Correct service.redis_password."
        ) from None
    except (redis.RedisError, ValueError, OSError) as error:
        raise Unavailable(
            f"Redis at {_place(url)} does not answer: {_reason(error)}",
            "Start it, correct service.redis, or leave that out: then one is started here.",
        ) from None


def _place(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _reason(error: Exception) -> str:
    """The last clause of `Error 111 connecting to HOST:PORT. Connection refused.`"""
    text = (str(error) or type(error).__name__).rstrip(".")
    return text.rpartition(". ")[2].lower()


def children(settings: Settings, variables: dict[str, str]) -> Iterable[ChildSpec]:
    """The workers and beat. `variables` says where an embedded Redis is."""
    common = {**variables, FOLDER_VARIABLE: str(settings.folder), **import_path()}
    data, workers = settings.service.data, settings.service.workers
    yield _celery("pull", data, common, *_worker("pull", [Queue.PULL], workers + SPARE))
    yield _celery("plan", data, common, *_worker("plan", [Queue.PLAN], 1))
    yield _celery("keep", data, common, *_worker("keep", KEEPING_QUEUES, KEEPING))
    # An empty pid file name: Celery's lock would outlive a kill, ours does not.
    yield _celery("beat", data, common, "-A", "beat.app", "beat", "--pidfile=")


def _worker(name: str, queues: Iterable[Queue], processes: int) -> tuple[str, ...]:
    # Gossip and mingle let workers watch each other; the ledger's leases do that already.
    return (
        *("-A", "worker.app", "worker", "-n", f"{name}@%h", "-Q", ",".join(queues)),
        *("--concurrency", str(processes), "--without-gossip", "--without-mingle"),
    )


def _celery(name: str, data: Path, variables: dict[str, str], *words: str) -> ChildSpec:
    beat = name == "beat"
    return ChildSpec(
        name=name,
        # Celery puts the current folder first on its import path. In the data folder it finds
        # nothing; in the operator's it might find another `worker`.
        argv=(sys.executable, "-m", "celery", "--quiet", *words),
        folder=data,
        stage=BEAT_STAGE if beat else WORKER_STAGE,
        stop_seconds=_BEAT_STOP_SECONDS if beat else WORKER_STOP_SECONDS,
        variables=variables,
    )


def queue_without_worker(settings: Settings) -> Queue | None:
    """The first queue that no worker takes, of those by which work in the ledger begins.

    None, too, where that cannot be told. Asked by the worker's own probe, in a process: this side
    knows no Celery. Takes some seconds. Of beat, which may run on any host, nothing is known.
    """
    if is_held(settings.service.data):
        return None  # the supervisor there starts what dies
    if settings.redis_url is None:
        return _TO_BEGIN[0]
    return next((queue for queue in _TO_BEGIN if not _is_taken(settings, queue)), None)


def _is_taken(settings: Settings, queue: Queue) -> bool:
    # -P: the operator's folder may hold another `worker`. These queues have their role's name.
    words = (sys.executable, "-P", "-m", "worker.health", queue.value, "--anywhere")
    asked = ended(words, {FOLDER_VARIABLE: str(settings.folder), **import_path()})
    return asked.returncode == 0 or not asked.stdout


def import_path() -> dict[str, str]:
    """A checkout that is not installed is found by its path; an installed package needs nothing."""
    return {"PYTHONPATH": str(_CHECKOUT)} if (_CHECKOUT / "pyproject.toml").is_file() else {}
