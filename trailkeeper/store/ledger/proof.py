"""What merged and lost segments prove of a stream: the raw material of coverage."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, or_, select

from trailkeeper.model.segment import Finding, MergeCounts, SegmentState
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window
from trailkeeper.store import schema
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.rows import finding_of, of_stream, overlaps, require_axis
from trailkeeper.store.schema import findings, segments

_COUNTED = ("received", "stored", "duplicates", "conflicts")


class Proof(OverEngine):
    def findings(self, stream: Stream, window: Window) -> list[Finding]:
        """Oldest window first. Raises `AxisMixedError` for a window on the other axis."""
        require_axis(stream, window)
        with self._reading() as connection:
            rows = connection.execute(_findings(stream, window))
            return [finding_of(row, window.axis) for row in rows]

    def counts(self, stream: Stream, window: Window) -> MergeCounts:
        """Raises `AxisMixedError` for a window on the other axis."""
        require_axis(stream, window)
        sums = [func.coalesce(func.sum(segments.c[name]), 0) for name in _COUNTED]
        query = select(*sums).where(
            of_stream(segments, stream),
            overlaps(segments, window),
            schema.in_state(SegmentState.MERGED),
        )
        with self._reading() as connection:
            # PostgreSQL sums big integers into decimals.
            return MergeCounts(*(int(value) for value in connection.execute(query).one()))

    def has_stored(self, tenant: str) -> bool:
        query = select(segments.c.id).where(segments.c.tenant == tenant, segments.c.stored > 0)
        with self._reading() as connection:
            return connection.execute(query.limit(1)).first() is not None


def _findings(stream: Stream, window: Window) -> Select[Any]:
    """Findings lie inside their segment, so the segment's index narrows the search first."""
    finished = or_(
        schema.in_state(SegmentState.MERGED),
        schema.in_state(SegmentState.LOST),
    )
    return (
        select(findings)
        .join(segments, segments.c.id == findings.c.segment_id)
        .where(
            of_stream(segments, stream),
            overlaps(segments, window),
            overlaps(findings, window),
            finished,
        )
        .order_by(findings.c.start_at, findings.c.observed_at, findings.c.id)
    )
