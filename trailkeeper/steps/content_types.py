"""Single content types of the feed that a person has to enable: parked while the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from trailkeeper.errors import NeedsPerson
from trailkeeper.model.feed.rules import HOUR, LOOKBACK, lacking, refused_types
from trailkeeper.model.segment import NewSegment, Purpose, Segment, SegmentState
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window, subtract
from trailkeeper.ports.leasing import Segments
from trailkeeper.ports.parking import Parking, Parkings
from trailkeeper.ports.planning import Planning
from trailkeeper.ports.proof import Proof
from trailkeeper.ports.source import Pulled

log = structlog.get_logger()


class ContentTypeLedger(Planning, Segments, Parkings, Proof, Protocol):
    """What single content types need of the ledger."""


def asked_again(
    ledger: ContentTypeLedger, stream: Stream, pulled: Pulled, now: datetime
) -> Iterator[NewSegment]:
    """Segments for the time that lacks a content type which has just answered."""
    if not pulled.answered:
        return
    since = min((p.parked_at for p in _of(ledger, stream).values()), default=now) - LOOKBACK
    asked = Window(since, now, stream.source.axis)
    for gap in lacking(ledger.findings(stream, asked), pulled.answered):
        for piece in gap.pieces(24 * HOUR):
            yield NewSegment(stream, piece, Purpose.RETRY, 1, now)


def note_content_types(
    ledger: ContentTypeLedger, stream: Stream, pulled: Pulled, now: datetime, retry_after: timedelta
) -> None:
    """Park what was refused, lift what has answered; both are rare."""
    if not pulled.refused and not pulled.answered:
        return
    parked = _of(ledger, stream)
    for name, error in pulled.refused.items():
        since = parked[name].parked_at if name in parked else now
        ledger.park(_parking(stream, name, error, since, now + retry_after))
        log.error(
            "content_type_parked",
            content_type=name,
            reason=error.summary,
            remedy=error.remedy,
            code=error.code,
        )
    for name in pulled.answered:
        ledger.content_answered(stream.tenant, stream.source, name)
        log.info("content_type_unparked", content_type=name)


def ask_what_was_missed(
    ledger: ContentTypeLedger, stream: Stream, pulled: Pulled, now: datetime
) -> None:
    """Plan what lacks a content type because another pull was under way when it was lifted.

    To be called after what this pull found has landed and was noted. Whichever of the two comes
    later sees the other: the one that lacks the content type that it is parked no longer, the one
    that lifted it what has landed without it.
    """
    lacked = frozenset[str]().union(*map(refused_types, pulled.findings))
    missed = lacking(pulled.findings, lacked - _of(ledger, stream).keys()) if lacked else []
    if pulled.answered:
        missed += _landed_without(ledger, stream, pulled, now)
    pieces = [piece for window in missed for piece in window.pieces(24 * HOUR)]
    if pieces:
        # One that has landed without it stands for its own round of the same window.
        landed, _ = _unmerged(ledger, stream, now)
        round_ = 1 + max((s.round for s in landed), default=0)
        again = [NewSegment(stream, piece, Purpose.RETRY, round_, now) for piece in pieces]
        ledger.plan(stream, lambda watermark: again, now)


def _landed_without(
    ledger: ContentTypeLedger, stream: Stream, pulled: Pulled, now: datetime
) -> list[Window]:
    """What others landed meanwhile; all that is not merged, since its findings show after that."""
    asked = Window(now - 2 * LOOKBACK, now, stream.source.axis)
    unmerged, others = _unmerged(ledger, stream, now)
    landed = [s.window for s in unmerged]
    planned = [s.window for s in others if s.purpose is Purpose.RETRY]
    missed = [*landed, *lacking(ledger.findings(stream, asked), pulled.answered)]
    return subtract(missed, [*planned, *(finding.window for finding in pulled.findings)])


def _unmerged(
    ledger: ContentTypeLedger, stream: Stream, now: datetime
) -> tuple[list[Segment], list[Segment]]:
    """What has landed and is not merged yet, and what has not landed."""
    asked = Window(now - 2 * LOOKBACK, now, stream.source.axis)
    known = [s for s in ledger.unfinished(stream.tenant, asked) if s.stream == stream]
    landed = [s for s in known if s.state is SegmentState.LANDED]
    return landed, [s for s in known if s.state is not SegmentState.LANDED]


def _of(ledger: ContentTypeLedger, stream: Stream) -> dict[str, Parking]:
    return {
        parking.content_type: parking
        for parking in ledger.parkings(stream.tenant)
        if parking.source is stream.source and parking.content_type
    }


def _parking(
    stream: Stream, name: str, error: NeedsPerson, since: datetime, retry_at: datetime
) -> Parking:
    return Parking(
        tenant=stream.tenant,
        source=stream.source,
        parked_at=since,
        code=error.code,
        summary=error.summary,
        remedy=error.remedy,
        retry_at=retry_at,
        content_type=name,
    )
