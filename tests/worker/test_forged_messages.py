"""What somebody with access to Redis can do to real workers: cost them a moment, and no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from tests.servers.redis import RedisServer, redis_server
from tests.worker.forged import items, message
from trailkeeper.messages import Queue, Task
from trailkeeper.settings import load
from wire.envelope import Fault, Seal
from wire.transport import transport


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Path:
    folder = tmp_path_factory.mktemp("forged")
    text = f'[service]\nredis = "{redis.url}"\n'
    (folder / "trailkeeper.toml").write_text(text, encoding="utf-8")
    return folder


@contextmanager
def _running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker for every queue, gossip and remote control included."""
    queues = ",".join(sorted(Queue))
    words = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-Q", queues, "-c", "1"]
    environment = {**os.environ, "TRAILKEEPER_CONFIG": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with _running(folder) as process:
        _until(lambda: b" ready." in (folder / "log").read_bytes(), folder)
        yield process


@pytest.fixture(scope="module")
def app(folder: Path, redis: RedisServer) -> Iterator[Celery]:
    """Ours, with the key."""
    with Celery("test", broker=redis.url, set_as_current=False) as app:
        app.conf.broker_transport = transport(redis.url, load(folder).message_key())
        yield app


def _until(true: Callable[[], object], folder: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, (folder / "log").read_text("utf-8", "replace")[-3000:]
        time.sleep(0.05)


def _finished(folder: Path, task: Task) -> int:
    lines = (folder / "log").read_text("utf-8", "replace").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return sum(e.get("event") == "task_finished" and e.get("task") == task.value for e in events)


def _works(worker: subprocess.Popen[bytes], app: Celery, folder: Path) -> None:
    """Our own message is still taken, by the same process."""
    before = _finished(folder, Task.PULL_SEGMENT)
    app.send_task(Task.PULL_SEGMENT.value, args=[1], queue="pull", expires=90)
    _until(lambda: _finished(folder, Task.PULL_SEGMENT) > before, folder)
    assert worker.poll() is None


def test_no_form_of_item_ends_a_worker_or_runs(
    worker: subprocess.Popen[bytes], app: Celery, folder: Path, redis: RedisServer
) -> None:
    """Every odd item in every queue is dropped, counted and said; nothing of it is run."""
    odd = items()
    queues = sorted(Queue)
    with redis.client() as client:
        for queue in queues:
            for item in odd:  # one at a time, as each may be the one that ends it
                client.lpush(queue, item)
        _until(lambda: not any(client.llen(queue) for queue in queues), folder)
        _works(worker, app, folder)
        _until(lambda: not client.hlen("unacked"), folder)
    metrics = folder / "data" / "metrics"

    def counted() -> float:
        lines = "".join(p.read_text() for p in metrics.glob("trailkeeper-dropped-*.prom"))
        found = [line for line in lines.splitlines() if line.startswith("trailkeeper_messages_dro")]
        return sum(float(line.rpartition(" ")[2]) for line in found if "_total{" in line)

    _until(lambda: counted() >= len(odd) * len(queues), folder)
    log = (folder / "log").read_text("utf-8", "replace")
    assert "messages_dropped" in log
    assert "Traceback" not in log
    assert not list(Path().glob("opened_by_*"))


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_a_flood_does_not_hold_up_our_message(
    worker: subprocess.Popen[bytes], app: Celery, folder: Path, redis: RedisServer, count: int
) -> None:
    """Our message behind ten thousand foreign ones is taken as soon as these are shed."""
    item = json.dumps(message(Task.PULL_SEGMENT.value, 7)).encode()
    with redis.client() as client:
        for _ in range(count // 1000):
            client.lpush("pull", *[item] * 1000)
        _works(worker, app, folder)
        assert not client.llen("pull")


def test_keys_of_another_type_are_removed(
    worker: subprocess.Popen[bytes], app: Celery, folder: Path, redis: RedisServer
) -> None:
    """A queue or a list of messages under way that became something else is made anew."""
    with redis.client() as client:
        for key in ("pull", "unacked", "unacked_index", "unacked_mutex"):
            client.delete(key)
            client.sadd(key, "x")
        _until(lambda: client.type("pull") in (b"none", b"list"), folder)
        _until(lambda: client.type("unacked") in (b"none", b"hash"), folder)
    _works(worker, app, folder)


@pytest.mark.parametrize("exchange", ["celery.pidbox", "reply.celery.pidbox"])
def test_spoilt_bindings_keep_no_worker_from_answering(
    worker: subprocess.Popen[bytes], app: Celery, redis: RedisServer, exchange: str
) -> None:
    """A table of bindings that holds nonsense, or is no table, condemns no worker: whoever
    probes it still gets its answer."""
    tables = [f"_kombu.binding.{exchange}", f"_kombu.binding_permanent.{exchange}"]
    with redis.client() as client:
        client.sadd(tables[0], "x", b"\xff")
        assert app.control.ping(timeout=20, limit=1)
        for table in (*tables, "_kombu.binding_deadlines"):
            client.delete(table)
            client.set(table, "x")
        assert app.control.ping(timeout=20, limit=1)


def test_a_task_that_outlived_its_message_is_not_told_as_foreign(
    app: Celery, folder: Path, redis: RedisServer
) -> None:
    """What is not acknowledged when its time is over is dropped under that name."""
    told: list[tuple[str, Fault, int]] = []
    key = load(folder).message_key()
    envelope = Seal(key, lambda: time.time() - 100).close(b"{}", "pull", 90).decode()
    with Celery("test", broker=redis.url, set_as_current=False) as own, redis.client() as client:
        own.conf.broker_transport = transport(redis.url, key, lambda *what: told.append(what))
        client.hset("unacked", "late", json.dumps([{"envelope": envelope}, "", "pull"]))
        client.zadd("unacked_index", {"late": 1})
        with own.connection() as connection, connection.channel() as channel:
            channel.qos.restore_by_tag("late")
        assert not client.hexists("unacked", "late")
    assert told == [("unacked", Fault.EXPIRED, 1)]


def test_what_lies_among_the_unacknowledged_is_not_trusted(
    worker: subprocess.Popen[bytes], app: Celery, folder: Path, redis: RedisServer
) -> None:
    """Nothing that was put there by others is sent out again as if it were ours."""
    with redis.client() as client:
        forged = message(Task.DELIVER.value, 1)
        client.hset("unacked", "a", json.dumps([forged, "", "mail"]))
        client.hset("unacked", "b", b"\xff{")
        client.zadd("unacked_index", {"a": 1, "b": 1})
    with app.connection() as connection, connection.channel() as channel:
        channel.qos.restore_visible(num=None, interval=1)
    with redis.client() as client:
        assert not client.zcard("unacked_index")
        assert not client.llen("mail")
    _works(worker, app, folder)


def test_forged_remote_control_is_not_obeyed(
    worker: subprocess.Popen[bytes], app: Celery, folder: Path, redis: RedisServer
) -> None:
    """A `shutdown` that somebody publishes does nothing; our own questions are answered."""
    assert app.control.ping(timeout=10, limit=1)
    told = {"method": "shutdown", "arguments": {}, "destination": None}
    order = message("", body=json.dumps(told).encode())
    with redis.client() as client:
        for data in (json.dumps(order).encode(), b"x", b"[" * 100_000, *items()):
            client.publish("/0.celery.pidbox", data)
    _works(worker, app, folder)
    assert app.control.ping(timeout=10, limit=1)
