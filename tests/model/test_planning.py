"""Which segments a stream needs: property-based, over simulated weeks of ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trailkeeper.model.measures.density import Density, hour_number
from trailkeeper.model.planning import Cadence, Watermark, cut_by_density, plan_range, plan_stream
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, subtract, total, union

STREAM = Stream("contoso", Source.EXCHANGE)
BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
CADENCE = Cadence()


class Planned:
    """What a ledger remembers of planning: the watermark, and every identity once."""

    def __init__(self) -> None:
        self.watermark: Watermark | None = None
        self.segments: list[NewSegment] = []

    def tick(self, now: datetime, begin: datetime = BEGIN, cadence: Cadence = CADENCE) -> int:
        new = list(plan_stream(STREAM, begin, cadence, Density(), now, self.watermark))
        self.segments += new
        self._move(new, now)
        return len(new)

    def of(self, *purposes: Purpose, round_: int | None = None) -> list[Window]:
        return [
            s.window for s in self.segments if s.purpose in purposes and round_ in (None, s.round)
        ]

    def _move(self, new: list[NewSegment], now: datetime) -> None:
        read = [s.window for s in new if s.purpose in (Purpose.INCREMENTAL, Purpose.BACKFILL)]
        old = self.watermark
        if not read and old is None:
            return
        first = min([w.start for w in read] + ([old.first_at] if old else []))
        until = max([w.end for w in read] + ([old.fresh_until] if old else []))
        rounds = list(old.reread_until) if old else []
        for segment in new:
            if segment.purpose is Purpose.REREAD:
                rounds += [None] * (segment.round - len(rounds))
                done = rounds[segment.round - 1]
                rounds[segment.round - 1] = max(done or segment.window.end, segment.window.end)
        self.watermark = Watermark(first, until, old.begun_at if old else now, tuple(rounds))


def _disjoint(windows: list[Window]) -> bool:
    return total(windows) == sum((w.duration for w in windows), timedelta())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3 * 24 * 60), min_size=1, max_size=40), st.integers(0, 40 * 24 * 60))
def test_ticks_at_any_time_cover_everything_once(gaps: list[int], first: int) -> None:
    """However irregular the ticks, all time up to now is planned exactly once, none of it twice."""
    planned, now = Planned(), BEGIN + timedelta(minutes=first)
    for gap in gaps:
        now += timedelta(minutes=gap)
        planned.tick(now)
        assert planned.tick(now) == 0, "planning twice plans nothing new"
    read = planned.of(Purpose.INCREMENTAL, Purpose.BACKFILL)
    assert _disjoint(read)
    if read:
        covered = union(read)
        assert len(covered) == 1
        assert covered[0].start == BEGIN
        assert now - covered[0].end < CADENCE.interval + CADENCE.safety_lag + timedelta(minutes=1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(20, 600), min_size=200, max_size=400))
def test_every_age_walks_behind_the_clock(gaps: list[int]) -> None:
    """All time since the stream began is read again at each age, once, and never too early."""
    planned, begun = Planned(), BEGIN + timedelta(days=20)
    now = begun
    planned.tick(now)
    for gap in gaps:
        now += timedelta(minutes=gap)
        before = len(planned.segments)
        planned.tick(now)
        for segment in planned.segments[before:]:
            if segment.purpose is Purpose.REREAD:
                age = CADENCE.reread_after[segment.round - 1]
                assert segment.window.end <= now - age
    for number, age in enumerate(CADENCE.reread_after, 1):
        again = planned.of(Purpose.REREAD, round_=number)
        assert _disjoint(again)
        end = now - age - min(CADENCE.reread_length, age) - timedelta(minutes=1)
        start = max(BEGIN, begun - age)
        if end > start:
            assert subtract([Window(start, end)], again) == []


def test_an_earlier_since_is_filled_in() -> None:
    """Moving `since` back later plans what lies before, and nothing else again."""
    planned = Planned()
    now = BEGIN + timedelta(days=10)
    planned.tick(now)
    assert planned.tick(now, BEGIN - timedelta(days=5)) > 0
    read = planned.of(Purpose.INCREMENTAL, Purpose.BACKFILL)
    assert _disjoint(read)
    assert union(read)[0].start == BEGIN - timedelta(days=5)


@pytest.mark.parametrize(
    ("rows", "pieces"), [(4_000, 1), (9_000, 2), (48_000, 3), (300_000, 5), (6_000_000, 100)]
)
def test_a_known_range_has_a_piece_for_each_place(rows: int, pieces: int) -> None:
    """One call is one piece; more are spread over the slots, and over more pieces when long."""
    week = Window(BEGIN, BEGIN + timedelta(days=7))
    each = {hour_number(BEGIN) + n: rows // (4 * 168) + 1 for n in range(168)}
    density = Density().learn([week], each)
    window = Window(BEGIN, BEGIN + timedelta(days=28))
    cut = cut_by_density(window, CADENCE, density)
    assert len(cut) == pieces
    share = density.expected(window) / pieces
    assert all(abs(density.expected(piece) - share) <= 0.05 * share for piece in cut)


@given(st.integers(1, 40 * 86400), st.integers(0, 10**6), st.integers(1, 40))
def test_a_range_is_cut_into_pieces_that_are_the_range(
    seconds: int, offset: int, days: int
) -> None:
    """An operator's range is covered exactly, by pieces about as long as allowed."""
    start = BEGIN + timedelta(seconds=offset)
    window = Window(start, start + timedelta(seconds=seconds))
    cadence = Cadence(segment_length=timedelta(days=days))
    pieces = [s.window for s in plan_range(STREAM, window, cadence, Density())]
    assert pieces == cut_by_density(window, cadence, Density())
    assert union(pieces) == [window]
    assert _disjoint(pieces)
    assert all(p.duration <= timedelta(days=days) + timedelta(hours=1) for p in pieces)
