"""The embedded Redis and the lock on the data folder."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import redis

from trailkeeper.errors import Unavailable
from trailkeeper.process.children import Supervisor
from trailkeeper.process.lock import data_folder
from trailkeeper.supervisor.embedded_redis import EmbeddedRedis
from trailkeeper.supervisor.service import check_redis


def _never() -> bool:
    return False


def test_it_answers_with_its_password_only(tmp_path: Path) -> None:
    """Once started it answers; a wrong password is refused in a sentence without either."""
    with Supervisor() as supervisor:
        server = EmbeddedRedis(tmp_path / "redis")
        server.start(supervisor, _never)
        check_redis(server.url)
        wrong = f"redis://:guess@127.0.0.1:{server.port}/0"
        with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}") as refused:
            check_redis(wrong)
        assert "guess" not in str(refused.value)


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
