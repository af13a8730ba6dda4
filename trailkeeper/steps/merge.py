"""Fold a tenant's landed segments into its lake table, each record once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from trailkeeper.errors import DamagedLanding, LeaseLost, TrailkeeperError, Transient
from trailkeeper.model.measures.lateness import lateness_key
from trailkeeper.model.segment import (
    MISSING,
    Finding,
    Merge,
    MergeCounts,
    Purpose,
    Segment,
    Verdict,
)
from trailkeeper.model.sources import rules_of
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.landing import Landing
from trailkeeper.ports.leasing import Segments
from trailkeeper.ports.merging import Merging
from trailkeeper.ports.notes import Notebook
from trailkeeper.steps.arrivals import lateness_of
from trailkeeper.steps.heartbeat import Heartbeat
from trailkeeper.steps.identify import Require, anybody
from trailkeeper.steps.pull import back_off

log = structlog.get_logger()


class MergeLedger(Merging, Segments, Notebook, Protocol):
    """What a merge needs of the ledger."""


MERGE_BYTES = 64 << 20
"""raw text folded in one commit: bounds the memory of a merging worker"""
DAMAGED = "what was received was damaged or deleted before it was stored; it is asked for again"


@dataclass(frozen=True, slots=True)
class MergeStep:
    """The merge step with everything it needs; one per process."""

    ledger: MergeLedger
    landing: Landing
    lake: Lake
    clock: Clock
    lease_length: timedelta
    require: Require = anybody

    def __call__(self, tenant: str, owner: str) -> MergeCounts:
        """Merge until nothing of the tenant is landed, or another worker holds its merge.

        Raises `Transient` when another writer won the commit: the merge is claimed again later;
        `ConfigurationError` when the tenant's name stands for another directory by now.
        """
        self.require(tenant)
        total = MergeCounts()
        while (merge := self._open(tenant, owner)) is not None:
            try:
                total += self._merge(merge)
            except LeaseLost:
                log.warning("merge_taken_over", tenant=tenant, merge=merge.id)
                break
            except BaseException:  # a library's panic is no `Exception`
                self._let_go(merge)
                raise
        return total

    def _let_go(self, merge: Merge) -> None:
        """Whoever tries it next need not wait for the deadline of one that has failed."""
        with suppress(TrailkeeperError):  # what ended the merge is what is told
            self.ledger.release_merge(merge, self.clock.now())

    def _open(self, tenant: str, owner: str) -> Merge | None:
        now = self.clock.now()
        return self.ledger.open_merge(tenant, owner, now, now + self.lease_length, MERGE_BYTES)

    def _merge(self, merge: Merge) -> MergeCounts:
        renew = partial(self.ledger.renew_merge, merge)
        with Heartbeat(renew, self.clock, self.lease_length):
            merge, counts = self._readable(merge)
        self.ledger.close_merge(merge, counts, self.clock.now())
        self._learn_lateness(merge, counts)
        summed = sum(counts.values(), MergeCounts())
        log.info(
            "segments_merged",
            tenant=merge.tenant,
            merge=merge.id,
            segments=len(merge.entries),
            received=summed.received,
            stored=summed.stored,
            duplicates=summed.duplicates,
            conflicts=summed.conflicts,
        )
        return summed

    def _readable(self, merge: Merge) -> tuple[Merge, dict[int, MergeCounts]]:
        """Merge what can be read; what was left of the merge, and its counts."""
        while merge.entries:
            try:
                return merge, self._stored(merge)
            except DamagedLanding as error:
                merge = self._without(merge, error)
        return merge, {}

    def _without(self, merge: Merge, error: DamagedLanding) -> Merge:
        """Its file was the only copy: its time is a gap, and is asked for again.

        Told first: after a crash in between nobody would tell. Then the ledger: a crash after it
        leaves an orphan, and not a segment without its file.
        """
        (entry,) = (e for e in merge.entries if e.landed.file == error.file)
        (segment,) = self.ledger.segments([entry.segment_id])
        log.error(
            "landing_damaged",
            tenant=merge.tenant,
            source=segment.stream.source.value,
            segment=segment.id,
            window=str(segment.window),
            file=error.file,
            reason=error.summary,
            remedy=error.remedy,
        )
        now = self.clock.now()
        finding = Finding(segment.window, Verdict.GAP, now, DAMAGED, _leaning(segment))
        left = self.ledger.set_aside(merge, finding, segment.id, now + back_off(segment))
        self.landing.set_aside(merge.tenant, error.file)
        return left

    def _stored(self, merge: Merge) -> dict[int, MergeCounts]:
        """Once more at once when a compaction's commit came first: it is over now, and otherwise
        the records would wait until the merge's deadline."""
        files = [
            (entry, self.landing.path(merge.tenant, entry.landed.file))
            for entry in merge.entries
            if entry.landed.file is not None
        ]
        try:
            return self.lake.merge(merge, files)
        except Transient:
            return self.lake.merge(merge, files)

    def _learn_lateness(self, merge: Merge, counts: dict[int, MergeCounts]) -> None:
        """Note what re-reads still found. A hint: a crash before it loses one merge's worth."""
        learning = [
            entry.segment_id
            for entry in merge.entries
            if rules_of(entry.stream.source).learns_lateness
        ]
        known = self.ledger.segments(learning) if learning else []
        rereads = [segment for segment in known if segment.purpose is Purpose.REREAD]
        now = self.clock.now()
        for stream in dict.fromkeys(segment.stream for segment in rereads):
            lateness = lateness_of(self.ledger, stream)
            for segment in rereads:
                if segment.stream == stream:
                    found = counts[segment.id]
                    lateness = lateness.learn(segment.round, found.received, found.stored, now)
            self.ledger.note(lateness_key(stream), lateness.to_text(), now)


def _leaning(segment: Segment) -> dict[str, object]:
    """Where a later look proves its window by what an earlier one fetched, its proof is gone with
    the file of that one."""
    return {MISSING: True} if rules_of(segment.stream.source).relies_on_earlier else {}
