"""Plan what every tenant needs now, and enqueue what the ledger says is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Protocol

import structlog

from trailkeeper.model.measures.density import Density, density_key
from trailkeeper.model.measures.lateness import LATENESS_PREFIX, Lateness, lateness_key
from trailkeeper.model.planning import Watermark
from trailkeeper.model.segment import NewSegment, Purpose, Segment
from trailkeeper.model.sources import known_rules, rules_of
from trailkeeper.model.stream import Source, Stream
from trailkeeper.ports.enqueuer import Enqueuer
from trailkeeper.ports.leasing import Segments
from trailkeeper.ports.merging import Merging
from trailkeeper.ports.notes import Notes
from trailkeeper.ports.outbox import Outbox
from trailkeeper.ports.parking import Standing
from trailkeeper.ports.planning import Planning
from trailkeeper.ports.worklist import Worklist
from trailkeeper.settings import Settings, TenantSettings

log = structlog.get_logger()


class PlanLedger(Planning, Segments, Merging, Standing, Notes, Worklist, Protocol):
    """What planning and enqueuing need of the ledger."""


Planner = Callable[[Watermark | None], Iterable[NewSegment]]

LONGEST_PARKED = timedelta(hours=25)
"""a parked tenant is tried again daily"""
LONGEST_BACK = timedelta(days=30)
"""how far a stream begins without `since` (contract: at most one month)"""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """How many of each were enqueued in one reconciliation."""

    segments: int
    merges: int
    deliveries: int


def plan_tenants(
    settings: Settings, ledger: PlanLedger, readable: Iterable[Source], now: datetime
) -> int:
    """Add the segments that fresh time, back-fill and re-reads need; how many were added.

    `readable`: the sources that this installation has an adapter for. Running it twice, or in two
    slots at once, adds nothing more.
    """
    ledger.shorten_waits(now, settings.service.lease + _AHEAD, LONGEST_PARKED)
    _set_back(ledger, now)
    needed: dict[Stream, Planner] = {}
    for source in readable:
        needed |= _needed(settings, ledger, source, now)
    added = len(_planned(ledger, needed, now))
    if added:
        log.info("segments_planned", segments=added)
    return added


def _set_back(ledger: PlanLedger, now: datetime) -> None:
    """A clock that ran ahead had time planned that has not come, and was then put right."""
    until: dict[Source, datetime] = {}
    for stream, planned_until in ledger.set_back(now, now + _AHEAD).items():
        until[stream.source] = max(planned_until, until.get(stream.source, planned_until))
    for source, planned_until in until.items():
        log.error(
            "clock_moved",
            source=source.value,
            planned_until=planned_until.isoformat(),
            remedy="Nothing is lost: that time is planned again as it comes. "
            "See that the clocks of all hosts are in step.",
        )


def plan_polls(settings: Settings, ledger: PlanLedger, enqueuer: Enqueuer, now: datetime) -> int:
    """Plan the polled streams whose turn it is, and enqueue their fresh windows; how many.

    Every few seconds, so that a thousand tenants' polls spread over the minute: only what is added
    here is enqueued here. The reconciliation of `enqueue_due` repairs what was lost.
    """
    needed: dict[Stream, Planner] = {}
    for source, rules in known_rules().items():
        if rules.polled:
            needed |= _needed(settings, ledger, source, now)
    planned = _planned(ledger, needed, now)
    fresh = [segment.id for segment in planned if segment.purpose is Purpose.INCREMENTAL]
    enqueuer.pull(fresh)
    return len(fresh)


def _planned(ledger: PlanLedger, needed: dict[Stream, Planner], now: datetime) -> list[Segment]:
    """What was added. A hundred streams a transaction: nobody waits long for the ledger."""
    streams = sorted(needed)
    return [
        segment
        for first in range(0, len(streams), _PLANNED_AT_ONCE)
        for segment in ledger.plan_all(
            {stream: needed[stream] for stream in streams[first : first + _PLANNED_AT_ONCE]}, now
        )
    ]


_PLANNED_AT_ONCE = 100
_AHEAD = timedelta(minutes=10)
"""no window is planned beyond now: so much may clocks of several hosts differ"""


def _needed(
    settings: Settings, ledger: PlanLedger, source: Source, now: datetime
) -> dict[Stream, Planner]:
    """The planners of those streams of one source that need something now; most need nothing, and
    cost nothing. Whether anything is needed does not depend on how busy the tenant is."""
    rules, watermarks = rules_of(source), ledger.watermarks(source)
    standing = _standing(ledger, source, now) if rules.polled else frozenset()
    late = ledger.all_noted(LATENESS_PREFIX) if rules.learns_lateness else {}
    usual = settings.collection.known(settings.service.searches_per_tenant)
    needed: dict[Stream, Planner] = {}
    for tenant in settings.tenants.values():
        if source not in tenant.sources or tenant.name in standing:
            continue
        stream, begin = Stream(tenant.name, source), begins_at(tenant, now)
        known = replace(usual, lateness=_lateness(late.get(lateness_key(stream))))
        if any(True for _ in rules.plan(stream, begin, known, now, watermarks.get(stream))):
            if rules.learns_density:
                known = replace(known, density=known_density(ledger, stream))
            needed[stream] = partial(rules.plan, stream, begin, known, now)
    return needed


def _lateness(noted: tuple[str, datetime] | None) -> Lateness:
    return Lateness.from_text(noted[0]) if noted else Lateness()


def _standing(ledger: PlanLedger, source: Source, now: datetime) -> frozenset[str]:
    """Tenants whose polled source is parked, or whose last poll is still to be made.

    A window a minute would only pile up. When it goes on, what was not planned meanwhile is planned
    in few pieces: a machine that is too slow polls less often, and loses nothing.
    """
    return frozenset(ledger.waiting_polls(source, now)) | {
        parking.tenant
        for parking in ledger.parkings()
        if parking.stops(source) and (parking.retry_at is None or parking.retry_at > now)
    }


def known_density(ledger: Notes, stream: Stream) -> Density:
    """What is known of the stream's week; nothing at first."""
    noted = ledger.noted(density_key(stream))
    return Density.from_text(noted[0]) if noted else Density()


