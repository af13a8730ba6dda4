"""What one process of the service does, from its start until it is done, or killed.

Runs in a process forked from one that has imported everything and used nothing.
"""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from tests.faults.conductor.clock import RunClock
from trailkeeper import logs
from trailkeeper.bootstrap import SystemClock, World
from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.certificates.loading import Certificates
from trailkeeper.microsoft.identity.token_cache import TokenCache
from trailkeeper.microsoft.identity.tokens import Tokens
from trailkeeper.model.coverage import proves
from trailkeeper.model.report import Month
from trailkeeper.model.stream import Source
from trailkeeper.settings import load
from trailkeeper.settings.environment import CRASH_VARIABLE
from trailkeeper.steps.plan import enqueue_due, plan_tenants

WARM = (
    "fontTools.agl",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "msal",
    "msal_extensions",
    "trailkeeper.mail.chart",
    "trailkeeper.mail.render",
    "trailkeeper.mail.smtp",
    "trailkeeper.microsoft.activity.source",
    "trailkeeper.microsoft.certificates.expiry",
    "trailkeeper.microsoft.exchange.source",
    "trailkeeper.store.lake",
    "trailkeeper.store.ledger",
    "trailkeeper.store.outbox",
)
"""imported before the fork, once for all lives"""

log = structlog.get_logger()

_MOST_ROUNDS = 60
_TROUBLED_ROUNDS = 4
"""a disk stays full for ever: no use in waiting for its end"""
_RIVALS_IDLE = 5
_PATIENCE = (1, 60, 300, 660, 3600, 3600, 7200, 14_400, 86_400)
"""seconds that an idle life lets pass, longer each time: leases end, back-offs, settling"""


@dataclass(frozen=True)
class Life:
    configuration: Path
    tenant: str
    month: str
    clock: Path
    log: Path
    seed: str
    crash_at: str = ""
    words: dict[str, Any] = field(default_factory=dict)
    alone: bool = True
    """False: another process works beside it, so that it lets no time pass"""
    result: Path | None = None
    """where the last life puts what it proved, and the export beside it"""


def live(life: Life) -> None:
    """Exit code 0: done, 3: still unfinished after a long time, 4: an error of the ledger or disk
    ended it, as it ends a task; negative: the signal."""
    _log_to(life)
    os.environ[CRASH_VARIABLE] = life.crash_at
    logs.configure("info", as_json=True)
    _trouble(life.words)
    world = _world(life)
    try:
        finished = _Service(world, life).until_done()
        if finished and life.result:
            _prove(world, life)
    except (TrailkeeperError, OSError) as error:
        log.warning("life_ended", reason=str(error))
        finished = False
        sys.exit(4)
    finally:
        world.close()
    sys.exit(0 if finished else 3)


def _world(life: Life) -> World:
    wrong_by = timedelta(hours=life.words.get("hours", 0))
    world = World(load(life.configuration), RunClock(life.clock, wrong_by))
    # The sandbox's login reads the real clock, so ours does: assertions and certificates.
    real = SystemClock()
    certificates = Certificates(world.settings, real)
    world.__dict__["certificates"] = certificates
    world.__dict__["tokens"] = Tokens(
        world.settings, world.sessions, TokenCache(None), certificates, real
    )
    return world


