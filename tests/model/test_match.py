from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.measures.match import HOURS_NAMED, DayMatch, Match, Missed, over_days
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.stream import Source

AT = datetime(2026, 10, 2, 3, tzinfo=UTC)
BOTH = (Source.EXCHANGE, Source.ACTIVITY)
COUNTS = st.dictionaries(st.sampled_from(["Exchange", "SharePoint", "Teams"]), st.integers(0, 99))
SPREADS = st.dictionaries(st.integers(0, 200), st.integers(1, 99)).map(Spread)
MATCHES = st.builds(
    Match,
    hours=st.integers(0, 24),
    records=COUNTS,
    missed=st.fixed_dictionaries(dict.fromkeys(BOTH, COUNTS)),
    lags=st.fixed_dictionaries(dict.fromkeys(BOTH, SPREADS)),
    named=st.lists(
        st.builds(Missed, st.just(AT), st.just("Teams"), st.sampled_from(BOTH), st.integers(1, 9)),
        max_size=5,
    ).map(tuple),
)


@given(MATCHES, st.booleans())
def test_a_day_is_kept_as_it_was(match: Match, final: bool) -> None:
    """What the ledger gives back is what was found."""
    day = DayMatch(match, AT, final)
    assert DayMatch.from_text(day.to_text()) == day


@given(MATCHES, MATCHES)
def test_days_add_up(one: Match, two: Match) -> None:
    """Counts of two days are summed by source and workload, lags too."""
    both = one + two
    assert both.hours == one.hours + two.hours
    assert both.total == one.total + two.total
    for source in BOTH:
        assert both.missed_by(source) == one.missed_by(source) + two.missed_by(source)
        assert both.lags[source] == one.lags[source] + two.lags[source]
    assert both.named == (*one.named, *two.named)[:HOURS_NAMED]


def test_each_source_states_its_own_misses() -> None:
    """One object a source: its rate, and that all of it was repaired from the other."""
    match = Match(
        24,
        {"Exchange": 80, "Teams": 20},
        {Source.EXCHANGE: {"Teams": 5}, Source.ACTIVITY: {}},
        {Source.EXCHANGE: Spread.of([(1_800, 95)])},
        (Missed(AT, "Teams", Source.EXCHANGE, 5),),
    )
    stated = match.as_json(Source.EXCHANGE)
    assert (stated["with"], stated["records"], stated["missed"]) == (["activity"], 100, 5)
    assert (stated["miss_rate"], stated["repaired"]) == (0.05, 5)
    assert stated["missed_in"] == [
        {"hour": "2026-10-02T03:00:00Z", "workload": "Teams", "missed": 5}
    ]
    other = match.as_json(Source.ACTIVITY)
    assert (other["missed"], other["missed_in"]) == (0, [])
    assert other["occurred_to_seen"] == {"p50_seconds": None, "p95_seconds": None}


def test_days_without_a_settled_hour_state_nothing() -> None:
    """A range in which no hour could be matched has no match, not a perfect one."""
    nothing = DayMatch(Match(), AT, final=True).to_text()
    assert over_days([(date(2026, 10, 1), nothing)]) is None
    assert over_days([]) is None
