"""Lies told by chance, again and again: what one walk gets away with, one of hundreds does not.

A service that hides the rows of some answers is caught by questions whose rows are known. Whatever
saves questions may save those, too; so the same lie is told to many walks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from tests.model.test_search_share import Others
from tests.model.test_search_walk import CAP, DAY, LIMITS, Service, _missing_but_proven
from trailkeeper.model.search.answer.rows import SECOND, Choice, SearchAnswer
from trailkeeper.model.search.habits import SearchHabits
from trailkeeper.model.search.walk import SearchWalk
from trailkeeper.model.segment import Finding
from trailkeeper.model.window import Window, subtract

WINDOW = Window(DAY.start, DAY.end + timedelta(days=1))
SHORT = replace(LIMITS, rows_per_attempt=20 * CAP)


class HidesByChance(Service):
    """Of a question about more than `from_span`, all rows are hidden with probability `rate`.

    Each question brings the rows of the second before as well, as the transport asks it.
    """

    def __init__(
        self, times: Sequence[datetime], *, from_span: timedelta, rate: float, order: str, seed: int
    ) -> None:
        super().__init__(times, faults=["hidden"], rate=rate, order=order, seed=seed)
        self.from_span = from_span
        self.known: Choice | None = None
        self.habits = SearchHabits()

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        answer = super().ask(window, record_type, tight=tight)
        if not (record_type or tight):
            self.habits = self.habits.seen(answer, CAP)
        return answer

    def order_known(self) -> Choice | None:
        return self.known

    def tell_order(self, choice: Choice | None) -> None:
        self.known = choice

    def _within(self, window: Window) -> list[tuple[int, str]]:
        hidden = window.duration > self.from_span and self.random.random() < self.rate
        return [] if hidden else super()._within(Window(window.start - SECOND, window.end))


@dataclass
class Collected:
    """A window walked again until each part of it has a finding; two places are free each time."""

    findings: list[Finding]
    attempts: int
    left: list[Window]


def _collect(service: HidesByChance) -> Collected:
    found = Collected([], 0, [WINDOW])
    while found.left and found.attempts < 40:
        found.attempts += 1
        others = Others(2, found.left.pop())
        known = service.habits
        walk = SearchWalk(
            service,
            others.kept,
            SHORT,
            known_doubts=known.doubts(SHORT),
            credibility=known.credibility(),
            proven_order=service.known,
            turn=others,
        )
        findings = walk.run()
        told = service.habits.doubting(walk.doubts).believing(walk.credibility)
        service.habits = replace(told, probed_at=service.now())
        found.findings += findings
        found.left += subtract([others.kept], [finding.window for finding in findings])
        found.left += others.given
    return found


def _two_days(source: random.Random, crowds: int) -> list[datetime]:
    """Some 200 records, most of them at work time, and `crowds` seconds that fill an answer."""
    hours = [
        24 * day + (source.triangular(7, 19, 12) if source.random() < 0.9 else 24 * source.random())
        for day in range(2)
        for _ in range(source.randrange(50, 150))
    ]
    full = [9.5, *(source.uniform(0, 48) for _ in range(crowds - 1))][:crowds]
    seconds = [int(3600 * hour) for hour in hours + [hour for hour in full for _ in range(75)]]
    return [DAY.start + timedelta(seconds=second) for second in seconds]


LIES = [
    ("newest_first", 4, 0.3, timedelta(hours=1)),
    ("oldest_first", 3, 0.3, timedelta(hours=1)),
    ("none", 2, 0.3, timedelta()),
    ("newest_first", 0, 0.3, timedelta(hours=1)),
    ("none", 4, 0.5, timedelta(hours=1)),
    ("newest_first", 4, 0.15, timedelta(hours=1)),
    ("shuffled", 2, 0.3, timedelta(hours=1)),
]


def _short(seed: int, order: str, crowds: int, rate: float, from_span: timedelta) -> bool:
    times = _two_days(random.Random(seed), crowds)
    service = HidesByChance(times, from_span=from_span, rate=rate, order=order, seed=seed)
    return bool(_missing_but_proven(service, _collect(service).findings))


@pytest.mark.parametrize(("order", "crowds", "rate", "from_span"), LIES)
@pytest.mark.parametrize(
    ("collections", "most"), [(200, 1), pytest.param(5000, 5, marks=pytest.mark.nightly)]
)
def test_what_is_hidden_by_chance_is_not_believed(
    order: str, crowds: int, rate: float, from_span: timedelta, collections: int, most: int
) -> None:
    """Of two hundred collections at most one takes hidden rows for none, of thousands one in a
    thousand."""
    short = [n for n in range(collections) if _short(n, order, crowds, rate, from_span)]
    assert len(short) <= most, short


class DropsByChance(HidesByChance):
    """Each answer carries a warning that nobody has described; a tenth of them lack a row."""

    drops = 0.1

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        landed = set(self.landed)
        answer = super().ask(window, record_type, tight=tight)
        if not answer.rows:
            return answer
        keys, times = list(answer.keys), list(answer.times)
        if self.random.random() < self.drops:
            row = self.random.randrange(len(keys))
            del keys[row], times[row]
            self.landed = landed.union(keys)
        told = {"result_count": len(keys) or None, "warnings": ["Shown as they are"]}
        return replace(answer, keys=keys, times=times, **told)


def _dropping(seed: int, drops: float) -> tuple[DropsByChance, Collected]:
    source = random.Random(seed)
    seconds = [source.uniform(0, 2 * 86_400) for _ in range(800)]
    times = [DAY.start + timedelta(seconds=second) for second in seconds]
    service = DropsByChance(times, from_span=timedelta(), rate=0, order="newest_first", seed=seed)
    service.drops = drops
    return service, _collect(service)


@pytest.mark.parametrize(
    ("collections", "most"), [(100, 2), pytest.param(2000, 40, marks=pytest.mark.nightly)]
)
def test_a_warning_that_is_true_now_and_then_is_heeded(collections: int, most: int) -> None:
    """It stands beside each answer, whether that has all rows or not; one collection of fifty may
    take it for a habit."""
    runs = (_dropping(seed, 0.1) for seed in range(collections))
    short = sum(bool(_missing_but_proven(service, found.findings)) for service, found in runs)
    assert short <= most


def test_a_warning_that_says_nothing_becomes_a_habit() -> None:
    """Of an honest service: a dozen second looks, and no more from then on."""
    service, found = _dropping(seed=0, drops=0)
    assert all(finding.verdict.proven for finding in found.findings)
    looks = [finding for finding in found.findings if "recheck" in finding.evidence]
    assert len(looks) < len(found.findings) / 2
    assert service.calls <= 3 * len(service.rows) / CAP, service.calls


@pytest.mark.parametrize("order", ["newest_first", "oldest_first", "shuffled", "none"])
def test_an_honest_service_with_full_seconds_is_proven_in_few_rows(order: str) -> None:
    """Full seconds are cut out: they are not brought again by each question beside them."""
    rows, brought = 0, 0
    for seed in range(50):
        times = _two_days(random.Random(seed), crowds=3)
        service = HidesByChance(times, from_span=timedelta(), rate=0, order=order, seed=seed)
        found = _collect(service)
        assert not found.left
        assert all(finding.verdict.proven for finding in found.findings)
        assert service.landed == {key for _, key in service.rows}
        rows += len(service.rows)
        brought += service.brought
    assert brought <= 6 * rows, brought / rows
