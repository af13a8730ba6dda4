"""Who brought which record: sightings beside the lake, and matching by them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.lake_words import DAY, T0, TENANT, World, columns, record
from trailkeeper.model.measures.match import Match, Missed
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.stream import Source
from trailkeeper.store.lake import DeltaLake

EXCHANGE, ACTIVITY = Source.EXCHANGE, Source.ACTIVITY
HOUR = timedelta(hours=1)
HOURS = [T0 + number * HOUR for number in range(24)]
FOLLOWED = {EXCHANGE: T0 - DAY, ACTIVITY: T0 - DAY}
WORKLOADS = ("Exchange", "SharePoint", "AzureActiveDirectory")


def text(number: int, hour: int = 8, **more: object) -> str:
    workload = WORKLOADS[number % 3]
    return record(f"id-{number}", f"2026-10-01T{hour:02}:30:00", Workload=workload, **more)


def store(world: World, source: Source, at: datetime, *texts: str) -> None:
    """Land and merge at once, first seen at `at`."""
    world.fold(world.claim(world.land(columns(*texts), source=source, at=at)))


def match(world: World, hours: list[datetime] = HOURS, ignored: tuple[int, ...] = ()) -> Match:
    return world.lake.match(TENANT, hours, FOLLOWED, ignored)


def sighting_files(root: Path) -> list[Path]:
    return list((root / "lake" / "_sightings").rglob("*.parquet"))


def test_one_source_leaves_no_trace(tmp_path: Path) -> None:
    """A tenant that is read from one source has no table of sightings, however often it is read."""
    world = World(tmp_path)
    for hour in (9, 15):
        store(world, EXCHANGE, T0 + hour * HOUR, text(1), text(2))
    assert not (tmp_path / "lake" / "_sightings").exists()


def test_misses_of_each_source_by_workload(tmp_path: Path) -> None:
    """What only one of two brought is missed by the other, with its hour and workload."""
    world = World(tmp_path)
    store(world, ACTIVITY, T0 + 9 * HOUR, text(0), text(1), text(2))
    store(world, EXCHANGE, T0 + 10 * HOUR, text(1), text(2), text(3), text(4, 11))
    found = match(world)
    assert (found.hours, found.total) == (24, 5)
    assert found.records == {"AzureActiveDirectory": 1, "Exchange": 2, "SharePoint": 2}
    assert found.missed == {EXCHANGE: {"Exchange": 1}, ACTIVITY: {"Exchange": 1, "SharePoint": 1}}
    assert found.named == (
        Missed(HOURS[8], "Exchange", EXCHANGE, 1),
        Missed(HOURS[8], "Exchange", ACTIVITY, 1),
        Missed(HOURS[11], "SharePoint", ACTIVITY, 1),
    )


def test_lag_is_from_occurrence_to_first_seen_by_that_source(tmp_path: Path) -> None:
    """The earliest time counts, for whoever was second as well, and only since it is followed."""
    world = World(tmp_path)
    store(world, ACTIVITY, T0 + 9 * HOUR, text(1))
    store(world, EXCHANGE, T0 + 12 * HOUR, text(1))
    store(world, EXCHANGE, T0 + 20 * HOUR, text(1))
    found = match(world)
    assert found.lags == {EXCHANGE: Spread.of([(12_600, 1)]), ACTIVITY: Spread.of([(1_800, 1)])}
    late = {EXCHANGE: None, ACTIVITY: T0 + 9 * HOUR}
    assert world.lake.match(TENANT, HOURS, late).lags == {}


def test_a_re_read_adds_no_sighting(tmp_path: Path) -> None:
    """What is known to have been brought is not written again."""
    world = World(tmp_path)
    store(world, ACTIVITY, T0 + 9 * HOUR, text(1), text(2))
    for hour in (10, 16, 30):
        store(world, EXCHANGE, T0 + hour * HOUR, text(1), text(2))
    assert len(sighting_files(tmp_path)) == 1


def test_both_in_one_merge(tmp_path: Path) -> None:
    """Two sources whose files are folded in the same merge are both seen."""
    world = World(tmp_path)
    landed = [
        world.land(columns(text(1)), source=source, at=T0 + 9 * HOUR)
        for source in (ACTIVITY, EXCHANGE)
    ]
    world.fold(world.claim(*landed))
    assert match(world).missed == {EXCHANGE: {}, ACTIVITY: {}}


def test_other_content_under_the_same_id_was_seen_all_the_same(tmp_path: Path) -> None:
    """A conflict is no miss: both sources brought a record of that Id."""
    world = World(tmp_path)
    store(world, ACTIVITY, T0 + 9 * HOUR, text(1))
    store(world, EXCHANGE, T0 + 9 * HOUR, text(1, More="x"))
    found = match(world)
    assert (found.total, found.missed) == (1, {EXCHANGE: {}, ACTIVITY: {}})


def test_what_cannot_be_matched_is_left_out(tmp_path: Path) -> None:
    """Keyless and malformed records, record types that one source is not asked for, other hours."""
    world = World(tmp_path)
    store(
        world,
        EXCHANGE,
        T0 + 9 * HOUR,
        record(None, "2026-10-01T08:00:00", Workload="Exchange"),
        json.dumps({"Id": "broken", "CreationTime": "2026-10-01T08:00:00", "AuditDataText": "{"}),
        text(1, RecordType=11),
        text(2, hour=20),
    )
    assert match(world, HOURS[:12], ignored=(11, 13)).total == 0
    assert match(world, HOURS[:12]).total == 1


def test_a_merge_made_again_says_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its sightings and before its commit, a merge is made again to the same end."""
    world = World(tmp_path)
    store(world, ACTIVITY, T0 + 9 * HOUR, text(1))
    merge = world.claim(world.land(columns(text(1), text(2)), source=EXCHANGE, at=T0 + 10 * HOUR))
    with monkeypatch.context() as patch:
        patch.setattr("trailkeeper.store.lake._append", _killed)
        with pytest.raises(KeyboardInterrupt):
            world.fold(merge)
    before = match(world)
    assert (before.total, before.missed_by(EXCHANGE)) == (1, 0)
    world.fold(merge)
    world.fold(merge)
    assert len(sighting_files(tmp_path)) == 1
    assert match(world).missed == {EXCHANGE: {}, ACTIVITY: {"AzureActiveDirectory": 1}}


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_forgotten_with_the_days_and_the_tenant(tmp_path: Path) -> None:
    """Sightings of old days go, those of younger ones stay, and none outlives its tenant."""
    world = World(tmp_path)
    texts = [record("a", "2026-10-01T08:00:00"), record("b", "2026-10-02T08:00:00")]
    store(world, ACTIVITY, T0 + 9 * HOUR, *texts)
    store(world, EXCHANGE, T0 + 40 * HOUR, *texts)
    world.lake.forget_sightings(TENANT, date(2026, 10, 2))
    assert match(world).missed_by(EXCHANGE) == 1
    second_day = [hour + DAY for hour in HOURS]
    assert match(world, second_day).missed_by(EXCHANGE) == 0
    world.lake.compact(TENANT, timedelta())
    assert match(world, second_day).missed_by(EXCHANGE) == 0
    world.lake.remove(TENANT)
    assert not (tmp_path / "lake" / "_sightings" / TENANT).exists()


