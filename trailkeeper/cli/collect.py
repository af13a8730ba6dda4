"""`trailkeeper collect`: a range of one tenant, here and now, or handed to the workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from textwrap import shorten
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import (
    FROM_HELP,
    ConfigOption,
    EndOption,
    JsonOption,
    TenantOption,
    VerboseOption,
    opened,
)

if TYPE_CHECKING:
    from trailkeeper.bootstrap import World
    from trailkeeper.cli.ranges import Range
    from trailkeeper.model.coverage import Coverage
    from trailkeeper.model.stream import Source
    from trailkeeper.ports.parking import Parking
    from trailkeeper.settings import Settings, TenantSettings
    from trailkeeper.steps.collect import (
        Collected,
        CollectProgress,
        CollectStep,
        Flag,
        Pullers,
        Wanted,
    )

_TROUBLE = 80
"""characters of why a collection waits"""
_SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="SOURCE", help="One source; default: all configured ones."),
]
_EnqueueOption = Annotated[
    bool, typer.Option("--enqueue", help="Hand the work to the workers instead.")
]
_WaitOption = Annotated[
    bool, typer.Option("--wait", help="With --enqueue: wait until the workers are done.")
]


def collect(
    tenant: TenantOption,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help=FROM_HELP)],
    end: EndOption = None,
    source: _SourceOption = None,
    enqueue: _EnqueueOption = False,
    wait: _WaitOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> int:
    """Pull a range of one tenant's audit log and merge it into the lake, here and now.

    For the Exchange search the range is of when things occurred; for the feed, of when their
    content became available. It may run beside the service, and twice at once: the work is
    shared. Ctrl-C loses nothing. At the end stands what is proven of the range.

    Exits with 0 when the range is complete, 10 when something is missing (it is printed), 20 when
    a person is needed (the remedy is printed).

    Examples:

      trailkeeper collect --tenant contoso --from 2026-10-01 --to 2026-11-01

      trailkeeper collect --tenant contoso --from 2026-10-31T08:00:00+01:00 --source exchange

      trailkeeper collect --tenant contoso --from 2026-10-01 --enqueue --wait --json
    """
    from trailkeeper.supervisor.pulling import SharedFlag, pulling_processes

    with opened(config, verbose) as world, ExitStack() as open_until_done:
        world.settings.keep_private()
        stopping = SharedFlag()
        pullers: Mapping[Source, Pullers] = {}
        asked = _asked(world, tenant, start, end, source, waits_for_nothing=wait and not enqueue)
        if not enqueue and asked.searches:  # forked before anything is opened
            most = world.settings.service.searches_per_tenant
            processes = pulling_processes(world.settings, most, stopping)
            pullers = open_until_done.enter_context(processes)
        _say_who_asks(world.settings, asked)
        world.tenant(asked.tenant.name)  # refused before anything is planned or asked
        step = _step(world, stopping, pullers)
        added = step.plan(asked.tenant.name, asked.wanted)
        if enqueue:
            _enqueue(world, asked, added, wait)
        if enqueue and not wait:
            return Exit.DONE
        with output.progress(f"collect {tenant}") as shown, _stopping_on_signals(stopping):
            run = step.watch if enqueue else step
            came = run(tenant, asked.wanted, lambda seen: _show(shown, seen))
            if stopping.is_set():
                raise KeyboardInterrupt
        return _conclude(world, asked, came, as_json)


@dataclass(frozen=True)
class _Asked:
    tenant: TenantSettings
    range: Range
    sources: tuple[Source, ...]
    wanted: tuple[Wanted, ...]
    """the streams that can be read, each with the range on its own axis"""

    @property
    def searches(self) -> bool:
        from trailkeeper.model.sources import rules_of

        return any(rules_of(stream.source).own_processes for stream, _ in self.wanted)


def _asked(
    world: World,
    name: str,
    start: str,
    end: str | None,
    source: str | None,
    *,
    waits_for_nothing: bool,
) -> _Asked:
    """What is wanted, from the configuration alone: nothing is opened. Raises `UsageError`."""
    from trailkeeper.bootstrap import READABLE
    from trailkeeper.cli.ranges import chosen_sources, past_range
    from trailkeeper.errors import UsageError
    from trailkeeper.model.stream import Stream
    from trailkeeper.model.window import Window, iso

    if waits_for_nothing:
        raise UsageError("--wait needs --enqueue", "Without it, collect waits in any case.")
    tenant = world.settings.tenant(name)
    sources = chosen_sources(name, tenant.sources, source)
    asked, was_cut = past_range(start, end, world.clock.now())
    if was_cut:
        output.note(f"--to lies in the future: collecting up to now, {iso(asked[1])}.")
    wanted = (
        (Stream(name, each), Window(*asked, each.axis)) for each in sources if each in READABLE
    )
    return _Asked(tenant, asked, sources, tuple(wanted))


def _say_who_asks(settings: Settings, asked: _Asked) -> None:
    from trailkeeper.cli.checks import partner_missing
    from trailkeeper.model.stream import Source

    feeds = Source.ACTIVITY in asked.sources
    if missing := partner_missing(settings, [asked.tenant] if feeds else []):
        output.note("warning: " + ". ".join(missing))


def _step(world: World, stopping: Flag, pullers: Mapping[Source, Pullers]) -> CollectStep:
    from trailkeeper.steps.collect import CollectStep

    service = world.settings.service
    return CollectStep(
        ledger=world.ledger,
        clock=world.clock,
        pull=replace(world.pull, stopping=stopping.is_set),
        merge=lambda name, owner: world.merge(name, owner),  # polars is loaded by the first one
        owner=world.owner,
        threads=service.searches_per_tenant,
        known=world.settings.collection.known(service.searches_per_tenant),
        lease_length=service.lease,
        stopping=stopping,
        pullers=pullers,
    )


def _enqueue(world: World, asked: _Asked, added: int, waits: bool) -> None:
    """Workers find the work in the ledger at the next tick; nothing has to be sent."""
    from trailkeeper.steps.collect import PATIENCE

    planned = f"{asked.tenant.name}: {output.counted(added, 'segment')} planned"
    hindrance = _nobody_works(world.settings)
    if hindrance:
        output.note(f"{planned}; the work waits in the ledger.")
        output.note(f"warning: {hindrance}")
        if waits:
            minutes = (world.settings.service.lease + PATIENCE) / timedelta(minutes=1)
            output.note(f"waiting for one all the same, at most {minutes:g} min; Ctrl-C ends that.")
    else:
        output.note(f"{planned}; the workers begin at beat's next tick, within a minute.")


def _nobody_works(settings: Settings) -> str:
    """Why nothing will begin by itself, and the remedy; empty when the workers are there."""
    from trailkeeper.cli.checks import check_redis
    from trailkeeper.supervisor.service import queue_without_worker

    redis = check_redis(settings)
    if redis.passed is False:
        return f"{redis.detail}. {redis.remedy}"
    if missing := queue_without_worker(settings):
        return (
            f"no worker takes the queue `{missing.value}`, so that nothing begins. Start "
            f"`trailkeeper up`, or a worker with -Q {missing.value}; or leave out --enqueue to "
            "collect in this process."
        )
    return ""


def _show(shown: output.Shown, seen: CollectProgress) -> None:
    text = f"{seen.finished} of {seen.segments} segments, {seen.merged.received:,} records"
    if seen.elsewhere:
        text += f", {seen.elsewhere} with other workers"
    elif seen.is_waiting:
        text += ", waiting" + (f": {shorten(seen.trouble, _TROUBLE)}" if seen.trouble else "")
    shown(seen.finished, seen.segments, text)


@contextmanager
def _stopping_on_signals(stopping: Flag) -> Iterator[None]:
    """Ctrl-C and SIGTERM give back what is being pulled; a second one stops at once."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(Exit.INTERRUPTED)
        asked = True
        stopping.set()
        output.note("stopping after the requests under way; once more to stop at once …")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _conclude(world: World, asked: _Asked, came: Collected, as_json: bool) -> int:
    """State the coverage, then what hinders it: a person, an error, or only time."""
    from trailkeeper.cli.coverage import show

    stated = _coverage(world, asked)
    code = show(stated, as_json)
    _say_what_is_lost(stated)
    _raise_hindrance(came)
    _say_what_is_left(came)
    return code


