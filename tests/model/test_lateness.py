"""What is known of lateness decides when young time is read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.test_planning import CADENCE, Planned
from trailkeeper.model.measures.lateness import (
    ENOUGH_DAYS,
    ENOUGH_RECORDS,
    Arrived,
    Lateness,
    day_to_text,
    first_looks,
    over_days,
    slowest,
)
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.segment import Finding, Purpose, Verdict
from trailkeeper.model.window import Window, subtract

BEGUN = datetime(2026, 9, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
USUAL = (6 * HOUR, 24 * HOUR, 72 * HOUR, 7 * DAY)
HOURS = st.one_of(st.none(), st.floats(0.01, 400)).map(lambda h: h and h * HOUR)
ARRIVED = st.lists(HOURS, min_size=3, max_size=3).map(
    lambda ages: Arrived(40, tuple(sorted(ages, key=lambda age: age or timedelta())))
)


def _learned(*rounds: tuple[int, int]) -> Lateness:
    lateness = Lateness()
    for number, (received, new) in enumerate(rounds, 1):
        lateness = lateness.learn(number, received, new, BEGUN)
    return Lateness.from_text(lateness.to_text())


def _known(*ages: timedelta | None) -> Lateness:
    return Lateness.from_text(Lateness(arrived=Arrived(40, ages)).to_text())


def test_the_usual_rounds_until_enough_is_known() -> None:
    """Nothing is left out and nothing is added on the first day."""
    assert Lateness().ages(USUAL) == USUAL
    assert Lateness().ages(()) == ()


def test_a_round_is_added_while_the_last_still_finds() -> None:
    """Where a record arrives even later than the last round, one at twice its age follows, and
    another one after that, as far as the search answers."""
    none = (9000, 0)
    assert _learned((9000, 5), none, none, none).ages(USUAL) == USUAL
    late = _learned(none, none, none, (9000, 1))
    assert late.ages(USUAL) == (*USUAL, 14 * DAY)
    later = late.learn(5, 9000, 1, BEGUN)
    assert later.ages(USUAL) == (*USUAL, 14 * DAY, 28 * DAY)
    endless = _learned(*[(9000, 1)] * 30)
    assert endless.ages(USUAL)[-1] == 112 * DAY


def test_rounds_go_where_the_slowest_workload_needs_them() -> None:
    """95, 99 and 99.9 in 100 have arrived when a learned round reads; the last one stays."""
    assert _known(1.5 * HOUR, 9 * HOUR, 30 * HOUR).ages(USUAL) == (
        2 * HOUR,
        9 * HOUR,
        30 * HOUR,
        7 * DAY,
    )


def test_rounds_that_would_find_nothing_are_left_out() -> None:
    """Where everything is there at the first look, one early round remains to notice a change."""
    assert _known(None, None, None).ages(USUAL) == (6 * HOUR, None, None, 7 * DAY)
    assert _known(None, None, 5 * HOUR).ages(USUAL) == (None, None, 5 * HOUR, 7 * DAY)
    assert _known(20 * HOUR, 22 * HOUR, 23 * HOUR).ages(USUAL) == (None, None, 23 * HOUR, 7 * DAY)


def test_the_usual_rounds_come_back_when_the_last_finds_much() -> None:
    """One in a thousand first seen by the last round may have arrived at any time before it."""
    assert _known(None, 6 * HOUR, 7.1 * DAY).ages(USUAL) == USUAL


@given(ARRIVED, st.lists(st.integers(0, 2), max_size=8))
def test_the_last_look_never_comes_sooner(arrived: Arrived, new: list[int]) -> None:
    """Whatever is learned: ages ascend, the usual last one is among them in its place, and later
    ones are only added."""
    lateness = Lateness(BEGUN, tuple(new), tuple(new), arrived)
    ages = lateness.ages(USUAL)
    assert ages[3] == USUAL[3]
    present = [age for age in ages if age is not None]
    assert present == sorted(set(present))
    assert len(present) >= 2
    assert present[0] >= HOUR
    assert Lateness.from_text(lateness.to_text()).ages(USUAL)[3] == USUAL[3]


@given(st.lists(ARRIVED, min_size=1, max_size=8), st.lists(st.integers(1, 30), min_size=8))
def test_all_time_gets_its_last_look_however_rounds_change(
    known: list[Arrived], gaps: list[int]
) -> None:
    """Rounds that move, go and come back leave no time without the last one."""
    planned, begun = Planned(), BEGUN
    now = begun
    planned.tick(now)
    for number, gap in enumerate(gaps):
        now += gap * HOUR
        arrived = known[number % len(known)]
        planned.tick(now, cadence=replace(CADENCE, rounds=Lateness(arrived=arrived).ages(USUAL)))
    now += 20 * DAY
    planned.tick(now)
    looked = planned.of(Purpose.REREAD, round_=4)
    asked = Window(begun, now - 9 * DAY)
    assert subtract([asked], looked) == []


def test_late_records_are_expected_for_longer_where_they_are_late() -> None:
    """The settling time follows what is known, never shorter than configured, at most the last."""
    assert Lateness().settle(USUAL, DAY) == DAY
    assert _known(None, None, None).settle(USUAL, DAY) == DAY
    assert _known(HOUR, 9 * HOUR, 30 * HOUR).settle(USUAL, DAY) == 30 * HOUR
    assert _known(HOUR, 9 * HOUR, 20 * DAY).settle(USUAL, DAY) == 7 * DAY


def test_enough_is_known_after_four_weeks_of_a_workload() -> None:
    """The slowest workload decides; one with few records does not."""
    spread = Spread.of([(0, 9 * ENOUGH_RECORDS), (3 * 3600, ENOUGH_RECORDS)])
    rare = Spread.of([(9 * 86_400, ENOUGH_RECORDS - 1)])
    assert slowest(ENOUGH_DAYS - 1, {"Exchange": spread}) is None
    assert slowest(ENOUGH_DAYS, {"Teams": rare}) is None
    found = slowest(ENOUGH_DAYS, {"Exchange": spread, "Teams": rare, "Fast": Spread({0: 10_000})})
    assert found is not None
    assert all(3 * HOUR <= (age or HOUR) <= 3.3 * HOUR for age in found.ages)


def test_days_are_summed_by_workload() -> None:
    """What the ledger keeps of each day adds up."""
    one = {"Exchange": Spread({0: 5, 90: 1}), "Teams": Spread({3: 2})}
    two = {"Exchange": Spread({0: 7})}
    summed = over_days([day_to_text(one), day_to_text(two)])
    assert summed == {"Exchange": Spread({0: 12, 90: 1}), "Teams": Spread({3: 2})}


def test_the_first_proven_look_counts() -> None:
    """A later look at the same time, or one that proved nothing, is not the first."""

    def finding(start: int, end: int, asked: int, verdict: Verdict = Verdict.COMPLETE) -> Finding:
        window = Window(BEGUN + start * HOUR, BEGUN + end * HOUR)
        return Finding(window, verdict, BEGUN + asked * HOUR)

    looks = first_looks(
        [
            finding(0, 24, 30),
            finding(0, 2, 3, Verdict.SUSPECT),
            finding(2, 4, 5),
            finding(4, 6, 7, Verdict.EMPTY_CONFIRMED),
        ]
    )
    assert looks == [
        (Window(BEGUN, BEGUN + 2 * HOUR), BEGUN + 30 * HOUR),
        (Window(BEGUN + 2 * HOUR, BEGUN + 4 * HOUR), BEGUN + 5 * HOUR),
        (Window(BEGUN + 4 * HOUR, BEGUN + 6 * HOUR), BEGUN + 7 * HOUR),
        (Window(BEGUN + 6 * HOUR, BEGUN + 24 * HOUR), BEGUN + 30 * HOUR),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[null,[1],[2]]",
        '["2026-01-01T00:00:00+00:00",[1],[]]',
        '["2026-01-01T00:00:00+00:00",[1],[1],[3,[1]]]',
    ],
)
def test_a_damaged_note_counts_as_nothing_known(text: str) -> None:
    """It costs a few re-reads, not a record."""
    assert Lateness.from_text(text) == Lateness()