def begins_at(tenant: TenantSettings, now: datetime) -> datetime:
    """Where the tenant's collection begins.

    A date in the configuration is midnight UTC, yet the first report's month begins at midnight
    where the tenant lives: the earlier of the two, so that the month has no hole at its border.
    """
    since = tenant.since
    if since is None:
        return (now - LONGEST_BACK).replace(minute=0, second=0, microsecond=0)
    if since.timetz() == time(tzinfo=UTC):
        local = datetime.combine(since.date(), time(), tzinfo=tenant.zone)
        return min(since, local.astimezone(UTC))
    return since


def enqueue_due(
    settings: Settings, ledger: PlanLedger, outbox: Outbox, enqueuer: Enqueuer, now: datetime
) -> Enqueued:
    """Send to the queue what is due: the queue is a hint, and this repairs it."""
    # `plan_polls` adds no poll to one that waits, and what a large or interrupted one leaves over
    # is back-fill: one of each feed at most was just enqueued, and hides nothing that is due.
    limit = _ENQUEUED_AT_ONCE + len(settings.tenants)
    found = ledger.due(now, limit=limit, per_stream=settings.service.searches_per_tenant)
    due = [segment.id for segment in found if not _just_enqueued(segment, now)]
    due = due[:_ENQUEUED_AT_ONCE]
    enqueuer.pull(due)
    to_merge = ledger.tenants_to_merge()
    for tenant in to_merge:
        enqueuer.merge(tenant)
    owed = outbox.due(now, limit=_ENQUEUED_AT_ONCE)
    for outbox_id in owed:
        enqueuer.deliver(outbox_id)
    return Enqueued(len(due), len(to_merge), len(owed))


def enqueue_next(
    settings: Settings, ledger: PlanLedger, enqueuer: Enqueuer, stream: Stream, now: datetime
) -> None:
    """When a segment of a backlog is done, the next of its stream awaits no reconciliation.

    For a polled stream it is one, behind a poll that found no slot: it took one slot in the queue
    and gives one back, so that a thousand backlogs never fill the queue in front of the fresh
    polls.
    """
    most = rules_of(stream.source).backlog_at_once
    _enqueue_backlog(settings, ledger, enqueuer, stream, now, most)


def enqueue_more(
    settings: Settings, ledger: PlanLedger, enqueuer: Enqueuer, stream: Stream, now: datetime
) -> None:
    """When a segment was cut or shared, or its stream got more slots: as many as it may have."""
    rules = rules_of(stream.source)
    most = settings.service.searches_per_tenant if rules.polled else rules.backlog_at_once
    _enqueue_backlog(settings, ledger, enqueuer, stream, now, most)


def enqueue_waiting(ledger: PlanLedger, enqueuer: Enqueuer, stream: Stream, now: datetime) -> None:
    """When a pull of `stream` that held its process long is done: what waited longest is enqueued,
    of the streams of other tenants that hold no process.

    Call it before the stream's own next segment is enqueued. Long pulls may take only some of the
    processes (`model/fairness.py`), and whoever asks while these are taken is refused until the
    next reconciliation: slow tenants with a backlog would pass them on to themselves for days.
    """
    due = ledger.due(now, _OFFERED_AT_ONCE, 1)
    enqueuer.pull([each.id for each in due if each.stream.tenant != stream.tenant])


def _enqueue_backlog(
    settings: Settings,
    ledger: PlanLedger,
    enqueuer: Enqueuer,
    stream: Stream,
    now: datetime,
    most: int,
) -> None:
    """Polls are enqueued at their own turn; they go first and are soon done, so that their slots
    are no reason to let a backlog rest: whoever finds none takes no harm. One that found none at
    its turn goes before the backlog: that would take each slot again the moment it is free."""
    polls = _POLLS_AT_ONCE if rules_of(stream.source).polled else 0
    due = ledger.due(now, most + polls, settings.service.searches_per_tenant + polls, stream)
    left_out = [each.id for each in due if _is_poll(each) and not _just_enqueued(each, now)]
    backlog = [each.id for each in due if not _is_poll(each)]
    enqueuer.pull([*left_out[:1], *backlog[:most]])


def _is_poll(segment: Segment) -> bool:
    return rules_of(segment.stream.source).polled and segment.purpose is Purpose.INCREMENTAL


def _just_enqueued(segment: Segment, now: datetime) -> bool:
    """A poll that `plan_polls` has enqueued a moment ago: its message still waits in the queue."""
    untried = not segment.attempts and not segment.error
    return _is_poll(segment) and untried and now - _POLL_PATIENCE < segment.due_at < now


_POLL_PATIENCE = timedelta(minutes=1)
_ENQUEUED_AT_ONCE = 1000
_OFFERED_AT_ONCE = 20
"""among them some that may not be taken now, such as a refused tenant's"""
_POLLS_AT_ONCE = 20
"""that are due of one feed: one, and one for every minute that the feed was told to rest"""
