"""`python -m worker.health` against real workers, a real beat and a Redis that comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.servers.redis import RedisServer, redis_server
from trailkeeper.settings import load
from trailkeeper.ticks import BeatHeartbeat
from worker.health import BEAT_STALE_SECONDS, Health, Role, judge, main

CELERY = [sys.executable, "-m", "celery", "--quiet"]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, redis: RedisServer) -> Path:
    """A configuration folder that names the server; its data folder exists."""
    (tmp_path / "data").mkdir()
    text = f'[service]\nredis = "{redis.url}"\n'
    (tmp_path / "trailkeeper.toml").write_text(text, encoding="utf-8")
    return tmp_path


@contextmanager
def _running(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery process in a group of its own, which is killed whole at the end."""
    environment = {**os.environ, "TRAILKEEPER_CONFIG": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*CELERY, *words], env=environment, stderr=log, stdout=log, start_new_session=True
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _judged(role: Role, folder: Path) -> Health:
    return judge(role, load(folder))


def _alive_in_time(role: Role, folder: Path) -> Health:
    deadline = time.monotonic() + 60
    while not (health := _judged(role, folder)).alive and time.monotonic() < deadline:
        time.sleep(0.2)
    assert health.alive, (health.line, (folder / "log").read_text())
    return health


def _worker(folder: Path) -> list[str]:
    options = ["-Q", "pull", "-n", "pull@%h", "--concurrency", "1"]
    return ["-A", "worker.app", "worker", *options]


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not answer within a second is not waited for: a refusal comes early, none is hidden.
    Where an answer is expected the tests ask again and again."""
    monkeypatch.setattr("worker.health._ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("worker.health._ALL_ANSWER_SECONDS", (0.5, 1.0))


def test_worker_is_judged_by_its_main_process(folder: Path) -> None:
    """A worker whose child never comes back is alive; one whose main process hangs is not."""
    with _running(folder, *_worker(folder)) as process:
        assert "answers" in _alive_in_time(Role.PULL, folder).line
        (child,) = psutil.Process(process.pid).children()
        child.suspend()  # as a segment that takes for ever
        assert _judged(Role.PULL, folder).alive
        process.send_signal(signal.SIGSTOP)
        hanging = _judged(Role.PULL, folder)
    assert not hanging.alive
    assert "no answer" in hanging.line


@pytest.mark.usefixtures("short_patience")
def test_one_worker_does_not_answer_for_another(folder: Path) -> None:
    """A pulling worker that runs says nothing of the keeper beside it."""
    with _running(folder, *_worker(folder)):
        _alive_in_time(Role.PULL, folder)
        assert not _judged(Role.KEEP, folder).alive


@pytest.mark.usefixtures("short_patience")
def test_any_worker_is_found_by_its_queue(folder: Path) -> None:
    """With `anywhere`, a worker counts for the queues it takes, whatever its node is called."""
    words = ["-A", "worker.app", "worker", "-Q", "pull", "-n", "mine@elsewhere", "--concurrency=1"]
    settings = load(folder)
    assert not judge(Role.PULL, settings, anywhere=True).alive
    with _running(folder, *words):
        deadline = time.monotonic() + 60
        while not (found := judge(Role.PULL, settings, anywhere=True)).alive:
            assert time.monotonic() < deadline, (folder / "log").read_text()
        assert "mine@elsewhere" in found.line
        assert not judge(Role.KEEP, settings, anywhere=True).alive


def test_beat_is_alive_once_it_runs(folder: Path) -> None:
    """A beat that has begun has left a sign of life where the check looks for it."""
    assert not _judged(Role.BEAT, folder).alive
    with _running(folder, "-A", "beat.app", "beat", "--pidfile="):
        assert _alive_in_time(Role.BEAT, folder).line.startswith("beat: turned")


@pytest.mark.parametrize(
    ("turned", "arrived", "alive"),
    [(1, 1, True), (1, 119, True), (1, 121, False), (121, 121, False), (-1, -1, False)],
)
def test_beat_is_judged_by_ticks_that_arrive(
    folder: Path, turned: float, arrived: float, alive: bool
) -> None:
    """A beat that turns while no tick arrives is dead, and so is one that turns no more; a sign
    from the future is that of an earlier boot."""
    now = 10_000.0
    BeatHeartbeat(now - turned, now - arrived).write(folder / "data")
    assert judge(Role.BEAT, load(folder), now).alive is alive
    assert BEAT_STALE_SECONDS == 120


@pytest.mark.parametrize("role", list(Role))
def test_nobody_is_dead_while_redis_is(role: Role, folder: Path, redis: RedisServer) -> None:
    """Without Redis nothing is condemned: a restart would only cost the work in hand."""
    redis.stop()
    health = _judged(role, folder)
    assert health.alive
    assert "waits for Redis" in health.line


def test_exit_code_and_one_line(
    folder: Path,
    redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command says one line and 0 or 1, also when the configuration is refused."""
    monkeypatch.setenv("TRAILKEEPER_CONFIG", str(folder))
    assert main(["beat"]) == 1
    redis.stop()
    assert main(["beat"]) == 0
    (folder / "trailkeeper.toml").write_text("nonsense", encoding="utf-8")
    assert main(["beat"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "not valid TOML" in lines[2]


def test_password_is_not_said(folder: Path, redis: RedisServer) -> None:
    """A Redis that refuses the password is named without it."""
    redis.client().config_set("requirepass", "right-one")
    (folder / "password").write_text("wrong-one", encoding="utf-8")
    text = f'[service]\nredis = "{redis.url}"\nredis_password = "file:password"\n'
    (folder / "trailkeeper.toml").write_text(text, encoding="utf-8")
    health = _judged(Role.PULL, folder)
    assert "wrong-one" not in health.line
    assert health.alive
