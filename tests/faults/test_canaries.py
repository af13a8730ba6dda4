"""Planted secrets are looked for wherever a secret may leak, in the real service at debug level."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from sandbox import Sandbox
from tests.configured import Configured
from tests.e2e.running import Service, service, until
from tests.faults.canaries import (
    Canaries,
    Watch,
    canaries,
    core_files_allowed,
    everything_in,
    watching,
)
from tests.microsoft.identity import make_pair
from tests.servers.redis import RedisServer, redis_server
from trailkeeper.messages import Queue, Task
from trailkeeper.settings import load
from wire.transport import transport

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TENANT = "contoso"
PASSWORD = "canary-of-the-pfx-password-7f3a"
BODY = "canary-of-a-record-body-91c4"
BROKEN_BODY = "canary-of-a-malformed-body-5d20"
CRASH = "import os, signal; canary = 'canary in ' + 'memory';os.kill(os.getpid(), signal.SIGSEGV)"


@dataclass
class Scene:
    """The running service, what was planted, and what was seen of it from outside."""

    box: Sandbox
    running: Service
    redis: RedisServer
    planted: Canaries
    watch: Watch
    cores: Path
    """where its processes' core files would lie"""

    def searches(self) -> int:
        return int(self.box.control.counters()["requests"].get("search", 0))

    def refuse(self, place: str, content: bytes) -> None:
        assert self.planted.found_in(content) == [], place


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def scene(redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A service at debug level, allowed to dump core, over a tenant with planted secrets."""
    since = datetime.now(UTC) - timedelta(days=9)
    cores = tmp_path / "cores"
    cores.mkdir()
    monkeypatch.chdir(cores)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Sandbox(tmp_path / "box", tenants=(TENANT,)) as box:
        pair = make_pair()
        box.control.add_lines(TENANT, records(since))
        box.control.alter(TENANT, seconds_per_call=0.3, token_seconds=4)
        folder = configure(box, tmp_path / "conf", since)
        (folder / f"{TENANT}.pfx").write_bytes(pair.pfx(PASSWORD))
        (folder / "pfx-password").write_text(PASSWORD)
        box.control.register(TENANT, pair.pem)
        planted = canaries(pair, PASSWORD, BODY, BROKEN_BODY)
        with (
            core_files_allowed(),
            watching(redis.url) as watch,
            service(folder, redis, tmp_path) as running,
        ):
            yield Scene(box, running, redis, planted, watch, cores)


def configure(box: Sandbox, folder: Path, since: datetime) -> Path:
    return Configured(
        folder,
        box,
        [TENANT],
        service={"log_level": "debug", "lease": "4s"},
        collection={"segment_length": "12h"},
        tenant={"since": since.isoformat()},
        recipients=(),
    ).write()


def records(since: datetime) -> list[str]:
    """A record an hour, every tenth of them malformed; each body holds a canary."""
    lines = []
    for hour in range(9 * 24 - 2):
        at = f"{since + timedelta(hours=hour):%Y-%m-%dT%H:%M:%S}"
        body = json.dumps({"Id": f"{hour:08d}", "CreationTime": at, "Operation": BODY})
        if hour % 10 == 0:
            body = f'{{"Id": "{hour:08d}", "Operation": "{BROKEN_BODY}'
        row = {"Identity": f"{hour:08d}", "CreationDate": f"{at}Z", "AuditData": body}
        lines.append(json.dumps(row))
    return lines


def trouble(scene: Scene) -> None:
    """What goes wrong on the way: each of these takes another path into the log."""
    control = scene.box.control
    control.set_fault("aadsts", TENANT, times=2, calls=["token"], code=90033)
    for name, calls in (
        ("reset", ["token"]),
        ("not_json", ["token"]),
        ("not_json", ["search"]),
        ("server_error", ["search"]),
        ("reset_mid_body", ["search"]),
        ("redirect", ["search"]),
        ("errors_in_200", ["search"]),
    ):
        control.set_fault(name, TENANT, times=2, calls=calls, chance=0.5)
    queue = Celery(broker=scene.redis.url, set_as_current=False)
    key = load(scene.running.configuration).message_key()
    queue.conf.broker_transport = transport(scene.redis.url, key)
    for words in (["no number"], [], [1, 2, 3]):  # ends in a traceback in the worker's log
        queue.send_task(Task.PULL_SEGMENT.value, args=words, queue=Queue.PULL.value)


def crash(scene: Scene) -> None:
    """A pulling child by SIGSEGV, one by SIGABRT, the merging child, and a master."""
    for name, sent in (("pull", signal.SIGSEGV), ("pull", signal.SIGABRT), ("keep", signal.SIGBUS)):
        before = scene.searches()
        until(lambda before=before: scene.searches() > before, "a call under way")
        child = scene.running.children(name)[0]
        child.send_signal(sent)
        until(lambda child=child, name=name: child not in scene.running.children(name), "its death")
    master = scene.running.processes["keep"]
    master.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(master.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert not os.WCOREDUMP(status)
    master.returncode = -signal.SIGSEGV
    scene.running.start("keep")


def test_no_planted_secret_is_found(scene: Scene, tmp_path: Path) -> None:
    """PFX password, private key, tokens, assertions and record bodies are found in no key, value
    or command of Redis, no log line, no task message in the queue, no argv, no core, no ledger."""
    until(lambda: scene.searches() > 3, "the collection under way")
    trouble(scene)
    crash(scene)
    scene.running.kill("pull")
    with scene.redis.client() as client:
        until(lambda: client.llen(Queue.PULL.value) > 0, "task messages that nobody takes")
        for key, value in everything_in(client).items():
            scene.refuse(f"Redis key {key!r}", value)
        queued = b"\n".join(client.lrange(Queue.PULL.value, 0, -1))
    assert Task.PULL_SEGMENT.value.encode() in queued
    scene.running.start("pull")
    before = scene.searches()
    until(lambda: scene.searches() > before + 2, "the collection going on")
    said = commanded(scene)
    time.sleep(1)  # whatever is still on its way into a log
    log = scene.running.log.read_bytes()
    for words in (b"token_acquired", b"task_failed", b"Traceback"):
        assert words in log, words
    scene.refuse("the service's log", log)
    scene.refuse("a command's output", said)
    assert any(b"celery" in line for line in scene.watch.ours)
    scene.refuse("command lines", b"\n".join(scene.watch.ours))
    everybody = b"\n".join(scene.watch.command_lines)  # strangers may show keys of their own
    assert [text for text in scene.planted.texts if text in everybody] == []
    assert any(b"token" in command.lower() for command in scene.watch.commands)
    scene.refuse("commands to Redis", b"\n".join(scene.watch.commands))
    assert list(scene.cores.rglob("core*")) == []
    data = Path(scene.running.configuration.parent, "data")
    for path in (*data.glob("ledger.db*"), *data.glob("metrics/*")):
        scene.refuse(str(path), path.read_bytes())


def commanded(scene: Scene) -> bytes:
    """What commands print at their most talkative, good and bad."""
    start = datetime.now(UTC) - timedelta(days=5)
    words = ("--from", start.isoformat(), "--to", (start + timedelta(hours=3)).isoformat())
    found = b""
    for command in (
        ("collect", "--tenant", TENANT, *words, "-vv"),
        ("tenants", "check", "-vv"),
        ("certificate", "list", "-vv"),
        ("doctor", "-vv"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "trailkeeper.cli", *command],
            env={**scene.running.environment, "TRAILKEEPER_DEBUG": "1"},
            capture_output=True,
            timeout=200,
            check=False,
        )
        found += done.stdout + done.stderr
    return found


def test_the_search_is_not_blind(tmp_path: Path, redis: RedisServer) -> None:
    """Each canary is found where it does lie: in every type of value, in a message's base64."""
    pair = make_pair()
    planted = canaries(pair, PASSWORD, BODY)
    token = "eyJhbGciOiJQUzI1NiJ9.e30.signature"
    with redis.client() as client, watching(redis.url) as watch:
        client.set("string", PASSWORD)
        client.rpush("list", json.dumps({"body": _base64(json.dumps([[token], {}, {}]))}))
        client.hset("hash", "field", BODY)
        client.sadd("set", pair.key_pem())
        client.zadd("zset", {pair.pfx(): 1.0})
        client.set(token, "a key's name counts as well")
        found = everything_in(client)
        client.flushall()
    assert len(found) == 6
    for key, value in found.items():
        assert planted.found_in(value), key
    seen = {each.split(b" ", 1)[0] for each in watch.commands if planted.found_in(each)}
    assert {b"SET", b"RPUSH", b"HSET", b"SADD", b"ZADD"} <= seen
    assert not planted.found_in(make_pair().pem)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_crash_would_be_seen(tmp_path: Path) -> None:
    """Under the limits of the test above an ordinary process does leave a core, so that none of
    ours means something; skipped where this machine keeps no cores."""
    with core_files_allowed():
        ordinary = subprocess.Popen([sys.executable, "-c", CRASH], cwd=tmp_path)
        _, status = os.waitpid(ordinary.pid, 0)
        ordinary.returncode = -os.WTERMSIG(status)
    if not os.WCOREDUMP(status):  # a limit of the machine: nothing of ours could leave one either
        pytest.skip("this machine keeps no core files at all")
    found = list(tmp_path.rglob("core*"))
    if not found:  # core_pattern names a program or a folder: what that keeps is not ours to read
        pytest.skip("this machine keeps its core files elsewhere")
    assert b"canary in memory" in found[0].read_bytes()