def _coverage(world: World, asked: _Asked) -> list[Coverage]:
    from trailkeeper.model.stream import Stream
    from trailkeeper.model.window import Window

    streams = (Stream(asked.tenant.name, source) for source in asked.sources)
    return [
        world.cover.of_stream(stream, Window(*asked.range, stream.source.axis))
        for stream in streams
    ]


def _raise_hindrance(came: Collected) -> None:
    """What kept this collection from its end, though an earlier one may have proven the range."""
    from trailkeeper.errors import NeedsPerson

    stuck = {segment.stream.source for segment in came.left}
    for parking in came.parked:
        if parking.content_type or parking.source in stuck or (parking.source is None and stuck):
            raise NeedsPerson(_whose(parking), parking.remedy, parking.code)
    for error in came.failures:
        raise error


def _whose(parking: Parking) -> str:
    where = f"{parking.tenant}/{parking.source.value}" if parking.source else parking.tenant
    where += f"/{parking.content_type}" if parking.content_type else ""
    return f"{where}: {parking.summary}"


def _say_what_is_lost(stated: Sequence[Coverage]) -> None:
    if any(gap.lost for coverage in stated for gap in coverage.gaps):
        output.note(
            "What is lost its source no longer has; asking it again does not help. If --from was "
            "mistyped, `since` in the tenant's file says from when on it counts."
        )


def _say_what_is_left(came: Collected) -> None:
    from trailkeeper.model.window import iso

    if came.left:
        next_at = min(segment.due_at for segment in came.left).replace(microsecond=0)
        output.note(
            f"{output.counted(len(came.left), 'segment')} left to the service, the next due at "
            f"{iso(next_at)}. To ask at once, run collect again."
        )
