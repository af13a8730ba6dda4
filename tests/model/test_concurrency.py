"""How many searches a stream may run at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.concurrency import START, ConcurrencyLimit


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 10))
def test_the_pace_stays_within_its_bounds(clean: list[bool], ceiling: int) -> None:
    """Whatever happens, at least one and at most the configured number run."""
    pace = ConcurrencyLimit()
    for each in clean:
        pace = pace.after_clean(ceiling) if each else pace.after_trouble()
        pace = ConcurrencyLimit.from_text(pace.to_text())
        assert 1 <= pace.allows(ceiling) <= ceiling


def test_it_rises_step_by_step_and_halves_at_once() -> None:
    """Each clean answer wins one more search; one trouble halves them."""
    pace = ConcurrencyLimit()
    assert pace.allows(10) == int(START)
    for _ in range(30):
        pace = pace.after_clean(8)
    assert pace.allows(8) == 8
    assert pace.after_trouble().allows(8) == 4


def test_a_service_that_minds_is_approached_slowly() -> None:
    """After a trouble many clean answers win one more search, and a note remembers it."""
    pace = ConcurrencyLimit.from_text(ConcurrencyLimit(limit=8).after_trouble().to_text())
    answers = 0
    while pace.allows(8) < 5:
        pace = pace.after_clean(8)
        answers += 1
    assert answers == 8


def test_a_trouble_is_forgotten_once_all_is_taken() -> None:
    """What minded once and then took all it may be asked is trusted as before."""
    pace = ConcurrencyLimit(limit=8).after_trouble()
    while pace.allows(8) < 8:
        assert pace.minds
        pace = pace.after_clean(8)
    assert not pace.minds


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1e9"])
def test_a_damaged_note_starts_anew(text: str) -> None:
    """What cannot be read counts as nothing known."""
    assert ConcurrencyLimit.from_text(text) == ConcurrencyLimit()