LOADS = st.lists(
    st.tuples(
        st.sampled_from([EXCHANGE, ACTIVITY]),
        st.lists(st.integers(0, 11), min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LOADS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_matching_is_as_if_all_loads_were_compared(
    tmp_path_factory: pytest.TempPathFactory,
    loads: list[tuple[Source, list[int]]],
    again: list[bool],
) -> None:
    """However loads fall into merges and whichever merge is made twice, misses and lags are those
    of a plain comparison of what each source brought."""
    world = World(tmp_path_factory.mktemp("lake"), None)
    world.lake = DeltaLake(str(world.root / "lake"))
    first: dict[Source, dict[int, datetime]] = defaultdict(dict)
    for number, (source, brought) in enumerate(loads):
        at = T0 + (9 + number) * HOUR
        merge = world.claim(world.land(columns(*map(text, brought)), source=source, at=at))
        world.fold(merge)
        if again[number]:
            world.fold(merge)
        for each in brought:
            first[source].setdefault(each, at)
    known = set(first[EXCHANGE]) | set(first[ACTIVITY])
    found = match(world)
    assert found.total == len(known)
    for source in (EXCHANGE, ACTIVITY):
        missed = Counter(WORKLOADS[number % 3] for number in known - set(first[source]))
        assert found.missed[source] == missed
        ages = [(at - HOURS[8] - HOUR / 2).total_seconds() for at in first[source].values()]
        assert found.lags.get(source, Spread()) == Spread.of((age, 1) for age in ages)
