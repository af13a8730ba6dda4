"""The embedded Redis and the lock on the data folder."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import stat
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery

from trailkeeper.errors import Unavailable
from trailkeeper.process.children import Supervisor
from trailkeeper.process.lock import data_folder
from trailkeeper.supervisor.embedded_redis import EmbeddedRedis
from trailkeeper.supervisor.service import check_redis
from trailkeeper.ticks import TickCounter
from wire.transport import kombu_url, transport


def _never() -> bool:
    return False


def test_it_answers_with_its_password_only(tmp_path: Path) -> None:
    """Once started it answers; a wrong password is refused in a sentence without either."""
    with Supervisor() as supervisor:
        server = EmbeddedRedis(tmp_path / "redis")
        server.start(supervisor, _never)
        check_redis(server.url)
        wrong = f"unix://:guess@{server.socket}"
        with pytest.raises(Unavailable, match=re.escape(str(server.socket))) as refused:
            check_redis(wrong)
        assert "guess" not in str(refused.value)


def test_nobody_else_gets_in(tmp_path: Path) -> None:
    """No port is open; the folder, the socket and the file with the password are this user's
    alone; memory and buffers have an end."""
    with Supervisor() as supervisor:
        server = EmbeddedRedis(tmp_path / "redis")
        server.start(supervisor, _never)
        assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "redis" / "redis.conf").stat().st_mode) == 0o600
        (child,) = supervisor.children
        assert not psutil.Process(child.pid).net_connections("inet")
        assert server.url.split("@")[0].rpartition(":")[2] not in " ".join(
            psutil.Process(child.pid).cmdline()
        )
        with redis.Redis.from_url(server.url) as client:
            assert 0 < int(client.config_get("maxmemory")["maxmemory"]) <= 1 << 30
            with pytest.raises(redis.RedisError):
                client.lpush("pull", bytes(3 << 20))


def test_a_deep_folder_has_its_socket_elsewhere(tmp_path: Path) -> None:
    """A path that no socket can have leads into a folder of this user's alone, for every reader."""
    deep = tmp_path / ("d" * 100) / 'a "quoted" blank' / "redis"
    with Supervisor() as supervisor:
        server = EmbeddedRedis(deep)
        server.start(supervisor, _never)
        try:
            assert len(os.fsencode(server.socket)) <= 100
            assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
            _every_reader(server.url)
        finally:
            shutil.rmtree(server.socket.parent, ignore_errors=True)


def test_every_reader_understands_a_socket(tmp_path: Path) -> None:
    """Tokens, budgets, the count of ticks and the queue itself, all by the one URL."""
    with Supervisor() as supervisor:
        server = EmbeddedRedis(tmp_path / "a folder")
        server.start(supervisor, _never)
        _every_reader(server.url)


def _every_reader(url: str) -> None:
    from trailkeeper.microsoft.identity.token_cache import redis_tokens
    from trailkeeper.microsoft.identity.token_crypto import TokenKeys
    from trailkeeper.store.budget import RequestBudget

    check_redis(url)
    assert redis_tokens(url, TokenKeys(bytes(32))).read("nobody") == ("", b"")
    RequestBudget(url).take("contoso", 1)
    counter = TickCounter(url)
    counter.received()
    assert counter.count() == 1
    with Celery("test", broker=kombu_url(url), set_as_current=False) as app:
        app.conf.broker_transport = transport(url, bytes(32))
        app.conf.task_create_missing_queues = True
        app.send_task("anything", queue="pull")
    with redis.Redis.from_url(url) as client:
        assert client.llen("pull") == 1
        assert client.keys("trailkeeper-feed*")


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """`rm -rf data/redis` and the death of Redis: it is started again, and nobody else ends."""
    with Supervisor() as supervisor:
        server = EmbeddedRedis(tmp_path / "redis")
        server.start(supervisor, _never)
        (child,) = supervisor.children
        shutil.rmtree(tmp_path / "redis")
        os.kill(child.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not (child.restarts and child.code is None and server.socket.exists()):
            assert time.monotonic() < deadline
            supervisor.tend()
            time.sleep(0.05)
        check_redis(server.url)


def test_what_was_queued_survives_a_restart(tmp_path: Path) -> None:
    """Its append-only file is read again by the next start, under another password."""
    folder = tmp_path / "a folder with blanks"
    for turn in range(2):
        with Supervisor() as supervisor:
            server = EmbeddedRedis(folder)
            server.start(supervisor, _never)
            with redis.Redis.from_url(server.url) as client:
                assert client.rpush("queue", "message") == turn + 1
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            supervisor.stop()


def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    """A Redis that ends at once says where its folder is and that it may be moved away."""
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"this is no append-only file")
    (tmp_path / "redis" / "appendonlydir").write_bytes(b"nor is this a folder of them")
    with Supervisor() as supervisor, pytest.raises(Unavailable, match="move it away"):
        EmbeddedRedis(tmp_path / "redis").start(supervisor, _never)


def test_two_holders_of_one_folder(tmp_path: Path) -> None:
    """The second is refused with the first one's process number; afterwards it is free again."""
    spawning = multiprocessing.get_context("spawn")
    held, enough = spawning.Event(), spawning.Event()
    holder = spawning.Process(target=_hold, args=(tmp_path, held, enough))
    holder.start()
    try:
        assert held.wait(timeout=60)
        with pytest.raises(Unavailable, match=f"process {holder.pid}"), data_folder(tmp_path):
            pytest.fail("two processes hold one folder")
    finally:
        holder.kill()  # a lock that outlives a kill would be stale
        holder.join()
    with data_folder(tmp_path):
        assert (tmp_path / "up.lock").read_text() == f"{os.getpid()}\n"


def _hold(folder: Path, held: Event, enough: Event) -> None:
    with data_folder(folder):
        held.set()
        enough.wait()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    """A data folder that cannot be made is refused with its path."""
    (tmp_path / "data").touch()
    with pytest.raises(Unavailable, match=str(tmp_path / "data")), data_folder(tmp_path / "data"):
        pytest.fail("a file was taken for a folder")
