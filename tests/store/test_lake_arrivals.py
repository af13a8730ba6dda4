"""When records were first seen by the search, by workload."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from tests.store.lake_words import T0, TENANT, World, columns, record
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window

HOUR = timedelta(hours=1)
DAY = Window(T0, T0 + 24 * HOUR)
LOOKS = [(Window(T0 + 8 * HOUR, T0 + 9 * HOUR), T0 + 9 * HOUR)]


def store(world: World, source: Source, at: datetime, *texts: str) -> None:
    world.fold(world.claim(world.land(columns(*texts), source=source, at=at)))


def text(name: str, minute: int = 0, workload: str = "Exchange") -> str:
    return record(name, f"2026-10-01T08:{minute:02}:00", Workload=workload)


def measured(world: World) -> dict[str, Spread]:
    return world.lake.arrivals(TENANT, Source.EXCHANGE, DAY, LOOKS, HOUR)


def test_in_time_and_late_by_workload(tmp_path: Path) -> None:
    """What came with the first look is in time; what a later one brought has the age at which it
    did; what nobody asked for in this day does not count."""
    world = World(tmp_path)
    assert measured(world) == {}
    elsewhere = record("x", "2026-10-01T10:00:00", Workload="Exchange")
    store(world, Source.EXCHANGE, T0 + 9.5 * HOUR, text("a"), text("b", 59), elsewhere)
    store(world, Source.EXCHANGE, T0 + 14 * HOUR, text("a"), text("c"), text("d", 0, "Teams"))
    assert measured(world) == {
        "Exchange": Spread.of([(0, 2), (6 * 3600, 1)]),
        "Teams": Spread.of([(6 * 3600, 1)]),
    }


def test_what_the_feed_brought_first_is_late_in_the_search_all_the_same(tmp_path: Path) -> None:
    """Lateness is that of the search, whoever stored the record; what it never brought is none."""
    world = World(tmp_path)
    store(world, Source.ACTIVITY, T0 + 8.5 * HOUR, text("a"), text("b"))
    store(world, Source.EXCHANGE, T0 + 15 * HOUR, text("a"))
    assert measured(world) == {"Exchange": Spread.of([(7 * 3600, 1)])}
