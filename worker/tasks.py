"""Every task: bind context, call one step, ask the verdict table about errors, one closing line."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial, wraps
from typing import Any

import structlog

from trailkeeper.bootstrap import READABLE, World
from trailkeeper.messages import TICKS, Task
from trailkeeper.model.fairness import LONG_PULL
from trailkeeper.model.segment import Purpose, Segment
from trailkeeper.model.sources import rules_of
from trailkeeper.model.stream import Stream
from trailkeeper.ports.enqueuer import Enqueuer
from trailkeeper.ports.ledger import Ledger
from trailkeeper.settings import Settings
from trailkeeper.steps.compact import whose_turn
from trailkeeper.steps.plan import (
    enqueue_due,
    enqueue_more,
    enqueue_next,
    enqueue_waiting,
    plan_polls,
    plan_tenants,
)
from trailkeeper.steps.pull import Outcome
from trailkeeper.ticks import TickCounter
from worker.app import app
from worker.enqueuer import CeleryEnqueuer
from worker.verdicts import TaskVerdict, verdict
from worker.world import open_world, settings

log = structlog.get_logger()

_NOT_DUE = "not due"
_SHORT = (Purpose.INCREMENTAL, Purpose.REREAD)
_LOOKED_AT = 1 / 12
"""of the tenants' certificates at each tick, twelve times an hour"""


STEPS: dict[Task, Callable[..., str | None]] = {}
"""what each task does, given the world and the message's ids"""


def task(name: Task) -> Callable[[Callable[..., str | None]], Any]:
    """Register `step` under its name; it gets the world first, then the message's ids."""

    def register(step: Callable[..., str | None]) -> Any:
        STEPS[name] = step

        @app.task(name=name.value)
        @wraps(step)
        def run(*ids: object) -> None:
            if name in TICKS:
                _ticks().received()
            structlog.contextvars.clear_contextvars()
            with structlog.contextvars.bound_contextvars(task=name.value):
                _run(step, ids)

        return run

    return register


@cache
def _ticks() -> TickCounter:
    """Of this process, which asks for the first time after the fork."""
    return TickCounter(settings().broker_url())


def _run(step: Callable[..., str | None], ids: tuple[object, ...]) -> None:
    started = time.monotonic()
    try:
        outcome = step(open_world(), *ids) or "done"
    except Exception as error:
        said = verdict(error)
        seconds = round(time.monotonic() - started, 3)
        if said is TaskVerdict.FAILED:
            log.exception("task_failed", ids=list(ids), seconds=seconds)
            raise
        log.warning(
            "task_finished", ids=list(ids), outcome=said.value, reason=str(error), seconds=seconds
        )
        return
    seconds = round(time.monotonic() - started, 3)
    log.info("task_finished", ids=list(ids), outcome=outcome, seconds=seconds)


def _enqueuer() -> CeleryEnqueuer:
    return CeleryEnqueuer(app)


@task(Task.TICK_COLLECT)
def tick_collect(world: World) -> str:
    """Plan fresh windows, then enqueue everything that is due."""
    now = world.clock.now()
    planned = plan_tenants(_ours_told(world), world.ledger, READABLE, now)
    sent = enqueue_due(world.settings, world.ledger, world.outbox, _enqueuer(), now)
    world.metrics()
    return f"planned {planned}, enqueued {sent.segments}+{sent.merges}+{sent.deliveries}"


def _ours_told(world: World) -> Settings:
    """Once a minute the log names the tenants that nothing is done for."""
    for tenant, error in world.identify.refused().items():
        log.error("tenant_refused", tenant=tenant, reason=error.summary, remedy=error.remedy)
    return world.identify.ours()


@task(Task.TICK_FEEDS)
def tick_feeds(world: World) -> str:
    """Plan and enqueue the feeds whose turn it is."""
    sent = plan_polls(world.identify.ours(), world.ledger, _enqueuer(), world.clock.now())
    return f"{sent} planned and enqueued"