class _Messages:
    """`ports.enqueuer.Enqueuer` over a list that doubles and reorders what it is given."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.waiting: list[tuple[str, Any]] = []

    def _send(self, what: str, about: Any) -> None:
        for _ in range(2 if self._dice.random() < 0.2 else 1):
            self.waiting.insert(self._dice.randint(0, len(self.waiting)), (what, about))

    def pull(self, segment_ids: Sequence[int]) -> None:
        for each in segment_ids:
            self._send("pull", each)

    def merge(self, tenant: str) -> None:
        self._send("merge", tenant)

    def report(self, tenant: str, month: Month) -> None:
        self._send("report", month)

    def deliver(self, outbox_id: int) -> None:
        self._send("deliver", outbox_id)

    def compact(self, tenant: str) -> None:
        self._send("compact", tenant)


class _Service:
    """Ticks and tasks, as beat and the workers do them, one at a time."""

    def __init__(self, world: World, life: Life) -> None:
        self._world = world
        self._life = life
        self._tenant = world.settings.tenants[life.tenant]
        self._messages = _Messages(random.Random(life.seed))
        self._swept = False

    def until_done(self) -> bool:
        idle = 0
        for _ in range(_TROUBLED_ROUNDS if "bytes" in self._life.words else _MOST_ROUNDS):
            self._tick()
            worked = self._work()
            if self._done():
                return True
            idle = 0 if worked else idle + 1
            if not worked and not self._wait(idle):
                return False
        return False

    def _wait(self, idle: int) -> bool:
        if not self._life.alone:
            time.sleep(0.1)
            return idle < _RIVALS_IDLE
        self._world.clock.sleep(_PATIENCE[min(idle, len(_PATIENCE)) - 1])
        return True

    def _tick(self) -> None:
        world, now = self._world, self._world.clock.now()
        self._try(lambda: plan_tenants(world.settings, world.ledger, [Source.EXCHANGE], now))
        self._try(
            lambda: enqueue_due(world.settings, world.ledger, world.outbox, self._messages, now)
        )
        self._try(self._months)

    def _months(self) -> None:
        for tenant, month in self._world.close_months.due(self._world.clock.now()):
            self._messages.report(tenant.name, month)

    def _work(self) -> bool:
        """Whether any message led to anything."""
        world, worked = self._world, False
        while self._messages.waiting:
            what, about = self._messages.waiting.pop(0)
            if what == "pull":
                outcome = self._try(lambda about=about: world.pull(about, world.owner))
                worked |= outcome in ("landed", "empty")
            elif what == "merge":
                counts = self._try(lambda: world.merge(self._tenant.name, world.owner))
                worked |= bool(counts and counts.received)
            elif what == "report":
                worked |= self._report(about)
            elif what == "deliver":
                worked |= self._try(lambda about=about: world.deliver(about)) == "sent"
        return worked

    def _report(self, month: Month) -> bool:
        found = self._try(lambda: self._world.report.enqueue(self._tenant, month))
        if found is not None:
            self._messages.deliver(found)
        return found is not None

    def _done(self) -> bool:
        """The month is mailed and proven: then what is old goes, a day later."""
        world = self._world
        newest = world.outbox.newest(self._tenant.name, Month.parse(self._life.month))
        if newest is None or newest.state.value != "sent" or not self._proven():
            return False
        if not self._swept:
            self._swept = True
            world.clock.sleep(25 * 3600)
            self._try(world.reap)
            self._try(lambda: world.lake.compact(self._tenant.name, timedelta(days=1)))
        return not world.ledger.tenants_to_merge()

    def _proven(self) -> bool:
        window = Month.parse(self._life.month).window(self._tenant.zone)
        return proves(self._world.cover.of_month(self._tenant, window))

    def _try(self, step: Callable[[], Any]) -> Any:
        """What a task's door does: an error is logged, and the next sweep tries it again."""
        try:
            return step()
        except (TrailkeeperError, OSError) as error:
            log.warning("task_finished", outcome="again", reason=str(error))
            return None


def _prove(world: World, life: Life) -> None:
    assert life.result
    window = Month.parse(life.month).window(world.settings.tenants[life.tenant].zone)
    with life.result.with_suffix(".jsonl").open("wb") as out:
        world.lake.export_jsonl(life.tenant, window, out)
    coverage = world.cover.of_month(world.settings.tenants[life.tenant], window)
    gaps = [str(gap) for each in coverage for gap in (*each.gaps, *each.suspect)]
    life.result.write_text(json.dumps({"complete": proves(coverage), "gaps": gaps}))


# --- what a process may suffer from its machine -------------------------------------------------


def _log_to(life: Life) -> None:
    """A file; on a full disk a pipe to one, as to the system's journal."""
    with life.log.open("ab", buffering=0) as out:
        number = out.fileno()
        if "bytes" in life.words:
            writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out)
            assert writer.stdin
            number = writer.stdin.fileno()
        os.dup2(number, 1)
        os.dup2(number, 2)
        if number != out.fileno():
            os.close(number)


def _trouble(words: dict[str, Any]) -> None:
    if "fails" in words:
        _refuse(words["fails"], words["nth"])
    if "bytes" in words:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then write() fails with EFBIG
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (words["bytes"], hard))


def _refuse(name: str, nth: int) -> None:
    """The kernel's `name` fails three times from its n-th call on."""
    real: Callable[..., None] = getattr(os, name)
    calls = 0

    def failing(*words: Any, **keywords: Any) -> None:
        nonlocal calls
        calls += 1
        if nth <= calls < nth + 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(*words, **keywords)

    setattr(os, name, failing)
