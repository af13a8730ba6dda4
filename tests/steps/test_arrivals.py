"""Lateness learned from a real ledger and a real lake."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tests.configured import settings_of
from tests.store.lake_words import T0, TENANT, World, columns, record
from trailkeeper.model.measures.lateness import ENOUGH_DAYS
from trailkeeper.model.segment import Finding, Landed, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.settings import Settings
from trailkeeper.steps.arrivals import ArrivalStep, lateness_of
from trailkeeper.steps.cover import CoverStep
from trailkeeper.store.ledger import SqlLedger

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STREAM = Stream(TENANT, Source.EXCHANGE)
TENANT_FILE = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
[certificate]
pfx = "contoso.pfx"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, TENANT, TENANT_FILE)


def read(ledger: SqlLedger, day: int, at: datetime) -> None:
    """The day was read as a whole at `at`, and is proven."""
    window = Window(T0 + day * DAY, T0 + (day + 1) * DAY)
    ledger.plan(STREAM, lambda _: [NewSegment(STREAM, window, Purpose.INCREMENTAL)], at)
    (segment,) = ledger.due(at, 9, 9)
    leased = ledger.lease(segment.id, "worker", at, at + HOUR, 9)
    assert leased is not None
    finding = Finding(window, Verdict.COMPLETE, at)
    ledger.land(leased.lease, Landed(None, 0, 0, 1), [finding], [], at)


def test_learned_after_four_weeks(tmp_path: Path, settings: Settings, ledger: SqlLedger) -> None:
    """Days are measured when their usual re-reads are over; after four weeks the rounds and the
    settling time follow the slowest workload, and measuring again changes nothing."""
    world = World(tmp_path)
    days = ENOUGH_DAYS + 2
    for day in range(days):
        at = T0 + day * DAY + 9 * HOUR
        read(ledger, day, T0 + (day + 1) * DAY)
        quick = [record(f"q{day}-{n}", at.isoformat(), Workload="Exchange") for n in range(60)]
        late = at + 14 * HOUR + 30 * HOUR
        slow = [record(f"s{day}-{n}", at.isoformat(), Workload="Teams") for n in range(2)]
        more = [record(f"t{day}-{n}", at.isoformat(), Workload="Teams") for n in range(60)]
        in_time = world.land(columns(*quick, *more), at=T0 + (day + 1) * DAY)
        world.fold(world.claim(in_time, world.land(columns(*slow), at=late)))
    tenant = settings.tenants[TENANT]
    clock = HandClock(T0 + 9 * DAY)
    step = ArrivalStep(ledger, world.lake, settings.collection, clock)
    cover = CoverStep(ledger, settings.collection, frozenset(Source.known()))
    assert step(tenant) == 0
    clock.time = T0 + (days + 7) * DAY
    assert step(tenant) == ENOUGH_DAYS - 1  # what was read on the first day was not all young
    assert cover.settle_of(TENANT) == settings.collection.settle
    clock.time += DAY
    assert step(tenant) == 1
    assert step(tenant) == 0
    ages = lateness_of(ledger, Stream(TENANT, Source.EXCHANGE)).ages(
        settings.collection.reread_after
    )
    assert (ages[0], ages[1], ages[3]) == (None, None, 7 * DAY)
    assert ages[2] is not None
    assert 44 * HOUR <= ages[2] <= 49 * HOUR
    assert 44 * HOUR <= cover.settle_of(TENANT) <= 49 * HOUR
