"""A segment: the slice of a window that one worker pulls under one lease, and what was found there.

planned ──► leased ──► landed ──► merged
   ▲          │
   └──────────┤ failed: back to planned, later
              ├──► parked   a person is needed
              └──► lost     the provider no longer has it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window


class SegmentState(StrEnum):
    PLANNED = "planned"
    """due at `due_at`, free to lease"""
    LEASED = "leased"
    """one worker owns it until the lease's deadline"""
    LANDED = "landed"
    """its landing file is durable; not yet in the lake"""
    MERGED = "merged"
    """its records are in the lake; its findings count as coverage. Of one whose landing file was
    damaged there are none, its time is a gap, and a RETRY asks again"""
    PARKED = "parked"
    """stopped until a person acts"""
    LOST = "lost"
    """the provider no longer has it"""


class Purpose(StrEnum):
    """Why a segment was planned. Smaller `rank` goes first among due segments."""

    INCREMENTAL = "incremental"
    """fresh time, planned by a tick"""
    COLLECT = "collect"
    """asked for by an operator"""
    RETRY = "retry"
    """a suspect or missing part of an earlier segment"""
    REREAD = "reread"
    """young time read again for late arrivals"""
    BACKFILL = "backfill"
    """old time, back to `since`"""

    @property
    def rank(self) -> int:
        return list(Purpose).index(self)


class Verdict(StrEnum):
    """What the evidence allows us to say of a window."""

    COMPLETE = "complete"
    """all that had arrived when we asked is landed"""
    EMPTY_CONFIRMED = "empty_confirmed"
    """nothing was there: a second, different look agrees and auditing is on"""
    SUSPECT = "suspect"
    """rows may be missing; asked again until proven"""
    GAP = "gap"
    """known to be missing, with the reason; may still be had"""
    LOST = "lost"
    """known to be missing, and the provider no longer has it"""

    @property
    def proven(self) -> bool:
        return self in (Verdict.COMPLETE, Verdict.EMPTY_CONFIRMED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One window, what we believe of it and why.

    `observed_at` is when the question was *sent*: records that arrived later are not covered by it.
    `evidence` is small JSON-able facts (calls, rows, warnings), kept in the ledger.
    """

    window: Window
    verdict: Verdict
    observed_at: datetime
    reason: str = ""
    evidence: dict[str, object] = field(default_factory=dict)


MISSING = "blobs_missing"
"""key of a finding's evidence: content known by name is missing, whatever was proven before"""


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A segment to be planned. The same (stream, window, purpose, round) is planned only once."""

    stream: Stream
    window: Window
    purpose: Purpose
    round: int = 0
    """0 for the first reading; the number of the re-read or retry otherwise"""
    due_at: datetime | None = None
    """None: at once"""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one segment until `deadline_at`; `epoch` fences everybody earlier."""

    segment_id: int
    owner: str
    epoch: int
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class Segment:
    id: int
    stream: Stream
    window: Window
    purpose: Purpose
    round: int
    state: SegmentState
    due_at: datetime
    attempts: int
    """failed tries so far; throttling is not counted"""
    error: str = ""
    """why the last try failed; empty when none did"""


@dataclass(frozen=True, slots=True)
class Leased:
    """A segment together with the lease on it."""

    segment: Segment
    lease: Lease
    parked: bool = False
    """its source is parked, and this is the try that may show that a person has acted"""


@dataclass(frozen=True, slots=True)
class Landed:
    """What one successful attempt left behind: a file name under the landing folder, or none."""

    file: str | None
    """None when no rows were received"""
    received: int
    """rows received, duplicates included"""
    size: int
    """bytes of raw record text"""
    requests: int
    """HTTP requests that the attempt cost"""
    foreign: int = 0
    """rows outside the window that was asked: kept, and evidence against the session"""


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """Of one landed attempt: received = stored + duplicates; conflicts are part of stored."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0

    def __add__(self, other: MergeCounts) -> MergeCounts:
        return MergeCounts(
            self.received + other.received,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
        )


@dataclass(frozen=True, slots=True)
class LandedSegment:
    """One entry of a merge: a landed segment and the file it left."""

    segment_id: int
    stream: Stream
    landed: Landed
    landed_at: datetime


@dataclass(frozen=True, slots=True)
class Merge:
    """A batch of landed segments of one tenant, claimed by one merging worker.

    `id` grows for ever; the lake stores it with the commit, so that a merge that was committed but
    not marked is recognised when it is claimed again.
    """

    id: int
    tenant: str
    owner: str
    epoch: int
    entries: tuple[LandedSegment, ...]
