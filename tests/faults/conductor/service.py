"""Runs of the *service* tier: Celery workers, beat and a Redis behind a proxy that misbehaves."""

from __future__ import annotations

import copy
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from celery import Celery

from sandbox import Sandbox
from tests.configured import Configured
from tests.e2e.running import Service, exported, is_proven, service, until
from tests.faults.conductor.redis_proxy import RedisProxy
from tests.faults.conductor.verdict import Verdict, addressed, compare, told_of_losses
from tests.servers.redis import RedisServer, redis_server
from trailkeeper.messages import Task
from trailkeeper.model.report import Month
from trailkeeper.model.window import iso
from trailkeeper.settings import load
from wire.transport import transport

PATIENCE_SECONDS = 900
"""a delivery whose worker was killed waits ten minutes for the next one"""
_LEASE_SECONDS = 4


@dataclass
class _Scene:
    box: Sandbox
    redis: RedisServer
    proxy: RedisProxy
    running: Service
    dice: random.Random

    def kill(self, name: str) -> None:
        self.running.kill(name)
        self.running.start(name)

    def tend(self) -> None:
        """What `up`, systemd and Kubernetes do: who has ended is started again. Celery ends a
        worker whose children die while it starts."""
        for name, process in list(self.running.processes.items()):
            if process.poll() is not None:
                self.running.start(name)
        self.running.tick()

    def kill_child(self) -> None:
        """One of the forked children: its master starts another."""
        for child in self._children()[:1]:
            child.kill()

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return self.running.children(self.dice.choice(["pull", "keep"]))
        return []

    def stop_past_leases(self) -> None:
        children = self._children()
        _signal(children, signal.SIGSTOP)
        time.sleep(_LEASE_SECONDS * 1.5)
        _signal(children, signal.SIGCONT)

    def empty_redis(self) -> None:
        with self.redis.client() as client:
            client.flushall()

    def kill_redis(self) -> None:
        self.redis.stop()
        time.sleep(self.dice.uniform(0, 1))
        self.redis.start()

    def double_messages(self) -> None:
        """Any segment, any tenant, in any order, twice: a message is a hint."""
        words: list[tuple[Task, list[object]]] = [
            (Task.PULL_SEGMENT, [self.dice.randint(1, 20)]) for _ in range(20)
        ]
        words += [(Task.MERGE_TENANT, [name]) for name in self.box.options.tenants]
        words += [(Task.TICK_MONTHS, []), (Task.TICK_REAP, []), (Task.TICK_COMPACT, [])]
        self.dice.shuffle(words := words * 2)
        key = load(self.running.configuration).message_key()
        with Celery(broker=self.redis.url, set_as_current=False) as app:
            app.conf.broker_transport = transport(self.redis.url, key)
            for task, ids in words:
                app.send_task(task.value, args=ids, queue=task.queue.value)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue


FAULTS: dict[str, Callable[[_Scene], None]] = {
    "kill_pull": lambda scene: scene.kill("pull"),
    "kill_keep": lambda scene: scene.kill("keep"),
    "kill_beat": lambda scene: scene.kill("beat"),
    "kill_child": _Scene.kill_child,
    "stop_past_leases": _Scene.stop_past_leases,
    "empty_redis": _Scene.empty_redis,
    "kill_redis": _Scene.kill_redis,
    "cut_redis": lambda scene: scene.proxy.cut(),
    "delay_redis": lambda scene: scene.proxy.delay(0.3, seconds=3),
    "double_messages": _Scene.double_messages,
}


def play_service(seed: int, folder: Path) -> list[Verdict]:
    """Two tenants of one service, troubled while they are collected; a verdict for each."""
    dice = random.Random(f"service/{seed}")
    tenants = [f"s{seed:04d}a", f"s{seed:04d}b"]
    month = Month.of(datetime.now(UTC), UTC).previous().previous()
    with _scene(tenants, month, folder, dice) as scene:
        played = dice.sample(sorted(FAULTS), 5)
        for name in played:
            time.sleep(dice.uniform(0.5, 2))
            FAULTS[name](scene)
        return [_judged(scene, seed, tenant, month, folder, played) for tenant in tenants]


@contextmanager
def _scene(tenants: list[str], month: Month, folder: Path, dice: random.Random) -> Iterator[_Scene]:
    window = month.window(UTC)  # type: ignore[arg-type]  # a zone all the same
    with Sandbox(folder / "box", tenants=tuple(tenants), rate=0.0) as box, redis_server() as redis:
        for tenant in tenants:
            for day in range(0, (datetime.now(UTC) - window.start).days, 5):
                start = window.start + timedelta(days=day)
                end = start + timedelta(days=1)
                box.control.generate(tenant, iso(start), iso(end), 40, seed=f"{tenant}/{day}")
            box.control.alter(tenant, seconds_per_call=0.1)
        configuration = Configured(
            folder / "conf",
            box,
            tenants,
            service={"lease": f"{_LEASE_SECONDS}s"},
            collection={"segment_length": "3d"},
            tenant={"since": iso(window.start)},
            recipients=["all@msp.example"],
        ).write()
        for tenant in tenants:
            file = configuration / "tenants" / f"{tenant}.toml"
            file.write_text(file.read_text().replace("all@", f"{tenant}@"))
        proxy = RedisProxy(redis.port)
        proxied = copy.copy(redis)
        proxied.url = redis.url.replace(str(redis.port), str(proxy.port))
        try:
            with service(configuration, proxied, folder) as running:
                yield _Scene(box, redis, proxy, running, dice)
        finally:
            proxy.close()


def _judged(
    scene: _Scene, seed: int, tenant: str, month: Month, folder: Path, played: list[str]
) -> Verdict:
    verdict = Verdict(seed, "service", played=list(played))
    window = month.window(UTC)  # type: ignore[arg-type]  # a zone all the same
    start, end = iso(window.start), iso(window.end)
    configuration = scene.running.configuration

    def mails() -> Counter[str]:
        found = map(addressed, scene.box.control.mail())
        return Counter(what for to, what in found if to == f"{tenant}@msp.example")

    until(
        lambda: is_proven(configuration, tenant, start, end),
        f"{tenant} proven; see {scene.running.log}",
        PATIENCE_SECONDS,
        nudge=scene.tend,
    )
    until(lambda: mails(), f"{tenant} mailed", PATIENCE_SECONDS, nudge=scene.tend)
    verdict.complete = True
    verdict.months, verdict.mails = len(mails()), mails().total()
    target = folder / f"{tenant}.jsonl"
    exported(configuration, tenant, target)
    compare(verdict, [each["AuditData"] for each in scene.box.control.records(tenant)], target)
    verdict.told = told_of_losses(scene.running.log)
    verdict.may_repeat = verdict.told > 0
    verdict.kills = sum(name.startswith("kill_") for name in played)
    return verdict
