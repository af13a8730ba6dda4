"""The budget of requests: shared through Redis, halved when the service complains."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.servers.redis import redis_server
from trailkeeper.ports.budget import Asked
from trailkeeper.store.budget import RequestBudget


def test_ends_and_says_when_it_goes_on() -> None:
    """What is used up is told with the seconds to wait; other tenants have their own."""
    budget = RequestBudget(None, per_minute=40)
    assert [budget.take("contoso") for _ in range(40)] == [0.0] * 40
    assert 0 < budget.take("contoso") <= 61
    assert budget.take("fabrikam") == 0.0


def test_workers_share_it_through_redis() -> None:
    """Two processes' budgets over one Redis count together."""
    with redis_server() as redis:
        first, second = (RequestBudget(redis.url, per_minute=40) for _ in range(2))
        taken = [each.take("contoso") for _ in range(20) for each in (first, second)]
        assert taken == [0.0] * 40
        assert first.take("contoso") > 0
        assert second.take("contoso") > 0


def test_without_redis_each_counts_for_itself() -> None:
    """A Redis that is out of reach stops nobody."""
    budget = RequestBudget("redis://127.0.0.1:1/0", per_minute=40)
    assert budget.take("contoso") == 0.0
    assert budget.slow_down("contoso", Asked.BLOB) > 0


def test_a_complaint_halves_it() -> None:
    """After AF429 there is half as much; complaints side by side count once."""
    budget = RequestBudget(None, per_minute=200)
    rest = budget.slow_down("contoso", Asked.BLOB)
    assert 5.0 <= rest <= 6.5
    assert 5.0 <= budget.slow_down("contoso", Asked.BLOB) <= 6.5
    granted = sum(budget.take("contoso") == 0.0 for _ in range(150))
    assert granted == 100


def test_several_are_taken_at_once() -> None:
    """A handful counts as so many; one that is more than all there is takes all."""
    budget = RequestBudget(None, per_minute=40)
    assert [budget.take("contoso", 8) for _ in range(5)] == [0.0] * 5
    assert budget.take("contoso") > 0
    assert budget.take("fabrikam", 400) == 0.0


