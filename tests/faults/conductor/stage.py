"""Plays the runs of the *steps* tier: one sandbox for all, a tenant and a data folder for each."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from sandbox import Sandbox
from tests.configured import Configured, certificate, pfx
from tests.faults.conductor.clock import RunClock
from tests.faults.conductor.faults import Act, Kind
from tests.faults.conductor.lives import WARM, Life, live
from tests.faults.conductor.mail_proxy import MailProxy
from tests.faults.conductor.plan import Plan
from tests.faults.conductor.verdict import (
    Verdict,
    addressed,
    compare,
    hides_acceptance,
    proven,
    told_of_losses,
)
from trailkeeper.model.report import Month
from trailkeeper.model.window import iso
from trailkeeper.store.database import open_database

LIFE_SECONDS = 900
"""real seconds after which a life hangs; they pass in a few, on a busy machine in some tens"""
_LAST_LIVES = 4
_AFTER_LEASES = timedelta(minutes=15)


class Stage:
    """One sandbox with its mailbox, and a process that has imported everything to fork lives from.

    Several runs may be played at a time, from threads.
    """

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.folder = folder
        self.box = box
        self.month = Month.of(datetime.now(UTC), UTC).previous().previous()
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.faults.conductor.lives", *WARM])
        self._template = folder / "ledger.db"
        open_database(f"sqlite:///{self._template}").dispose()
        pfx(certificate("nobody"))  # makes the run's key, before several threads would
        self._mailed: dict[Path, tuple[str, str]] = {}
        self._counting = threading.Lock()

    def play(self, plan: Plan, before: Callable[[Path], None] = lambda folder: None) -> Verdict:
        """`before` is called with the configuration folder before anything else is done with it."""
        run = _Run(self, plan)
        try:
            before(run.configuration)
            return run.played()
        finally:
            run.close()

    def life(self, life: Life) -> BaseProcess:
        process = self._forks.Process(target=live, args=(life,), daemon=True)
        process.start()
        return process

    def template(self, target: Path) -> None:
        """A migrated ledger: the migrations are another test's."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._template, target)

    def mails_to(self, recipient: str) -> Counter[str]:
        """How often each month was mailed."""
        with self._counting:
            for path in self.box.control.mail():
                if path not in self._mailed:
                    self._mailed[path] = addressed(path)
            return Counter(what for to, what in self._mailed.values() if to == recipient)


