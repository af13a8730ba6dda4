"""Two months of a tenant of whom nothing is known: the first is empty, the second is not."""

from __future__ import annotations

import math

import pytest

from benchmarks.search_profiles import empty_first_month


@pytest.mark.parametrize("seconds_per_call", [0.0, 8.0])
def test_the_newer_month_witnesses_for_the_empty_one(seconds_per_call: float) -> None:
    """The records of the month that has some show in few questions that the other one has none: two
    searches for each one that it takes at least, an answer for the empty month included."""
    service, both = empty_first_month()
    service.seconds_per_call = seconds_per_call
    cost = service.collect(both, 3)
    newest_alone, _ = empty_first_month()
    alone = newest_alone.collect(both.split(both.start + both.duration / 2)[1], 3)
    assert cost.calls <= 2 * (alone.calls + 1)
    assert alone.calls <= 2 * math.ceil(service.records(both) / service.limits.cap)
    assert cost.calls <= 14
