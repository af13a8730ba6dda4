"""What re-reads found decides which are worth repeating."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trailkeeper.model.lateness import Lateness

BEGUN = datetime(2026, 9, 1, tzinfo=UTC)
LATER = BEGUN + timedelta(weeks=5)
USUAL = (timedelta(hours=6), timedelta(hours=24), timedelta(hours=72))


def _learned(*rounds: tuple[int, int]) -> Lateness:
    lateness = Lateness()
    for number, (received, new) in enumerate(rounds, 1):
        lateness = lateness.learn(number, received, new, BEGUN)
    return Lateness.from_text(lateness.to_text())


def test_a_round_is_added_while_the_last_still_finds() -> None:
    """Where records arrive even later than the last age, one more reading follows."""
    late = _learned((9000, 5), (9000, 2), (9000, 1))
    assert late.ages(USUAL, LATER) == (*USUAL, timedelta(hours=144))
    assert late.ages(USUAL, BEGUN) == USUAL
    assert _learned((9000, 5), (9000, 2), (9000, 0)).ages(USUAL, LATER) == USUAL


@pytest.mark.parametrize(
    "text", ["", "[]", "[null,[1],[2]]", '["2026-01-01T00:00:00+00:00",[1],[]]']
)
def test_a_damaged_note_counts_as_nothing_known(text: str) -> None:
    """It costs a few re-reads, not a record."""
    assert Lateness.from_text(text) == Lateness()