@dataclass
class _Run:
    stage: Stage
    plan: Plan
    lives: int = 0
    processes: list[BaseProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        stage, plan = self.stage, self.plan
        self.folder = stage.folder / plan.tenant
        self.log = self.folder / "log.jsonl"
        self.recipient = f"security@{plan.tenant}.example"
        self.verdict = Verdict(plan.seed, "steps")
        self.proxy = MailProxy(stage.box["smtp_port"])
        self.window = stage.month.window(UTC)  # type: ignore[arg-type]  # a zone all the same
        self._fill()
        self.configuration = self._configured()
        self.clock = RunClock(self.folder / "clock")
        self.clock.set(self.window.end + timedelta(days=3))

    def _fill(self) -> None:
        control, tenant = self.stage.box.control, self.plan.tenant
        control.create_tenant(tenant)
        for day in self.plan.days:  # few of them: an export costs a moment for each
            start = self.window.start + timedelta(days=day)
            end = start + timedelta(days=1)
            control.generate(tenant, iso(start), iso(end), self.plan.rate, seed=f"{tenant}/{day}")

    def _configured(self) -> Path:
        configured = Configured(
            self.folder / "conf",
            self.stage.box,
            [self.plan.tenant],
            service={"lease": "4s"},
            collection={
                "segment_length": f"{self.plan.segment_days}d",
                "reread_after": ["24h"],
            },
            tenant={"since": iso(self.window.start)},
            recipients=[self.recipient],
        )
        folder = configured.write()
        main = folder / "trailkeeper.toml"
        port = f"port = {self.stage.box['smtp_port']},"
        main.write_text(main.read_text().replace(port, f"port = {self.proxy.port},"))
        self.stage.template(configured.data / "ledger.db")
        return folder

    def close(self) -> None:
        for process in self.processes:
            if process.is_alive() and process.pid:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            process.join(10)
        self.proxy.close()
        self.stage.box.control.remove_tenant(self.plan.tenant)
        if not self.verdict.failures():
            shutil.rmtree(self.folder)

    def played(self) -> Verdict:
        for act in self.plan.acts:
            self.verdict.played.append(f"{act.kind} {act.crash_at} {act.words or ''}".strip())
            player = _PLAYERS.get(act.kind, _Run.one_life)
            (_Run.network if "network" in act.words else player)(self, act)
        self._finish()
        return self._judged()

    # --- lives ---------------------------------------------------------------------------------

    def begin(self, act: Act, *, alone: bool = True, result: Path | None = None) -> BaseProcess:
        self.lives += 1
        life = Life(
            configuration=self.configuration,
            tenant=self.plan.tenant,
            month=str(self.stage.month),
            clock=self.folder / "clock",
            log=self.log,
            seed=f"{self.plan.seed}/{self.lives}",
            crash_at=act.crash_at,
            words=act.words,
            alone=alone,
            result=result,
        )
        process = self.stage.life(life)
        self.processes.append(process)
        return process

    def end(self, process: BaseProcess, act: Act) -> int:
        """Wait for its end; what it died of. One that hangs is killed, and is a failure."""
        process.join(LIFE_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            self.verdict.trouble.append(f"a life hung: {act}")
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            self._hit(act)
            self.verdict.kills += 1
        elif code not in (0, 3, 4):
            self.verdict.trouble.append(f"a life ended with {code}: {act}")
        return code

    def _hit(self, act: Act) -> None:
        self.verdict.hits.append(act.point)
        if hides_acceptance(act):
            self.verdict.may_repeat = True

    def _finish(self) -> None:
        for _ in range(_LAST_LIVES):
            result = self.folder / "result.json"
            if self.end(self.begin(Act(Kind.KILL), result=result), Act(Kind.KILL)) == 0:
                return
        self.verdict.trouble.append("the last life never ended its work")

    def _judged(self) -> Verdict:
        verdict, control = self.verdict, self.stage.box.control
        start, end = iso(self.window.start), iso(self.window.end)
        truth = [each["AuditData"] for each in control.records(self.plan.tenant, start, end)]
        compare(verdict, truth, self.folder / "result.jsonl")
        proven(verdict, self.folder / "result.json")
        mailed = self.stage.mails_to(self.recipient)
        verdict.months, verdict.mails = len(mailed), mailed.total()
        verdict.told = told_of_losses(self.log)
        verdict.may_repeat |= self.proxy.answers_lost > 0
        for point in set(self.plan.must_hit) - set(verdict.hits):
            verdict.trouble.append(f"nobody was killed at {point}")
        return verdict

    # --- acts ----------------------------------------------------------------------------------

    def one_life(self, act: Act) -> None:
        self.end(self.begin(act), act)

    def stopped(self, act: Act) -> None:
        process = self.begin(act)
        if not _stops(process):
            self.end(process, act)
            return
        self._hit(act)
        self.clock.sleep(_AFTER_LEASES.total_seconds())
        self.one_life(Act(Kind.KILL))
        assert process.pid
        os.kill(process.pid, signal.SIGCONT)
        self.end(process, act)

    def rivals(self, act: Act) -> None:
        first, second = self.begin(act, alone=False), self.begin(Act(Kind.KILL), alone=False)
        self.end(first, act)
        self.end(second, Act(Kind.KILL))

    def network(self, act: Act) -> None:
        name, words = act.words["network"]
        number = self.stage.box.control.set_fault(name, self.plan.tenant, **words)
        self.one_life(act)
        self.stage.box.control.clear_faults(number)

    def mail_cut(self, act: Act) -> None:
        self.proxy.cut = act.words["mail"]
        self.one_life(act)
        self.proxy.cut = ""

    def refused(self, act: Act) -> None:
        fails = {Kind.FSYNC: "fsync", Kind.RENAME: "rename"}[act.kind]
        self.one_life(Act(act.kind, words={**act.words, "fails": fails}))

    def damaged(self, act: Act) -> None:
        self.one_life(act)
        for path in self.folder.glob("data/landing/*/[!.]*.zst"):
            if act.words["how"] == "delete":
                path.unlink()
            else:
                os.truncate(path, path.stat().st_size // 2)


def _stops(process: BaseProcess) -> bool:
    """Whether it came to stand still, before it ended."""
    deadline = time.monotonic() + LIFE_SECONDS
    while process.exitcode is None and time.monotonic() < deadline:
        with suppress(psutil.Error):
            if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
                return True
        time.sleep(0.02)
    return False


_PLAYERS: dict[Kind, Callable[[_Run, Act], None]] = {
    Kind.STOP: _Run.stopped,
    Kind.RIVALS: _Run.rivals,
    Kind.MAIL_CUT: _Run.mail_cut,
    Kind.FSYNC: _Run.refused,
    Kind.RENAME: _Run.refused,
    Kind.DAMAGE: _Run.damaged,
}
