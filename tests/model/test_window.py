"""Windows: half-open, in UTC, on one axis; and what is left when some are taken from others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.window import (
    Axis,
    AxisMixedError,
    Window,
    iso,
    parse_instant,
    require_utc,
    subtract,
    total,
    union,
)

T0 = datetime(2026, 10, 5, tzinfo=UTC)
NAIVE = datetime(2026, 10, 5)  # noqa: DTZ001 - what is refused
MINUTE = timedelta(minutes=1)


def window(start: float, end: float, axis: Axis = Axis.OCCURRED) -> Window:
    """Minutes after `T0`."""
    return Window(T0 + start * MINUTE, T0 + end * MINUTE, axis)


NAIVE_WAYS: dict[str, Callable[[], object]] = {
    "by itself": lambda: require_utc(NAIVE),
    "as a start": lambda: Window(NAIVE, T0 + MINUTE),
    "as an end": lambda: Window(T0 - MINUTE, NAIVE),
    "as text": lambda: iso(NAIVE),
}


@pytest.mark.parametrize("way", NAIVE_WAYS)
def test_a_time_without_zone_is_refused(way: str) -> None:
    """Wherever it enters, and the error says what to do."""
    with pytest.raises(ValueError, match=r"naive datetime refused.*attach a timezone"):
        NAIVE_WAYS[way]()


def test_times_of_other_zones_become_utc() -> None:
    """The instant stays the same."""
    berlin = timezone(timedelta(hours=2))
    found = Window(T0.astimezone(berlin), (T0 + MINUTE).astimezone(berlin))
    assert found == window(0, 1)
    assert found.start.tzinfo is UTC
    assert found.end.tzinfo is UTC


@pytest.mark.parametrize("end", [0, -1])
def test_no_window_is_empty(end: int) -> None:
    """One that ends where it begins, or before, is refused with both instants."""
    with pytest.raises(ValueError, match="window ends before it starts: 2026-10-05"):
        window(0, end)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    """So that two that touch share no instant."""
    found = window(0, 1)
    assert found.contains(found.start)
    assert found.contains(found.end - timedelta(microseconds=1))
    assert not found.contains(found.end)
    assert not found.contains(found.start - timedelta(microseconds=1))
    assert found.duration == MINUTE


MIXED: dict[str, Callable[[Window, Window], object]] = {
    "covers": lambda one, other: one.covers(other),
    "intersect": lambda one, other: one.intersect(other),
    "union": lambda one, other: union([one, other]),
    "total": lambda one, other: total([one, other]),
    "subtract": lambda one, other: subtract([one], [other]),
    "subtract within": lambda one, other: subtract([other], [window(0, 30, one.axis)]),
}


@pytest.mark.parametrize("way", MIXED)
def test_two_axes_never_meet(way: str) -> None:
    """When something happened and when it became available are not compared, in either order."""
    one, other = window(0, 10), window(0, 10, Axis.AVAILABLE)
    for pair in ((one, other), (other, one)):
        with pytest.raises(AxisMixedError, match=r"(occurred|available) window met"):
            MIXED[way](*pair)
    with pytest.raises(AxisMixedError):
        MIXED[way](window(0, 20), window(5, 10, Axis.AVAILABLE))


def test_what_is_cut_stays_on_its_axis() -> None:
    """Pieces of availability are of availability."""
    whole = window(0, 10, Axis.AVAILABLE)
    found = [
        *whole.split(T0 + MINUTE),
        *whole.halves(),
        *whole.pieces(3 * MINUTE),
        *union([whole, window(5, 20, Axis.AVAILABLE)]),
        *subtract([whole], [window(2, 3, Axis.AVAILABLE)]),
        whole.intersect(window(5, 20, Axis.AVAILABLE)),
    ]
    assert {piece.axis for piece in found if piece} == {Axis.AVAILABLE}


def test_covers_and_intersect() -> None:
    """The borders belong to what is covered; windows that touch have nothing in common."""
    whole = window(0, 10)
    assert whole.covers(whole)
    assert whole.covers(window(0, 5))
    assert whole.covers(window(5, 10))
    assert not whole.covers(window(-1, 5))
    assert not whole.covers(window(5, 11))
    assert whole.intersect(window(5, 20)) == window(5, 10)
    assert whole.intersect(window(-5, 5)) == window(0, 5)
    assert whole.intersect(window(10, 20)) is None
    assert window(10, 20).intersect(whole) is None


def test_split_takes_only_what_lies_inside() -> None:
    """Cuts at the borders, beyond them or twice cut nothing more."""
    cuts = (T0 + n * MINUTE for n in (0, 4, 2, 4, 10, 11, -3))
    assert window(0, 10).split(*cuts) == (window(0, 2), window(2, 4), window(4, 10))
    assert window(0, 10).split() == (window(0, 10),)


def test_halves_are_cut_on_a_whole_second() -> None:
    """One second is not cut any more; two are."""
    second = timedelta(seconds=1)
    assert Window(T0, T0 + second).halves() == (Window(T0, T0 + second),)
    older, newer = Window(T0, T0 + 2 * second).halves()
    assert older == Window(T0, T0 + second)
    assert newer == Window(T0 + second, T0 + 2 * second)
    older, newer = Window(T0, T0 + 3 * second).halves()
    assert older.end == newer.start == T0 + second


def test_pieces_are_cut_at_multiples_since_1970() -> None:
    """So that two plans of overlapping windows ask for the same pieces."""
    found = list(window(50, 130).pieces(timedelta(hours=1)))
    assert found == [window(50, 60), window(60, 120), window(120, 130)]
    assert list(window(60, 120).pieces(timedelta(hours=1))) == [window(60, 120)]
    thursday = T0 + timedelta(days=3)  # as the first of January 1970 was
    weeks = list(Window(T0, T0 + timedelta(days=7)).pieces(timedelta(days=7)))
    assert weeks == [Window(T0, thursday), Window(thursday, T0 + timedelta(days=7))]


def test_union_joins_what_touches() -> None:
    """And leaves apart what does not; a window within another one adds nothing."""
    found = union([window(5, 7), window(0, 4), window(1, 2), window(4, 5), window(8, 9)])
    assert found == [window(0, 7), window(8, 9)]
    assert total([window(0, 4), window(2, 5), window(8, 9)]) == 6 * MINUTE
    assert total([]) == timedelta()


def test_subtract_leaves_what_lies_beside_the_holes() -> None:
    """Holes that only touch take nothing."""
    holes = [window(-5, 0), window(2, 3), window(5, 6), window(10, 12)]
    assert subtract([window(0, 10)], holes) == [window(0, 2), window(3, 5), window(6, 10)]
    assert subtract([window(0, 10)], [window(0, 10)]) == []
    assert subtract([window(0, 10)], [window(-9, -5), window(20, 22)]) == [window(0, 10)]
    assert subtract([window(0, 10)], [window(-1, 4)]) == [window(4, 10)]
    assert subtract([window(0, 10)], [window(6, 11)]) == [window(0, 6)]


def test_instants_as_text() -> None:
    """Written with Z, read with any zone or none; a bare date is its midnight in UTC."""
    assert iso(T0) == "2026-10-05T00:00:00Z"
    assert iso(T0 + timedelta(microseconds=5)) == "2026-10-05T00:00:00.000005Z"
    assert str(window(0, 1)) == "[2026-10-05T00:00:00Z, 2026-10-05T00:01:00Z)"
    for text in ("2026-10-05", "2026-10-05T00:00", "2026-10-05T02:00+02:00", " 2026-10-05 "):
        assert parse_instant(text) == T0
        assert parse_instant(text).tzinfo is UTC
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_instant("yesterday")


MINUTES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=6)


def _windows(pairs: list[tuple[int, int]]) -> list[Window]:
    return [window(start, start + length) for start, length in pairs]


def _minutes(windows: list[Window]) -> set[int]:
    return {n for n in range(60) for w in windows if w.contains(T0 + n * MINUTE)}


@given(MINUTES, MINUTES)
def test_sets_of_windows_are_sets_of_instants(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    """Union and difference agree with those of the minutes that they hold; nothing overlaps."""
    one, other = _windows(some), _windows(others)
    joined, left = union(one), subtract(one, other)
    assert _minutes(joined) == _minutes(one)
    assert _minutes(left) == _minutes(one) - _minutes(other)
    assert total(one) == len(_minutes(one)) * MINUTE
    for found in (joined, left):
        assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(a.end < b.start for a, b in itertools.pairwise(joined))
