"""Which segments a stream needs now: a pure function of what is planned already and the clock.

Planning twice plans nothing new: every window below is derived from the frontier (the end of what
was planned for that purpose) and the ledger refuses a second segment with the same identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window


@dataclass(frozen=True, slots=True)
class Cadence:
    """How a stream is kept up to date. All durations are positive.

    `interval`: length of a fresh window; shorter is fresher and costs more calls. `safety_lag`:
    the newest time not asked for yet, since nothing has arrived there. `segment_length`: longest
    back-fill segment, the unit of parallel work. `reread_after`: ages at which young time is read
    again for late arrivals, ascending. `reread_length`: how much is re-read at once.
    """

    interval: timedelta = timedelta(minutes=30)
    safety_lag: timedelta = timedelta(minutes=5)
    segment_length: timedelta = timedelta(hours=24)
    reread_after: tuple[timedelta, ...] = (
        timedelta(hours=6),
        timedelta(hours=24),
        timedelta(hours=72),
        timedelta(days=7),
    )
    reread_length: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Frontier:
    """How far a stream is planned: `first_at` its beginning, `fresh_until` the end of its windows.

    `begun_at` is when the stream was planned for the first time; `reread_until[n]` is the end of
    what round n+1 of re-reading was planned for, None before its first.
    """

    first_at: datetime
    fresh_until: datetime
    begun_at: datetime
    reread_until: tuple[datetime | None, ...] = ()


def plan_stream(
    stream: Stream, begin: datetime, cadence: Cadence, now: datetime, frontier: Frontier | None
) -> Iterator[NewSegment]:
    """Segments to add for `stream`, which is wanted from `begin` on."""
    newest = _floor_minute(now - cadence.safety_lag)
    if newest <= begin:
        return
    fresh_until = frontier.fresh_until if frontier else begin
    yield from _forward(stream, fresh_until, newest, cadence)
    if frontier and begin < frontier.first_at:
        older = Window(begin, frontier.first_at, stream.source.axis)
        yield from _backfill(stream, older, cadence)
    yield from _rereads(stream, frontier, cadence, now)


def plan_range(stream: Stream, window: Window, length: timedelta) -> list[NewSegment]:
    """An operator's request, cut into segments of at most `length`."""
    return [NewSegment(stream, piece, Purpose.COLLECT) for piece in window.pieces(length)]


def _forward(
    stream: Stream, until: datetime, newest: datetime, cadence: Cadence
) -> Iterator[NewSegment]:
    """From the frontier to now: back-fill in whole segments, the last stretch as fresh window."""
    if newest - until < cadence.interval:
        return
    window = Window(until, newest, stream.source.axis)
    if window.duration <= cadence.segment_length:
        yield NewSegment(stream, window, Purpose.INCREMENTAL)
        return
    fresh = newest - cadence.segment_length
    yield NewSegment(stream, Window(fresh, newest, window.axis), Purpose.INCREMENTAL)
    yield from _backfill(stream, Window(until, fresh, window.axis), cadence)


def _backfill(stream: Stream, window: Window, cadence: Cadence) -> Iterator[NewSegment]:
    for piece in window.pieces(cadence.segment_length):
        yield NewSegment(stream, piece, Purpose.BACKFILL)


def _rereads(
    stream: Stream, frontier: Frontier | None, cadence: Cadence, now: datetime
) -> Iterator[NewSegment]:
    """Every age in `reread_after` walks behind the clock and reads what has reached that age.

    Time that had that age already when the stream began needs no re-read: its first reading was
    late enough.
    """
    if frontier is None:
        return
    for index, age in enumerate(cadence.reread_after):
        reached = frontier.reread_until[index] if index < len(frontier.reread_until) else None
        start = reached or max(frontier.first_at, _floor_minute(frontier.begun_at - age))
        end = min(_floor_minute(now - age), frontier.fresh_until)
        step = min(cadence.reread_length, age)
        while end - start >= step:
            window = Window(start, start + step, stream.source.axis)
            yield NewSegment(stream, window, Purpose.REREAD, round=index + 1)
            start = window.end


def _floor_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
