"""Tables are compacted by turns, a few tenants at a time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from beat.ticks import TICKS
from trailkeeper.messages import Task
from trailkeeper.steps.compact import TURN, whose_turn

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TENANTS = [f"tenant{number:02}" for number in range(25)]


def test_each_tenant_has_its_turn_once_in_twelve_ticks() -> None:
    """Whenever the first of them comes; no tick takes more than its share."""
    turns = [whose_turn(TENANTS, NOON + n * TURN) for n in range(5, 17)]
    assert Counter(name for turn in turns for name in turn) == Counter(TENANTS)
    assert {len(turn) for turn in turns} == {2, 3}


def test_a_tick_that_comes_late_takes_the_same_tenants() -> None:
    """The order in which the configuration names them does not matter."""
    late = NOON + TURN * 0.9
    assert whose_turn(TENANTS[::-1], late) == whose_turn(TENANTS, NOON)


def test_turns_are_as_long_as_the_time_between_two_ticks() -> None:
    """Otherwise some tenants would never have one."""
    (every,) = (tick.every for tick in TICKS if tick.task is Task.TICK_COMPACT)
    assert every == TURN
