"""The acts of `trailkeeper demo`, in order, and what is said about them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from trailkeeper import logs
from trailkeeper.bootstrap import World
from trailkeeper.cli import demo_story, output
from trailkeeper.cli.demo_folder import TENANTS, write_main, write_tenant
from trailkeeper.cli.demo_lab import Lab
from trailkeeper.cli.demo_progress import Status, progress
from trailkeeper.errors import NeedsPerson, TrailkeeperError, Unavailable, UsageError
from trailkeeper.model.coverage import Coverage
from trailkeeper.model.report import Month
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window
from trailkeeper.process.children import Supervisor
from trailkeeper.process.stopping import StopRequest
from trailkeeper.settings import TenantSettings, load
from trailkeeper.supervisor.service import KEEPING, running_service

_PATIENCE_SECONDS = 240.0
_LOOK_SECONDS = 0.5
_RESTARTS_ALLOWED = 3
LOG_FILE = "demo.log"
SANDBOX_FOLDER = "sandbox-state"
"""no name of a package: `python -m sandbox` in the demo's folder is meant to find the program"""


def play(folder: Path) -> bool:
    """The whole demo in `folder`; False when it was told to stop before the end.

    What is said then is what there is: nothing, or records that can be read, but no way to go on.

    Raises `UsageError` when the folder is not empty, `Unavailable` when a part fails.
    """
    root = _empty(folder)
    logs.configure("warning")
    screen = output.console()
    with (
        StopRequest() as stop,
        (root / LOG_FILE).open("ab") as log,
        Supervisor(log) as supervisor,
    ):
        stage = _Stage(root, supervisor, stop, screen)
        try:
            done = _play(stage)
        except TrailkeeperError as error:
            error.remedy = f"{error.remedy} The log: {root / LOG_FILE}.".strip()
            raise
    for line in _where_to_look(root) if done else _what_is_left(root, stage.merged):
        screen.print(line)
    return done


@dataclass(slots=True)
class _Stage:
    """What every act needs."""

    root: Path
    supervisor: Supervisor
    stop: StopRequest
    console: Console
    merged: dict[str, int] = field(default_factory=dict)
    """tenant → records in its lake when the workers had ended"""

    def say(self, line: str) -> None:
        self.console.print(line)

    def stopping(self) -> bool:
        return self.stop.asked

    @property
    def configuration(self) -> Path:
        return self.root / "trailkeeper.d"


