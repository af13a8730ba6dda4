"""The budget of requests: shared through Redis, halved when the service complains."""

from __future__ import annotations

import time

import pytest

from tests.servers.redis import redis_server
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
    assert budget.slow_down("contoso") > 0


def test_a_complaint_halves_it() -> None:
    """After AF429 there is half as much; complaints side by side count once."""
    budget = RequestBudget(None, per_minute=200)
    rest = budget.slow_down("contoso")
    assert 5.0 <= rest <= 6.5
    assert 5.0 <= budget.slow_down("contoso") <= 6.5
    granted = sum(budget.take("contoso") == 0.0 for _ in range(150))
    assert granted == 100


def test_several_are_taken_at_once() -> None:
    """A handful counts as so many; one that is more than all there is takes all."""
    budget = RequestBudget(None, per_minute=40)
    assert [budget.take("contoso", 8) for _ in range(5)] == [0.0] * 5
    assert budget.take("contoso") > 0
    assert budget.take("fabrikam", 400) == 0.0


def test_what_went_well_long_ago_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal after the answers of an hour ago is one more in a row."""
    monkeypatch.setattr("trailkeeper.store.budget._ONE_BURST_SECONDS", 0)
    budget = RequestBudget(None, per_minute=200)
    assert budget.slow_down("contoso") <= 6.5
    for _ in range(50):
        budget.answered("contoso")
    hour = time.monotonic() + 3600
    monkeypatch.setattr("trailkeeper.store.budget.time.monotonic", lambda: hour)
    assert budget.slow_down("contoso") >= 10.0


def test_a_complaint_now_and_then_is_the_first_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a row they double the rest and halve what there is; after answers it begins anew."""
    monkeypatch.setattr("trailkeeper.store.budget._ONE_BURST_SECONDS", 0)
    budget = RequestBudget(None, per_minute=200)
    for least in (5.0, 10.0, 20.0):
        budget.answered("contoso")
        assert least <= budget.slow_down("contoso") <= 1.3 * least
    for _ in range(2):
        for _ in range(5):
            budget.answered("contoso")
        assert 5.0 <= budget.slow_down("contoso") <= 6.5
    assert sum(budget.take("contoso") == 0.0 for _ in range(150)) == 100