@task(Task.TICK_MONTHS)
def tick_months(world: World) -> str:
    """Enqueue every month that is due."""
    refused = world.identify.refused()
    months = world.close_months.due(world.clock.now())
    due = [(tenant, month) for tenant, month in months if tenant.name not in refused]
    for tenant, month in due:
        _enqueuer().report(tenant.name, month)
    return f"{len(due)} due"


@task(Task.TICK_CERTIFICATES)
def tick_certificates(world: World) -> str:
    """Look at the certificates that were not looked at for longest; say which of them end."""
    return f"{world.warn(_LOOKED_AT)} warnings"


@task(Task.TICK_REAP)
def tick_reap(world: World) -> str:
    """Remove what nobody needs any more."""
    return f"{world.reap()} files removed"


@task(Task.TICK_COMPACT)
def tick_compact(world: World) -> str:
    """A twelfth of the tenants each time: a thousand tables at once would hold up every merge."""
    ours = world.identify.ours().tenants
    tenants = [t for t in whose_turn(world.settings.tenants, world.clock.now()) if t in ours]
    for tenant in tenants:
        _enqueuer().compact(tenant)
    return f"{len(tenants)} enqueued"


@task(Task.PULL_SEGMENT)
def pull_segment(world: World, segment_id: int) -> str:
    found = world.ledger.segments([segment_id])
    if not found:  # its tenant was removed
        return Outcome.NOT_OURS.value
    (segment,) = found
    more = partial(_enqueue, enqueue_more, world, segment.stream)
    began = world.clock.now()
    outcome = world.pull.of(segment, world.owner, more)
    tenant = segment.stream.tenant
    if outcome is Outcome.LANDED:
        _enqueuer().merge(tenant)
    elif outcome is Outcome.EMPTY:  # it may be what a month waited for
        _enqueue_months(world, tenant)
    if world.clock.now() - began >= LONG_PULL:
        enqueue_waiting(world.ledger, _enqueuer(), segment.stream, world.clock.now())
    if outcome is not Outcome.NOT_OURS and not _is_short(segment):
        _enqueue(enqueue_next, world, segment.stream)
    return outcome.value


_Enqueue = Callable[[Settings, Ledger, Enqueuer, Stream, datetime], None]


def _enqueue(which: _Enqueue, world: World, stream: Stream) -> None:
    which(world.settings, world.ledger, _enqueuer(), stream, world.clock.now())


def _is_short(segment: Segment) -> bool:
    """A minute of a feed, or an hour listed again: looking for what queues up behind it costs more
    than the pull itself. What a large one leaves over was enqueued when it was cut."""
    return rules_of(segment.stream.source).polled and segment.purpose in _SHORT


def _enqueue_months(world: World, tenant: str) -> None:
    """Only where one is due: a thousand feeds bring something every minute."""
    if any(world.close_months.of_tenant(tenant, world.clock.now())):
        _enqueuer().months()


@task(Task.MERGE_TENANT)
def merge_tenant(world: World, tenant: str) -> str:
    counts = world.merge(tenant, world.owner)
    if counts.received:
        _enqueue_months(world, tenant)
    return f"stored {counts.stored} of {counts.received}"


@task(Task.REPORT_MONTH)
def report_month(world: World, tenant: str, month: str) -> str:
    """A message may come twice, late, or from somebody else: what is due stands in the ledger."""
    due = {str(month): month for month in world.close_months.of_tenant(tenant, world.clock.now())}
    if month not in due:
        return _NOT_DUE
    outbox_id = world.report.enqueue(world.settings.tenant(tenant), due[month])
    if outbox_id is None:
        return "already reported"
    _enqueuer().deliver(outbox_id)
    return "queued"


@task(Task.DELIVER)
def deliver(world: World, outbox_id: int) -> str:
    return world.deliver(outbox_id).value


@task(Task.COMPACT_TENANT)
def compact_tenant(world: World, tenant: str) -> str:
    world.identify(tenant)
    return "done" if world.compact(tenant) else _NOT_DUE
