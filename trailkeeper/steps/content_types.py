"""Single content types of the feed that a person has to enable: parked while the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog

from trailkeeper.errors import NeedsPerson
from trailkeeper.model.feed import HOUR, LOOKBACK, lacking
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window
from trailkeeper.ports import Ledger, Parking, Pulled

log = structlog.get_logger()


def asked_again(
    ledger: Ledger, stream: Stream, pulled: Pulled, now: datetime
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
    ledger: Ledger, stream: Stream, pulled: Pulled, now: datetime, retry_after: timedelta
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


def _of(ledger: Ledger, stream: Stream) -> dict[str, Parking]:
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
