"""Segments: which goes first, what counts as proven, and how counts add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trailkeeper.model.segment import (
    Landed,
    Lease,
    Leased,
    MergeCounts,
    NewSegment,
    Purpose,
    Segment,
    SegmentState,
    Verdict,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window

T0 = datetime(2026, 10, 5, tzinfo=UTC)
STREAM = Stream("contoso", Source.EXCHANGE)
HOUR = Window(T0, T0 + timedelta(hours=1))


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


def test_what_is_not_said_of_a_segment() -> None:
    """A new one is a first reading, due at once; a lease is no try of a parked source; an attempt
    landed no row from outside its window, unless it says so."""
    new = NewSegment(STREAM, HOUR, Purpose.COLLECT)
    assert (new.round, new.due_at) == (0, None)
    segment = Segment(1, STREAM, HOUR, Purpose.COLLECT, 0, SegmentState.LEASED, T0, 0)
    assert segment.error == ""
    assert Leased(segment, Lease(1, "worker", 1, HOUR.end)).parked is False
    assert Landed(None, 0, 0, 1).foreign == 0
