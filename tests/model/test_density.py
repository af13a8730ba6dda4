"""What is remembered of a tenant's week, and how windows are cut by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.measures.density import HOURS, Density, hour_number
from trailkeeper.model.window import Window

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = Window(MONDAY, MONDAY + 7 * 24 * HOUR)


def _week(rows: list[int]) -> Density:
    first = hour_number(MONDAY)
    return Density().learn([WEEK], {first + n: count for n, count in enumerate(rows)})


@given(st.lists(st.integers(0, 50_000), min_size=HOURS, max_size=HOURS))
def test_a_learned_week_is_expected_again(rows: list[int]) -> None:
    """After one week the same hours of the next are expected to hold as much, and survive text."""
    density = _week(rows)
    later = Window(WEEK.start + timedelta(days=7), WEEK.end + timedelta(days=7))
    assert density.known
    assert abs(density.expected(later) - sum(rows)) <= 1
    again = Density.from_text(density.to_text())
    assert abs(again.expected(later) - sum(rows)) <= 0.001 * sum(rows)


@given(
    st.lists(st.integers(0, 50_000), min_size=HOURS, max_size=HOURS),
    st.integers(0, 500_000),
    st.integers(1, 2_500_000),
    st.integers(1, 60),
    st.integers(1, 31),
)
def test_pieces_cover_a_window_exactly(
    rows: list[int], offset: int, length: int, count: int, days: int
) -> None:
    """Cut pieces follow each other without gap or overlap, none much longer than allowed."""
    start = MONDAY + timedelta(seconds=offset)
    window = Window(start, start + timedelta(seconds=length))
    pieces = _week(rows).cut(window, count, timedelta(days=days))
    assert (pieces[0].start, pieces[-1].end) == (window.start, window.end)
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(p.duration < timedelta(days=days) + HOUR for p in pieces)


def test_pieces_hold_about_equally_much() -> None:
    """A busy morning is cut finely and a quiet weekend not at all."""
    rows = [10_000 if n < 5 * 24 and 8 <= n % 24 < 12 else 0 for n in range(HOURS)]
    pieces = _week(rows).cut(WEEK, 10, timedelta(days=31))
    held = [_week(rows).expected(piece) for piece in pieces]
    assert len(pieces) == 10
    assert set(held) == {20_000}
    assert all(piece.start.minute == 0 for piece in pieces)
    assert pieces[-1].end == WEEK.end


def test_hours_cut_by_two_neighbouring_windows_count() -> None:
    """An hour that two proven windows share is a whole hour seen."""
    cuts = [MONDAY + timedelta(minutes=m) for m in range(0, 7 * 24 * 60 + 1, 90)]
    windows = [Window(a, b) for a, b in pairwise(cuts)]
    assert Density().learn(windows, {}).known


def test_old_weeks_fade() -> None:
    """What a tenant does now outweighs what it did months ago."""
    density = _week([1000] * HOURS)
    for week in range(1, 30):
        window = Window(WEEK.start + week * timedelta(days=7), WEEK.end + week * timedelta(days=7))
        density = density.learn([window], {})
    assert density.expected(WEEK) < 1000


def test_an_hour_never_seen_counts_as_the_mean() -> None:
    """Not knowing an hour is not knowing it to be empty."""
    density = Density().learn([Window(MONDAY, MONDAY + 2 * HOUR)], {hour_number(MONDAY): 100})
    assert not density.known
    assert density.expected(Window(MONDAY + 5 * HOUR, MONDAY + 6 * HOUR)) == 50


def test_unreadable_text_is_an_empty_density() -> None:
    """A note that is damaged costs calls, not records."""
    for text in ("", "1,2", "a;b", "1;1", ";"):
        assert Density.from_text(text) == Density()
    assert Density().busiest() is None
