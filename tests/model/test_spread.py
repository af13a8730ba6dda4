from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.feed.blob import percentile
from trailkeeper.model.feed.lag import ContentLag, summed
from trailkeeper.model.measures.spread import Spread, bound_of, class_of, rough

DURATIONS = st.lists(
    st.tuples(st.floats(-10, 10_000_000), st.integers(1, 1_000)), min_size=1, max_size=30
)


@given(DURATIONS, st.floats(0.01, 1))
def test_a_quantile_is_a_near_upper_bound(found: list[tuple[float, int]], share: float) -> None:
    """No less than the exact one, and at most a class, nine per cent, more."""
    exact = percentile(sorted(found), share)
    stated = Spread.of(found).quantile(share)
    assert stated is not None
    assert max(exact, 1) <= stated * (1 + 1e-6)
    assert stated <= max(exact, 1) * 1.0906


@given(DURATIONS, DURATIONS)
def test_spreads_add_up(one: list[tuple[float, int]], two: list[tuple[float, int]]) -> None:
    """The sum of two spreads is the spread of both; stored and read it is the same."""
    both = Spread.of(one) + Spread.of(two)
    assert both == Spread.of([*one, *two])
    assert Spread.from_json(json.loads(json.dumps(both.to_json()))) == both


@given(st.integers(0, 250))
def test_a_bound_lies_in_its_class(number: int) -> None:
    """Rounding moves no bound into the next class, so that summing up again changes nothing."""
    assert class_of(bound_of(number)) == number


def test_nothing_counted_has_no_quantile() -> None:
    """An empty spread states nothing."""
    assert Spread().quantile(0.5) is None
    assert Spread.of([(3, 0)]) == Spread()
    with pytest.raises(ValueError, match="no spread"):
        Spread.from_json([])


def test_what_lies_beyond() -> None:
    """Whole classes beyond the one that holds the duration are later than it."""
    assert Spread.of([(1, 5), (3_600, 7), (90_000, 2)]).later_than(3_600) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "1 s"),
        (45, "45 s"),
        (99, "99 s"),
        (130, "2.2 min"),
        (720, "12 min"),
        (4_680, "78 min"),
        (9_000, "2.5 h"),
        (86_400, "24 h"),
        (280_000, "3.2 d"),
    ],
)
def test_durations_for_people(seconds: float | None, text: str) -> None:
    """Two figures and one unit are enough."""
    assert rough(seconds) == text


def test_lags_of_one_content_type_are_one() -> None:
    """Days are summed by content type, in the order of the names."""
    general = ContentLag("Audit.General", Spread.of([(60, 1)]), Spread())
    exchange = ContentLag("Audit.Exchange", Spread.of([(60, 1)]), Spread.of([(5, 2)]))
    first, second = summed([general, exchange, general])
    assert (first, second.theirs.total) == (exchange, 2)
    assert ContentLag.from_text("Audit.Exchange", exchange.to_text()) == exchange
