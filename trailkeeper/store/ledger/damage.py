"""What becomes of a landed segment whose landing file is damaged."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import BindParameter, Text, bindparam, delete, func, literal_column, select, update

from trailkeeper.model.feed.blob import BlobState
from trailkeeper.model.segment import Finding, Merge, NewSegment, Purpose, SegmentState
from trailkeeper.process.crash_points import durable
from trailkeeper.store.ledger.base import OverEngine
from trailkeeper.store.ledger.merging import HELD, taken_over
from trailkeeper.store.ledger.planning import add_segments, locked
from trailkeeper.store.ledger.rows import add_findings, same_stream
from trailkeeper.store.schema import blobs, findings, in_state, merges, segments


class Damage(OverEngine):
    def set_aside(self, merge: Merge, finding: Finding, segment_id: int, due_at: datetime) -> Merge:
        (entry,) = (each for each in merge.entries if each.segment_id == segment_id)
        with durable("segment.set_aside"), self._writing() as connection:
            locked(connection, entry.stream)
            held = {"merge": merge.id, "its_epoch": merge.epoch}
            if connection.execute(_HOLD, held).first() is None:
                raise taken_over(merge)
            now, its = finding.observed_at, {"segment": segment_id}
            connection.execute(_WITHOUT_RECORDS, {**its, "now": now})
            if connection.execute(_FETCH_AGAIN, its).rowcount:
                connection.execute(_LOOK_ANEW, {**its, "now": now})
            connection.execute(_FORGET_FINDINGS, its)
            last = connection.scalar(_LAST_LOOK, its) or now
            add_findings(connection, segment_id, [replace(finding, observed_at=last + _JUST_AFTER)])
            rounds = connection.scalar(_ROUNDS, its) or 0
            retry = NewSegment(entry.stream, finding.window, Purpose.RETRY, rounds + 1, due_at)
            add_segments(connection, [retry], now)
        return replace(merge, entries=tuple(each for each in merge.entries if each != entry))


_SEGMENT: BindParameter[int] = bindparam("segment")
_HOLD = select(merges.c.id).where(HELD).with_for_update()
_WITHOUT_RECORDS = (
    update(segments)
    .where(segments.c.id == _SEGMENT)
    .values(
        state=SegmentState.MERGED.value,
        finished_at=bindparam("now"),
        merge_id=None,
        file_kept=False,
        received=0,
        size=0,
        foreign_rows=0,
    )
)
_FETCH_AGAIN = (
    update(blobs)
    .where(blobs.c.segment_id == _SEGMENT)
    .values(state=BlobState.LISTED.value, attempts=0, records=0, lag_seconds=0, segment_id=None)
)
_its = segments.alias()
_LOOK_ANEW = (
    update(segments)
    .where(
        same_stream(segments, _its),
        in_state(SegmentState.LEASED),
        segments.c.start_at < _its.c.end_at,
        segments.c.end_at > _its.c.start_at,
        _its.c.id == _SEGMENT,
    )
    .values(state=SegmentState.PLANNED.value, owner=None, deadline_at=None, due_at=bindparam("now"))
)
"""Whoever looks at its time just now was told that these blobs are done, and would prove by them:
its lease ends here. One that lands first has its findings seen by `_LAST_LOOK`."""
_FORGET_FINDINGS = delete(findings).where(findings.c.segment_id == _SEGMENT)
_LAST_LOOK = (
    select(func.max(findings.c.observed_at))
    .join(segments, segments.c.id == findings.c.segment_id)
    .join(_its, same_stream(_its, segments))
    .where(
        _its.c.id == _SEGMENT,
        segments.c.start_at < _its.c.end_at,
        segments.c.end_at > _its.c.start_at,
    )
)
"""into the segment's time; by the service's clock, which need not agree with ours"""
_JUST_AFTER = timedelta(microseconds=1)
_ROUNDS = (
    select(func.max(segments.c.round))
    .join(_its, same_stream(_its, segments))
    .where(
        _its.c.id == _SEGMENT,
        segments.c.start_at == _its.c.start_at,
        segments.c.end_at == _its.c.end_at,
        segments.c.purpose == literal_column(f"'{Purpose.RETRY.value}'", Text),
    )
)
"""of retries of the window: one that is planned already may be due in days"""
