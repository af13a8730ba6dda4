"""The real service for a test: redis-server, beat and Celery workers as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from celery import Celery

from tests.servers import warm
from tests.servers.redis import RedisServer
from trailkeeper.bootstrap import World
from trailkeeper.messages import Task
from trailkeeper.model.window import parse_instant
from trailkeeper.settings import load
from wire.transport import transport


@dataclass
class Service:
    """Started processes by name; `log` holds what all of them said."""

    configuration: Path
    redis: RedisServer
    log: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """`pull`, `keep` (everything else) or `beat`."""
        celery = [sys.executable, "-m", "celery"]
        worker = [*celery, "-A", "worker.app", "worker", "-n", f"{name}@%h", "--pool", "prefork"]
        words = {
            "pull": [*worker, "-Q", "pull", "-c", "2"],
            "keep": [*worker, "-Q", "plan,merge,report,mail", "-c", "1"],
            "beat": [*celery, "-A", "beat.app", "beat"],
        }[name]
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                words, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TRAILKEEPER_CONFIG": str(self.configuration),
            "TRAILKEEPER_REDIS": self.redis.url,
        }

    def children(self, name: str) -> list[psutil.Process]:
        """The forked children of a worker, which do the work."""
        return psutil.Process(self.processes[name].pid).children()

    def kill(self, name: str) -> None:
        """SIGKILL to the whole process group: parent and children at one instant."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def tick(self) -> None:
        """One more tick, as a second beat would send: it may come at any time and changes nothing,
        and spares the test the wait for the next full minute."""
        key = load(self.configuration).message_key()
        with Celery(broker=self.redis.url) as app:
            app.conf.broker_transport = transport(self.redis.url, key)
            app.send_task(Task.TICK_COLLECT.value, queue=Task.TICK_COLLECT.queue.value)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def service(configuration: Path, redis: RedisServer, folder: Path) -> Iterator[Service]:
    """Everything running; whatever still runs at the end is killed."""
    running = Service(configuration, redis, folder / "service.log")
    try:
        for name in ("pull", "keep", "beat"):
            running.start(name)
        yield running
    finally:
        running.stop()


def until(
    true: Callable[[], object],
    what: str,
    seconds: float = 120,
    nudge: Callable[[], object] = lambda: None,
) -> None:
    """Wait for a condition; fails with its name. Bounded, never a measure of speed.

    `nudge` is called every three seconds meanwhile.
    """
    begun = time.monotonic()
    nudged = begun
    while not true():
        assert time.monotonic() < begun + seconds, f"within {seconds:.0f} s not: {what}"
        time.sleep(0.2)
        if time.monotonic() > nudged + 3:
            nudge()
            nudged = time.monotonic()


def trailkeeper(
    configuration: Path, *words: str, ends: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command; `ends` is the exit code expected, None for any."""
    done = warm.run(("--config", str(configuration), *words), Path.cwd(), os.environ)
    assert ends is None or done.returncode == ends, (done.returncode, done.stdout, done.stderr)
    return done


def exported(configuration: Path, tenant: str, target: Path) -> Counter[str]:
    """Lines of `trailkeeper export --format jsonl`, each with how often it came."""
    trailkeeper(configuration, "export", "--tenant", tenant, "--format", "jsonl", "-o", str(target))
    return Counter(target.read_text("utf-8").removesuffix("\n").split("\n"))


def is_proven(configuration: Path, tenant: str, start: str, end: str) -> bool:
    """Whether the range is complete by the ledger; asked in this process: cheap to poll."""
    world = World(load(configuration))
    try:
        asked = (parse_instant(start), parse_instant(end))
        stated = world.cover.of_tenant(world.settings.tenant(tenant), world.clock.now(), asked)
        return bool(stated) and all(each.is_complete for each in stated)
    finally:
        world.close()


def coverage(configuration: Path, tenant: str, start: str, end: str) -> dict[str, object]:
    """The object that `coverage --json` prints for the tenant's only source."""
    words = ("coverage", "--tenant", tenant, "--from", start, "--to", end, "--json")
    done = trailkeeper(configuration, *words, ends=None)
    assert done.returncode in {0, 10}, (done.returncode, done.stderr)
    found: dict[str, object] = json.loads(done.stdout)
    return found
