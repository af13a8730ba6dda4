"""Which segments a stream needs now: a pure function of what is planned already and the clock.

Planning twice plans nothing new: every window below is derived from the watermark (the end of what
was planned for that purpose) and the ledger refuses a second segment with the same identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trailkeeper.model.measures.density import Density
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window


@dataclass(frozen=True, slots=True)
class Cadence:
    """How a stream is kept up to date. All durations are positive.

    `interval`: length of a fresh window; shorter is fresher and costs more calls. `safety_lag`:
    the newest time not asked for yet, since nothing has arrived there. `longest_fresh`: what is
    older is back-fill. `segment_length`: a back-fill segment while the tenant's week is not known
    yet; `segment_rows` and `longest_segment` bound one when it is, and `slots` of them can be
    pulled at a time, each in calls of at most `call_rows`. `reread_after`: ages at which
    young time is read again for late arrivals, ascending. `reread_length`: how much at once.
    `rounds`: the same ages where a tenant's lateness is known, None for a round that is left out.
    """

    interval: timedelta = timedelta(minutes=30)
    safety_lag: timedelta = timedelta(minutes=5)
    longest_fresh: timedelta = timedelta(hours=24)
    segment_length: timedelta = timedelta(days=31)
    segment_rows: int = 60_000
    longest_segment: timedelta = timedelta(days=31)
    slots: int = 3
    call_rows: int = 5_000
    reread_after: tuple[timedelta, ...] = (
        timedelta(hours=6),
        timedelta(hours=24),
        timedelta(hours=72),
        timedelta(days=7),
    )
    reread_length: timedelta = timedelta(hours=24)
    rounds: tuple[timedelta | None, ...] = ()

    @property
    def rereads(self) -> tuple[timedelta | None, ...]:
        """The age of each round of re-reading, as learned, else as configured."""
        return self.rounds or self.reread_after


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a stream is planned: `first_at` its beginning, `fresh_until` the end of its windows.

    `begun_at` is when the stream was planned for the first time; `reread_until[n]` is the end of
    what round n+1 of re-reading was planned for, None before its first.
    """

    first_at: datetime
    fresh_until: datetime
    begun_at: datetime
    reread_until: tuple[datetime | None, ...] = ()


def back_to(
    watermark: Watermark, fresh: datetime, rereads: Mapping[int, datetime], now: datetime
) -> Watermark:
    """The watermark of a stream that was planned by a clock which ran ahead.

    `fresh`, and `rereads` by round from 1: where planning begins again, since nothing that was
    planned from there on was ever asked. Nothing moves forward by it.
    """
    reached = enumerate(watermark.reread_until, start=1)
    return replace(
        watermark,
        fresh_until=min(watermark.fresh_until, fresh, now),
        begun_at=min(watermark.begun_at, now),
        reread_until=tuple(m and min(m, rereads.get(n, now), now) for n, m in reached),
    )


def plan_stream(
    stream: Stream,
    begin: datetime,
    cadence: Cadence,
    density: Density,
    now: datetime,
    watermark: Watermark | None,
) -> Iterator[NewSegment]:
    """Segments to add for `stream`, which is wanted from `begin` on.

    Back-fill is cut by `density`, so that a quiet month is a few calls and a busy one is shared.
    """
    newest = _floor_minute(now - cadence.safety_lag)
    if newest <= begin:
        return
    fresh_until = watermark.fresh_until if watermark else begin
    if newest - fresh_until >= cadence.interval:
        ahead = Window(fresh_until, newest, stream.source.axis)
        yield from _forward(stream, ahead, cadence, density)
        fresh_until = newest
    if watermark and begin < watermark.first_at:
        older = Window(begin, watermark.first_at, stream.source.axis)
        yield from _backfill(stream, older, cadence, density)
    if watermark:
        yield from _rereads(stream, replace(watermark, fresh_until=fresh_until), cadence, now)


def plan_range(
    stream: Stream, window: Window, cadence: Cadence, density: Density
) -> list[NewSegment]:
    """An operator's request, cut as back-fill is."""
    pieces = cut_by_density(window, cadence, density)
    return [NewSegment(stream, piece, Purpose.COLLECT) for piece in pieces]


def cut_by_density(window: Window, cadence: Cadence, density: Density) -> list[Window]:
    """Pieces of equally many expected records: at most about `segment_rows`, and one for each
    slot when there is more than a call for each.

    While the week is not known, equal pieces of at most about `segment_length`: the fewer, the
    fewer have to find out how the service behaves; a walk shares a busy one out by itself.
    """
    if not density.known:
        count = -(-window.duration // cadence.segment_length)
        edges = (window.start + window.duration * n / count for n in range(1, count))
        return list(
            window.split(*(edge.replace(minute=0, second=0, microsecond=0) for edge in edges))
        )
    rows = density.expected(window)
    slots = min(cadence.slots, math.ceil(rows / cadence.call_rows))
    count = max(1, slots, round(rows / cadence.segment_rows))
    return density.cut(window, count, cadence.longest_segment)


def _forward(
    stream: Stream, window: Window, cadence: Cadence, density: Density
) -> Iterator[NewSegment]:
    """From the watermark to now: back-fill in segments, the last stretch as fresh window."""
    if window.duration <= cadence.longest_fresh:
        yield NewSegment(stream, window, Purpose.INCREMENTAL)
        return
    older, fresh = window.split(window.end - cadence.longest_fresh)
    yield NewSegment(stream, fresh, Purpose.INCREMENTAL)
    yield from _backfill(stream, older, cadence, density)


def _backfill(
    stream: Stream, window: Window, cadence: Cadence, density: Density
) -> Iterator[NewSegment]:
    for piece in cut_by_density(window, cadence, density):
        yield NewSegment(stream, piece, Purpose.BACKFILL)


def _rereads(
    stream: Stream, watermark: Watermark, cadence: Cadence, now: datetime
) -> Iterator[NewSegment]:
    """Every age in `rereads` walks behind the clock and reads what has reached that age.

    Time that had that age already when the stream began needs no re-read: its first reading was
    late enough.
    """
    for index, age in enumerate(cadence.rereads):
        if age is None:
            continue
        reached = _reached(watermark, index)
        start = reached or max(watermark.first_at, _floor_minute(watermark.begun_at - age))
        # What a later round has read needs no earlier one any more: one that comes back after it
        # was left out begins behind the others.
        start = max([start, *_read_later(cadence, watermark, age)])
        end = min(_floor_minute(now - age), watermark.fresh_until)
        step = min(cadence.reread_length, age)
        while end - start >= step:
            window = Window(start, start + step, stream.source.axis)
            yield NewSegment(stream, window, Purpose.REREAD, round=index + 1)
            start = window.end


def _reached(watermark: Watermark, index: int) -> datetime | None:
    return watermark.reread_until[index] if index < len(watermark.reread_until) else None


def _read_later(cadence: Cadence, watermark: Watermark, age: timedelta) -> Iterator[datetime]:
    """How far the rounds of greater age than `age` have read."""
    for index, other in enumerate(cadence.rereads):
        reached = _reached(watermark, index)
        if other is not None and other > age and reached is not None:
            yield reached


def _floor_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
