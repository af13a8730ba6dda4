"""Short words for the ledger's suites: streams, windows and segments of the made-up October."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from trailkeeper.model.segment import (
    Finding,
    Landed,
    Leased,
    NewSegment,
    Purpose,
    Verdict,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.ports.ledger import Ledger

T0 = datetime(2026, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
CONTOSO = Stream("contoso", Source.EXCHANGE)
FABRIKAM = Stream("fabrikam", Source.EXCHANGE)
FEED = Stream("contoso", Source.ACTIVITY, "Audit.Exchange")
MANY = 1_000


def at(hours: float) -> datetime:
    return T0 + hours * HOUR


def window(start: float, end: float, stream: Stream = CONTOSO) -> Window:
    """`[start, end)` in hours since T0, on the stream's axis."""
    return Window(at(start), at(end), stream.source.axis)


def new(
    start: float,
    stream: Stream = CONTOSO,
    purpose: Purpose = Purpose.BACKFILL,
    round: int = 0,
    due_at: datetime | None = None,
    length: float = 1,
) -> NewSegment:
    """One segment of `length` hours."""
    asked = window(start, start + length, stream)
    return NewSegment(stream, asked, purpose, round, due_at)


def plan(ledger: Ledger, *segments: NewSegment, now: datetime = T0) -> int:
    """Plan each under its own stream."""
    streams = dict.fromkeys(segment.stream for segment in segments)
    return sum(
        ledger.plan(stream, lambda _, s=stream: [n for n in segments if n.stream == s], now)  # type: ignore[misc]  # bound early
        for stream in streams
    )


def take(
    ledger: Ledger, now: datetime = T0, owner: str = "worker", until: datetime | None = None
) -> Leased:
    """Lease the first due segment for an hour."""
    segment = ledger.due(now, 1, MANY)[0]
    leased = ledger.lease(segment.id, owner, now, until or now + HOUR, MANY)
    assert leased is not None
    return leased


def found(leased: Leased, verdict: Verdict = Verdict.COMPLETE, now: datetime = T0) -> Finding:
    return Finding(leased.segment.window, verdict, now, "a reason", {"calls": 3, "warnings": []})


def file_of(size: int = 100, received: int = 10) -> Landed:
    return Landed("segment.arrow", received, size, requests=2, foreign=1)


def land(
    ledger: Ledger,
    leased: Leased,
    landed: Landed | None = None,
    now: datetime = T0,
    follow_ups: Sequence[NewSegment] = (),
) -> None:
    ledger.land(leased.lease, landed or file_of(), [found(leased, now=now)], follow_ups, now)
