"""Empty answers that were none (D10), in all the ways that "large" and "first" can be meant."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.test_search_walk import (
    CAP,
    DAY,
    LIMITS,
    Service,
    _missing_but_proven,
    _moment,
    _spread,
)
from trailkeeper.errors import Lost
from trailkeeper.model.measures.density import Density, hour_number
from trailkeeper.model.search.answer.rows import SearchAnswer, micros
from trailkeeper.model.search.emptiness.credibility import HEARD, Credibility
from trailkeeper.model.search.emptiness.sentinel import KEPT, Sentinel, Sentinels
from trailkeeper.model.search.habits import SearchHabits
from trailkeeper.model.search.walk import SearchWalk
from trailkeeper.model.segment import Verdict
from trailkeeper.model.window import Window, subtract

HOUR = timedelta(hours=1)


class Hiding(Service):
    """Answers nothing, without a word, wherever `hides(window, rows of it)` says so."""

    hides: Callable[[Window, int], bool] = staticmethod(lambda window, rows: False)

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        if not self.hides(window, len(self._within(window))):
            return super().ask(window, record_type, tight=tight)
        self.calls += 1
        return SearchAnswer(window, self.now())

    def _within(self, window: Window) -> list[tuple[int, str]]:
        """As a service is asked by the real transport: one second early."""
        return super()._within(Window(window.start - timedelta(seconds=1), window.end))


def longer_than(length: timedelta) -> Callable[[Window, int], bool]:
    return lambda window, rows: window.duration > length


def more_than(most: int) -> Callable[[Window, int], bool]:
    return lambda window, rows: rows > most


def by_lot(
    chance: float, seed: int, large: Callable[[Window, int], bool]
) -> Callable[[Window, int], bool]:
    lot = random.Random(seed)
    return lambda window, rows: large(window, rows) and lot.random() < chance


def at_first(large: Callable[[Window, int], bool]) -> Callable[[Window, int], bool]:
    """Each question once; what was asked before is answered."""
    asked: set[Window] = set()

    def hides(window: Window, rows: int) -> bool:
        new = window not in asked
        asked.add(window)
        return new and large(window, rows)

    return hides


LARGE = {
    **{f"longer than {m} min": longer_than(timedelta(minutes=m)) for m in (2, 10, 60, 360)},
    **{f"more than {n} rows": more_than(n) for n in (3, 20, CAP)},
}
ABSURD = {"longer than 2 min", "longer than 10 min", "more than 3 rows"}
"""where nothing at all is known of a tenant, so much is hidden only from those who look closer"""
SHAPES: dict[str, Callable[[int], list[datetime]]] = {
    "even": lambda seed: _spread(900, seed),
    "a few": lambda seed: _spread(9, seed),
    "a busy hour": lambda seed: (
        [DAY.start + 13 * HOUR + (t - DAY.start) / 24 for t in _spread(300)] + _spread(5, seed)
    ),
    "office hours": lambda seed: [DAY.start + 7 * HOUR + (t - DAY.start) / 2 for t in _spread(400)],
    "two ends": lambda seed: [DAY.start + HOUR, DAY.end - HOUR] * 3,
}


def _service(times: list[datetime], hides: Callable[[Window, int], bool]) -> Hiding:
    service = Hiding([t.replace(microsecond=0) for t in times])
    service.hides = hides
    return service


def _walked(
    service: Hiding, known: int = 0, rounds: int = 4
) -> tuple[list[SearchWalk], list[Window]]:
    """Walks, each over what the ones before left unproven, with the habits they left; and what is
    unproven in the end. So many of the rows are known before."""
    rows = [Sentinel(_moment((t, key)), key) for t, key in service.rows[:known]]
    habits, walks, left = SearchHabits(sentinels=tuple(rows)), [], [DAY]
    for _ in range(rounds):
        for window in left:
            walk = SearchWalk(service, window, LIMITS, credibility=habits.credibility())
            walk.run()
            walks.append(walk)
            noted = SearchHabits(probed_at=service.now()).believing(walk.credibility)
            habits = SearchHabits.from_text(noted.to_text())
        proven = [f.window for w in walks for f in w.findings if f.verdict.proven]
        left = subtract([DAY], proven)
    return walks, left


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("large", LARGE)
@pytest.mark.parametrize("how", ["always", "first", "lot"])
def test_rows_hidden_from_large_questions_are_found_or_missed_by_name(
    shape: str, large: str, how: str
) -> None:
    """What comes back empty and is not is stored or not proven, whatever large means."""
    hides = LARGE[large]
    if how == "first":
        hides = at_first(hides)
    if how == "lot":
        hides = by_lot(0.4, 7, hides)
    service = _service(SHAPES[shape](1), hides)
    walks, _ = _walked(service, known=large in ABSURD)
    assert not any(_missing_but_proven(service, walk.findings) for walk in walks)
    most = LIMITS.base_calls + LIMITS.calls_per_part * (1 + max(w.calls.rows for w in walks) // CAP)
    assert all(walk.calls.made <= most + 30 for walk in walks)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    chance=st.sampled_from([0.05, 0.2, 0.4]),
    large=st.sampled_from(sorted(LARGE)),
    shape=st.sampled_from(sorted(SHAPES)),
)
def test_rows_hidden_by_lot(seed: int, chance: float, large: str, shape: str) -> None:
    """The same with many lots, over several walks that hand on what they learned."""
    service = _service(SHAPES[shape](seed), by_lot(chance, seed, LARGE[large]))
    walks, _ = _walked(service, known=large in ABSURD)
    assert not any(_missing_but_proven(service, walk.findings) for walk in walks)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_answer_of_a_tenant_may_be_empty(shape: str) -> None:
    """D10 as it was reported: the first large question brings nothing, and nothing is lost."""
    answered: list[Window] = []

    def first(window: Window, rows: int) -> bool:
        answered.append(window)
        return len(answered) == 1

    service = _service(SHAPES[shape](2), first)
    (walk, *_), left = _walked(service)
    assert left == []
    assert service.landed == {key for _, key in service.rows}
    assert walk.calls.made <= 1.2 * len(service.rows) / CAP + 40


def test_emptiness_is_witnessed_by_a_known_row() -> None:
    """An empty night costs one more question: stretched to a row that is known to exist."""
    service = _service([DAY.start - HOUR], more_than(10**9))
    empties = Credibility(Sentinels([Sentinel(DAY.start - HOUR, "id-0")]))
    walk = SearchWalk(service, DAY, LIMITS, credibility=empties)
    (finding,) = walk.run()
    assert finding.verdict is Verdict.EMPTY_CONFIRMED
    assert finding.evidence["sentinel_rows"] == 1
    assert walk.calls.made == 3, "the part, its sentinel, and whether auditing is on"


def test_a_liar_of_whom_little_is_known_is_not_believed_at_eight_looks() -> None:
    """D10: few truths and a lie about longer time ask for more looks than are ever taken."""

    class IncludesTheEnd(Hiding):
        hides = staticmethod(longer_than(6 * HOUR))

        def _within(self, window: Window) -> list[tuple[int, str]]:
            return super()._within(Window(window.start, window.end + timedelta(microseconds=1)))

    full = [9 * HOUR, 20 * HOUR, 40 * HOUR]
    times = [DAY.start + at for at in full for _ in range(CAP + 10)]
    limits = replace(LIMITS, rows_per_attempt=10 * CAP)
    service = IncludesTheEnd(times, count="rows")
    walk = SearchWalk(service, Window(DAY.start, DAY.end + 24 * HOUR), limits)
    assert not _missing_but_proven(service, walk.run())


def test_a_row_of_the_second_before_is_no_row_of_the_window() -> None:
    """Questions reach one second back: auditing is asked for although a row came."""
    service = _service([DAY.start - timedelta(seconds=1)], more_than(10**9))
    walk = SearchWalk(service, DAY, LIMITS)
    (finding,) = walk.run()
    assert finding.verdict is Verdict.EMPTY_CONFIRMED
    assert walk.calls.made == 2


def test_a_service_that_answers_nothing_at_all_is_not_believed() -> None:
    """Where a row is known, an answer without it proves nothing, however often it comes."""
    service = _service([DAY.start - HOUR, *_spread(50)], longer_than(timedelta()))
    empties = Credibility(Sentinels([Sentinel(DAY.start - HOUR, "id-0")]))
    walk = SearchWalk(service, DAY, LIMITS, credibility=empties)
    assert {f.verdict for f in walk.run()} == {Verdict.SUSPECT}
    assert walk.calls.made <= 12


def test_a_holiday_is_empty_and_a_dead_service_is_suspect() -> None:
    """Where many records are usual, only a sentinel proves that there are none."""
    weeks = Window(DAY.start - timedelta(days=28), DAY.start)
    usual = {hour_number(weeks.start) + n: 40 for n in range(28 * 24)}
    density = Density().learn([weeks], usual)
    dead = SearchWalk(_service([], more_than(0)), DAY, LIMITS, density=density)
    (finding,) = dead.run()
    assert finding.verdict is Verdict.SUSPECT
    assert "usually about 960 records" in finding.reason
    service = _service([DAY.start - timedelta(days=20)], more_than(10**9))
    known = Credibility(Sentinels([Sentinel(DAY.start - timedelta(days=20), "id-0")]))
    holiday = SearchWalk(service, DAY, LIMITS, density=density, credibility=known)
    assert [f.verdict for f in holiday.run()] == [Verdict.EMPTY_CONFIRMED]


def test_a_witness_that_is_too_old_is_forgotten() -> None:
    """A known row before the horizon proves nothing, and its refusal loses nothing."""

    class Forgetful(Hiding):
        def ask(
            self, window: Window, record_type: str = "", *, tight: bool = False
        ) -> SearchAnswer:
            if window.start < DAY.start - timedelta(hours=2):
                raise Lost("too old", horizon=(DAY.start - 2 * HOUR).isoformat())
            return super().ask(window)

    sentinel = Sentinel(DAY.start - timedelta(days=3), "id-old")
    walk = SearchWalk(Forgetful([]), DAY, LIMITS, credibility=Credibility(Sentinels([sentinel])))
    assert [f.verdict for f in walk.run()] == [Verdict.EMPTY_CONFIRMED]
    assert walk.credibility.sentinels.kept() == ()


def test_what_lied_is_remembered_for_a_week() -> None:
    """A walk that is cut short hands on which answers lied; its known rows outlive the week."""
    service = _service(_spread(400), more_than(20))
    walk = SearchWalk(service, DAY, LIMITS)
    walk.run()
    habits = SearchHabits(probed_at=service.now()).believing(walk.credibility)
    again = SearchHabits.from_text(habits.to_text())
    assert again == habits
    assert again.credibility().lies == walk.credibility.lies != []
    assert again.hides_rows == "yes"
    later = again.fresh(service.now() + timedelta(days=8))
    assert later.credibility().lies == []
    assert later.sentinels == habits.sentinels != ()


def test_a_lie_counts_however_many_are_remembered() -> None:
    """Only the shortest lies are remembered, but every one tells that others may have been."""
    empties = Credibility(heard=[-60.0] * HEARD)
    empties.hid(DAY)
    assert (len(empties.lies), empties.caught) == (HEARD, 1)


def test_witnesses_stay_few_and_spread_out() -> None:
    """What outlives a walk is bounded, holds both ends, and leaves no large hole."""
    times = [DAY.start + timedelta(minutes=n) for n in range(1440)]
    sentinels = Sentinels()
    for n, time in enumerate(times):
        window = Window(time, time + timedelta(minutes=1))
        sentinels.notice(SearchAnswer(window, datetime.now(UTC), [f"id-{n}"], [micros(time)]))
    kept = sentinels.kept()
    assert len(kept) <= KEPT
    assert (kept[0].second, kept[-1].second) == (times[0], times[-1])
    assert all(b.second - a.second < HOUR for a, b in pairwise(kept))
