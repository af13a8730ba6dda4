"""Which days are matched for good, and which let go what matching needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tests.configured import settings_of
from tests.store.lake_words import T0, TENANT, World
from trailkeeper.model.measures.match import TOPIC, DayMatch
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.settings import Settings
from trailkeeper.steps.cover import CoverStep
from trailkeeper.steps.match import MatchStep
from trailkeeper.store.ledger import SqlLedger, open_ledger

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
TENANT_FILE = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
sources = ["exchange", "activity"]
[certificate]
pfx = "contoso.pfx"
"""


class RunningClock:
    """A second passes with each look at it."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        self.time += SECOND
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, TENANT, TENANT_FILE)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    for source in (Source.EXCHANGE, Source.ACTIVITY):
        window = Window(T0, T0 + 30 * DAY, source.axis)
        wanted = NewSegment(Stream(TENANT, source), window, Purpose.COLLECT)
        opened.plan(wanted.stream, lambda watermark, wanted=wanted: [wanted], T0)  # type: ignore[misc]
    yield opened
    opened.close()


def test_no_day_is_forgotten_before_it_was_final(
    tmp_path: Path, settings: Settings, ledger: SqlLedger
) -> None:
    """Midnight passes between matching and forgetting: the day that closes then keeps its sightings
    until it was matched once more, for good."""
    cover = CoverStep(ledger, settings.collection, frozenset(Source.known()))
    midnight = datetime.combine((T0 + 20 * DAY).date(), datetime.min.time(), T0.tzinfo)
    clock = RunningClock(midnight - 3 * SECOND)
    step, tenant = MatchStep(ledger, World(tmp_path).lake, cover, clock), settings.tenants[TENANT]
    step.then_forget(tenant)
    noted = ledger.noted(f"sightings_forgotten/{TENANT}")
    assert noted is not None
    forgotten = date.fromisoformat(noted[0])
    kept = ledger.measures(TENANT, TOPIC, T0.date(), midnight.date())
    final = [day for day, text in kept.items() if DayMatch.from_text(text).final]
    assert len(final) > 3
    assert forgotten == max(final) + DAY
