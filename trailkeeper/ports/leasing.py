"""Who works on which segment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trailkeeper.model.feed.blob import BlobMark
from trailkeeper.model.segment import (
    Finding,
    Landed,
    Lease,
    Leased,
    NewSegment,
    Segment,
)
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window

BESIDE = ":pull"
"""how an owner ends that pulls for one command, in a process which no other tenant waits for"""


class Segments(Protocol):
    """The segments as they stand."""

    def due(
        self, now: datetime, limit: int, per_stream: int, stream: Stream | None = None
    ) -> list[Segment]:
        """Planned segments due at `now` and leased ones whose deadline passed, fresh first; of all
        streams, or of one.

        At most `per_stream` minus those under a live lease from each stream; streams take turns,
        the one that waited longest first; within a stream by purpose, then newest window. None of a
        postponed stream, nor of a tenant or source that is parked and not to be retried yet.
        """
        ...

    def segments(self, ids: Sequence[int]) -> list[Segment]: ...

    def unfinished(self, tenant: str, window: Window) -> list[Segment]:
        """Planned, leased and landed segments overlapping `window` (on its axis), of any source."""
        ...


class Leasing(Segments, Protocol):
    """From due to landed: who owns a segment, and until when.

    Every method is one transaction; one that takes a `Lease` raises `LeaseLost` when its epoch is
    no longer the newest. Raises `Unavailable` when the database is out of reach.
    """

    def lease(
        self,
        segment_id: int,
        owner: str,
        now: datetime,
        until: datetime,
        per_stream: int,
        processes: int | None = None,
    ) -> Leased | None:
        """Take the segment, or None when it is not due, owned, parked, or its stream is full; or,
        of `processes` that all tenants share, when its tenant holds its share (`model/fairness.py`)
        and somebody else needs one. None: the caller's process is the tenant's own.

        Taking over from a worker that let its deadline pass counts as that worker's failed attempt.
        """
        ...

    def renew(self, lease: Lease, until: datetime) -> Lease:
        """The same lease, live until `until`; also after its deadline, if nobody took it over."""
        ...

    def land(
        self,
        lease: Lease,
        landed: Landed,
        findings: Sequence[Finding],
        follow_ups: Sequence[NewSegment],
        now: datetime,
        marks: Sequence[BlobMark] = (),
    ) -> None:
        """leased → landed, with findings, the feed's blobs and the segments that retry the rest.

        A segment without records (file None) goes to merged at once. Repeating a landing that was
        already recorded changes nothing: a caller may not have heard the first answer.
        """
        ...

    def share(self, lease: Lease, kept: Window, given: Sequence[NewSegment], now: datetime) -> bool:
        """Narrow the leased segment to `kept` and plan the rest of its window, `given`, for others.

        False, and nothing changed, when a segment with one of these identities stands already.
        """
        ...

    def release(
        self, lease: Lease, due_at: datetime, error: str, *, counts_as_attempt: bool
    ) -> None:
        """leased → planned, due again at `due_at`."""
        ...

    def lose(self, lease: Lease, findings: Sequence[Finding], now: datetime) -> None:
        """leased → lost, the findings naming what the provider no longer has."""
        ...