def test_a_complaint_now_and_then_is_the_first_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a row they double the rest; after answers it begins anew, and what was halved stays so."""
    monkeypatch.setattr("trailkeeper.store.budget._ONE_BURST_SECONDS", 0)
    budget = RequestBudget(None, per_minute=200)
    for least in (5.0, 10.0, 20.0):
        budget.answered("contoso", Asked.BLOB)
        assert least <= budget.slow_down("contoso", Asked.BLOB) <= 1.3 * least
    for _ in range(2):
        for _ in range(5):
            budget.answered("contoso", Asked.BLOB)
        assert 5.0 <= budget.slow_down("contoso", Asked.BLOB) <= 6.5
    assert sum(budget.take("contoso") == 0.0 for _ in range(150)) == 100


@dataclass
class Time:
    """Both clocks of the process, moved by hand."""

    seconds: float = 1_000_000_020.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def rests(
    budget: RequestBudget, moved: Time, rounds: int, *, well: int, refused: int
) -> list[float]:
    """Rounds of so many answers and then so many refusals side by side; the rest after each."""
    found = []
    for _ in range(rounds):
        for _ in range(well):
            budget.answered("contoso", Asked.BLOB)
        found.append(max([budget.slow_down("contoso", Asked.BLOB) for _ in range(refused)]))
        moved.seconds += found[-1]
    return found


def test_few_answers_among_refusals_are_no_good_sign(moved: Time) -> None:
    """Five requests that go well, then all of those side by side refused: each round rests longer
    than the one before."""
    found = rests(RequestBudget(None), moved, 7, well=5, refused=8)
    assert found == sorted(found)
    assert found[-1] >= 320


def test_listings_that_go_well_say_nothing_of_blobs(moved: Time) -> None:
    """Every blob refused after listings that came: each round rests longer than the one before;
    listings of which one is refused now and then rest as at first each time."""
    budget, of_blobs, of_listings = RequestBudget(None), [], []
    for _ in range(6):
        for _ in range(6):
            budget.answered("contoso", Asked.LISTING)
        of_listings.append(budget.slow_down("contoso", Asked.LISTING))
        moved.seconds += 3
        of_blobs.append(budget.slow_down("contoso", Asked.BLOB))
        moved.seconds += 3
    assert max(of_listings) <= 6.5
    assert of_blobs == sorted(of_blobs)
    assert of_blobs[-1] >= 160


def test_everything_refused_rests_longer_until_ten_minutes(moved: Time) -> None:
    """And stays there: the count is not forgotten while refusals go on."""
    budget, found = RequestBudget(None), []
    for _ in range(20):
        found.append(budget.slow_down("contoso", Asked.BLOB))
        moved.seconds += found[-1]
    assert found[:6] == sorted(found[:6])
    assert min(found[7:]) >= 600


def test_an_outage_is_over_when_it_is_over(moved: Time) -> None:
    """Everything side by side refused for six rounds, then minutes that go well: one refusal more
    is the first, however many there were before the last round."""
    budget = RequestBudget(None)
    rests(budget, moved, 6, well=0, refused=32)
    for _ in range(10):
        for _ in range(10):
            budget.answered("contoso", Asked.BLOB)
        moved.seconds += 60
    assert budget.slow_down("contoso", Asked.BLOB) <= 6.5


def test_refused_for_weeks(moved: Time) -> None:
    """The thousands of refusals are in a row still, and each rests as long as the last one."""
    budget = RequestBudget(None)
    for _ in range(3000):
        rest = budget.slow_down("contoso", Asked.BLOB)
        moved.seconds += rest
    assert 600 <= rest <= 780


def test_what_went_well_long_ago_does_not_count(moved: Time) -> None:
    """A refusal after the answers of ten minutes ago is one more in a row."""
    budget = RequestBudget(None)
    assert budget.slow_down("contoso", Asked.BLOB) <= 6.5
    for _ in range(50):
        budget.answered("contoso", Asked.BLOB)
    moved.seconds += 600
    assert budget.slow_down("contoso", Asked.BLOB) >= 10.0


def test_what_was_refused_long_ago_does_not_count(moved: Time) -> None:
    """Thirty refused side by side, and ten minutes of ten answers each: the next is a first."""
    budget = RequestBudget(None)
    for _ in range(30):
        budget.slow_down("contoso", Asked.BLOB)
    for _ in range(10):
        moved.seconds += 60
        for _ in range(10):
            budget.answered("contoso", Asked.BLOB)
    assert budget.slow_down("contoso", Asked.BLOB) <= 6.5


def asked(
    budget: RequestBudget, moved: Time, minutes: int, gives: Callable[[], bool]
) -> list[tuple[int, int]]:
    """A back-fill of 30 requests a second, by a service that `gives` or refuses: for each minute
    how many were sent, and how many of them refused."""
    began, counts = moved.seconds, [[0, 0] for _ in range(minutes)]
    while (minute := int((moved.seconds - began) // 60)) < minutes:
        moved.seconds += 1 / 30
        if budget.take("contoso") > 0:
            continue
        counts[minute][0] += 1
        if gives():
            budget.answered("contoso", Asked.BLOB)
        else:
            counts[minute][1] += 1
            moved.seconds += budget.slow_down("contoso", Asked.BLOB)
    return [(sent, refused) for sent, refused in counts]


@pytest.mark.parametrize("real", [190, 500, 100])
def test_it_comes_down_to_a_lower_limit(moved: Time, real: int) -> None:
    """A service that gives far less than we think: within five minutes what is sent is about what
    it gives, most of what it gives is had, and after a quarter of an hour more is tried again."""
    given: dict[int, int] = {}

    def gives() -> bool:
        minute = int(moved.seconds // 60)
        given[minute] = given.get(minute, 0) + 1
        return given[minute] <= real

    budget = RequestBudget(None)
    later = asked(budget, moved, 12, gives)[5:]
    limit = sum(budget.take("fabrikam") == 0.0 for _ in range(2000))
    moved.seconds += 120
    halved = sum(budget.take("contoso") == 0.0 for _ in range(2000))
    assert 0.6 * real <= halved <= 1.6 * real < limit
    assert sum(sent - refused for sent, refused in later) >= 0.6 * real * len(later)
    assert sum(refused for _, refused in later) <= 3 * len(later)
    moved.seconds += 1000
    assert sum(budget.take("contoso") == 0.0 for _ in range(2000)) == limit


def test_one_refusal_in_thirty_starves_nobody(moved: Time) -> None:
    """A service that refuses by chance, and no pace of ours: half an hour goes on at about what the
    short rests leave of it."""
    chance = random.Random(7)
    counts = asked(RequestBudget(None), moved, 30, lambda: chance.random() > 1 / 30)
    assert min(sum(sent for sent, _ in half) for half in (counts[:15], counts[15:])) > 15 * 120


def test_other_processes_answers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What two processes were given is added up: neither halves below what both had together."""
    for name in ("_ONE_BURST_SECONDS", "_HALVED_SECONDS"):
        monkeypatch.setattr(f"trailkeeper.store.budget.{name}", 0)
    with redis_server() as redis:
        first, second = (RequestBudget(redis.url, per_minute=400) for _ in range(2))
        for budget in (first, second):
            for _ in range(100):
                budget.answered("contoso", Asked.BLOB)
            budget.slow_down("contoso", Asked.BLOB)
        assert sum(first.take("contoso") == 0.0 for _ in range(300)) == 200


def test_one_refusal_in_fourteen_is_chance(moved: Time) -> None:
    """Seven of a hundred refused, wherever they fall, are no throttling: of ten thousand requests
    hardly any is taken for one."""
    budget, lots = RequestBudget(None), random.Random(7)
    throttled = 0
    for _ in range(10_000):
        moved.seconds += 0.01
        if lots.random() < 0.07:
            throttled += budget.refused("contoso", Asked.BLOB)
        else:
            budget.answered("contoso", Asked.BLOB)
    assert throttled <= 3


@pytest.mark.parametrize("well", [0, 1_000])
def test_refusals_that_come_together_are_throttling(moved: Time, well: int) -> None:
    """The fifth in a row is, however much went well before; and so is half of all."""
    budget = RequestBudget(None)
    for _ in range(well):
        budget.answered("contoso", Asked.BLOB)
    assert [budget.refused("contoso", Asked.BLOB) for _ in range(5)] == [False] * 4 + [True]
    heard = []
    for _ in range(10):
        budget.answered("fabrikam", Asked.BLOB)
        heard.append(budget.refused("fabrikam", Asked.BLOB))
    assert heard[-1]
    assert not heard[0]


def test_kinds_and_minutes_apart_do_not_come_together(moved: Time) -> None:
    """Refused listings say nothing of blobs, nor those of other minutes or tenants of these."""
    budget = RequestBudget(None)
    for _ in range(20):
        moved.seconds += 61
        assert not budget.refused("contoso", Asked.BLOB)
    for _ in range(4):
        assert not budget.refused("fabrikam", Asked.LISTING)
    assert not budget.refused("fabrikam", Asked.BLOB)
