"""Segments: which goes first, what counts as proven, and how counts add up."""

from __future__ import annotations

import pytest

from trailkeeper.model.segment import MergeCounts, Purpose, Verdict


def test_fresh_time_goes_first_and_back_fill_last() -> None:
    """Due segments are taken by rank: an operator waits for no back-fill."""
    assert sorted(Purpose, key=lambda purpose: purpose.rank) == [
        Purpose.INCREMENTAL,
        Purpose.COLLECT,
        Purpose.RETRY,
        Purpose.REREAD,
        Purpose.BACKFILL,
    ]
    assert Purpose.INCREMENTAL.rank == 0


@pytest.mark.parametrize("verdict", Verdict)
def test_only_complete_and_confirmed_empty_time_is_proven(verdict: Verdict) -> None:
    """What is suspect, missing or lost never counts as coverage."""
    assert verdict.proven is (verdict in {Verdict.COMPLETE, Verdict.EMPTY_CONFIRMED})


def test_counts_add_up_each_by_itself() -> None:
    """Received with received, and so on; nothing is mixed."""
    assert MergeCounts(1, 2, 3, 4) + MergeCounts(10, 20, 30, 40) == MergeCounts(11, 22, 33, 44)
    assert sum([MergeCounts(1)], MergeCounts()) == MergeCounts(1, 0, 0, 0)