def _empty(folder: Path) -> Path:
    """The folder, made when it is missing. What our own output goes to does not count."""
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = [entry for entry in sorted(folder.iterdir()) if not _is_our_output(entry)]
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be used: {(error.strerror or str(error)).lower()}",
            "Name another folder with --folder DIR.",
        ) from None
    if found:
        raise UsageError(
            f"{folder} is not empty: it holds {found[0].name}",
            "Name a new folder with --folder DIR; the demo never writes over anything.",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be written", "Name another folder with --folder DIR.")
    return folder


def _is_our_output(path: Path) -> bool:
    """`trailkeeper demo > out.txt` makes out.txt before we can look."""
    return any(
        os.path.samestat(path.stat(), os.fstat(stream.fileno()))
        for stream in (sys.__stdout__, sys.__stderr__)
        if stream is not None and not stream.closed
    )


def _play(stage: _Stage) -> bool:
    """All acts; False when asked to stop."""
    now = datetime.now(UTC)
    months = {tenant.name: tenant.month(now) for tenant in TENANTS}
    lab = Lab(stage.root / SANDBOX_FOLDER)
    lab.start(stage.supervisor, [tenant.name for tenant in TENANTS], stage.stopping)
    if stage.stopping():
        return False
    stage.say(f"sandbox   Microsoft 365 for {len(TENANTS)} tenants, {lab.said['login']}")
    _onboard(stage, lab, months, now)
    settings = load(stage.configuration)
    world = World(settings)
    try:
        for tenant in settings.tenants.values():
            _check(stage, world, tenant)
        with running_service(settings, stage.supervisor, stage.stopping) as service:
            stage.say(f"redis     {service.redis}")
            pulling = settings.service.workers
            stage.say(f"workers   {pulling} pulling, {KEEPING} keeping, one planning; beat ticks")
            done = _watch(stage, lab, world, months)
            stage.supervisor.stop(lambda: stage.stop.asked)
        stage.merged = dict(_merged(world, months))
    finally:
        world.close()
    return done


def _merged(world: World, months: dict[str, Month]) -> Iterator[tuple[str, int]]:
    """Each tenant of whose months the lake holds records, and how many, by the ledger."""
    for tenant in _tenants(world):
        coverage = _Watched(world, tenant, months[tenant.name]).coverage()
        if stored := sum(each.counts.stored for each in coverage):
            yield tenant.name, stored


def _onboard(stage: _Stage, lab: Lab, months: dict[str, Month], now: datetime) -> None:
    """Fill each tenant's audit log, write its files, register its certificate."""
    write_main(stage.configuration, lab.said)
    ids = {entry["name"]: entry for entry in lab.said["tenants"]}
    for tenant in TENANTS:
        month = months[tenant.name]
        begin = month.window(tenant.zone).start
        made = lab.generate(tenant.name, Window(begin, now), tenant.rate)
        if tenant.name == demo_story.TENANT:
            entry = ids[tenant.name]
            made += lab.tell(
                tenant.name, demo_story.lines(begin, entry["tenant_id"], entry["domain"])
            )
        certificate = write_tenant(stage.configuration, tenant, ids[tenant.name], month)
        lab.register(tenant.name, certificate)
        stage.say(
            f"tenant    {tenant.name}: {made:,} records since {month}-01, {tenant.timezone}, "
            "certificate made and registered"
        )


def _check(stage: _Stage, world: World, tenant: TenantSettings) -> None:
    """Run the preflight checks. Raises `NeedsPerson` at the first check that fails."""
    checks = 0
    for check in world.sources[Source.EXCHANGE].check(tenant.name):
        if check.passed is False:
            raise NeedsPerson(f"{tenant.name}: {check.name} failed: {check.detail}", check.remedy)
        checks += 1
    stage.say(f"check     {tenant.name}: {checks} checks passed, ready to collect")


def _watch(stage: _Stage, lab: Lab, world: World, months: dict[str, Month]) -> bool:
    """Show progress until three reports lie in the mailbox; False when asked to stop."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    watched = [_Watched(world, tenant, months[tenant.name]) for tenant in _tenants(world)]
    with progress(stage.console) as shown:
        while not stage.stopping():
            stage.supervisor.tend()
            _give_up_on_crashes(stage.supervisor)
            mailed = set(lab.mailed_to())
            statuses = [each.status(mailed) for each in watched]
            shown.show(statuses)
            if all(status.mailed for status in statuses):
                return True
            if time.monotonic() > deadline:
                late = ", ".join(s.tenant for s in statuses if not s.mailed)
                raise Unavailable(
                    f"after {_PATIENCE_SECONDS:.0f} seconds there is no report for {late}",
                    "Try again on a machine with less to do.",
                )
            time.sleep(_LOOK_SECONDS)
    return False


def _tenants(world: World) -> Iterator[TenantSettings]:
    yield from world.settings.tenants.values()


def _give_up_on_crashes(supervisor: Supervisor) -> None:
    for child in supervisor.children:
        if child.restarts >= _RESTARTS_ALLOWED:
            raise Unavailable(f"{child.spec.name} keeps dying", "See what it wrote last.")


class _Watched:
    """One tenant's way to its report, read from the ledger."""

    def __init__(self, world: World, tenant: TenantSettings, month: Month) -> None:
        self._world = world
        self._tenant = tenant
        begin = month.window(tenant.zone).start
        # Up to where the first tick plans; what is newer comes with the next windows.
        self._range = Window(begin, world.clock.now() - timedelta(minutes=10))
        self._windows = 0

    def status(self, mailed: set[str]) -> Status:
        """Raises `NeedsPerson` when the tenant was parked."""
        name = self._tenant.name
        for parking in self._world.ledger.parkings(name):
            raise NeedsPerson(f"{name}: {parking.summary}", parking.remedy, parking.code)
        coverage = self.coverage()
        to_go = len(self._world.ledger.unfinished(name, self._range))
        self._windows = max(self._windows, to_go)
        return Status(
            tenant=name,
            windows=self._windows,
            done=self._windows - to_go,
            records=sum(c.counts.stored for c in coverage),
            proven=min(c.complete_time / c.range.duration for c in coverage),
            mailed=any(address in mailed for address in self._tenant.report.to),
        )

    def coverage(self) -> list[Coverage]:
        asked = (self._range.start, self._range.end)
        return self._world.cover.of_tenant(self._tenant, self._world.clock.now(), asked)


def _where_to_look(root: Path) -> Iterator[str]:
    """The last words: what lies where, and what to try next."""
    yield ""
    yield "Done: three reports were mailed."
    yield f"  mails      {root}/{SANDBOX_FOLDER}/mailbox/*.eml   (open one with a mail program)"
    for path in sorted((root / "data" / "reports").rglob("report.html")):
        yield f"  report     {path}"
    yield f"  lake       {root}/data/lake   (one Delta table a tenant)"
    yield f"  settings   {root}/trailkeeper.d"
    yield f"  log        {root}/{LOG_FILE}"
    yield ""
    yield "Everything has been stopped. Try next:"
    yield from _commands(
        root, "coverage", "export --tenant litware -o litware.jsonl", "tenants list"
    )


def _what_is_left(root: Path, merged: Mapping[str, int]) -> Iterator[str]:
    """The last words after a stop. The sandbox has ended, and what it had yet to give with it."""
    yield ""
    if merged:
        name = next(iter(merged))
        yield f"Stopped. {sum(merged.values()):,} records had been merged; they can be read:"
        yield from _commands(root, "coverage", f"export --tenant {name} -o {name}.jsonl")
    else:
        yield f"Stopped before a record was merged; {root} may be removed."
    yield "This demo cannot be taken up again. Begin another one in a new folder."


def _commands(root: Path, *commands: str) -> Iterator[str]:
    yield f"  cd {root}"
    for words in commands:
        yield f"  {_program()} {words}"


def _program() -> str:
    """How we can be called again from another folder."""
    if shutil.which("trailkeeper"):
        return "trailkeeper"
    called = Path(sys.argv[0]).absolute()
    return str(called) if called.name == "trailkeeper" else f"{sys.executable} -m trailkeeper.cli"
