"""Which landed segments go into the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trailkeeper.model.segment import (
    Finding,
    LandedSegment,
    Merge,
    MergeCounts,
)


class Merging(Protocol):
    """From landed to merged: one open merge a tenant.

    Every method is one transaction; one that takes a `Merge` raises `LeaseLost` when its epoch is
    no longer the newest. Raises `Unavailable` when the database is out of reach.
    """

    def tenants_to_merge(self) -> list[str]:
        """Tenants with landed segments, the longest waiting first."""
        ...

    def open_merge(
        self, tenant: str, owner: str, now: datetime, until: datetime, limit_bytes: int
    ) -> Merge | None:
        """Claim landed segments, oldest first, up to `limit_bytes` of raw text (at least one).

        A merge that was left open by a dead worker is handed out again, unchanged, with a new
        epoch, before any new one; None when nothing is landed or a live worker holds the merge.
        """
        ...

    def renew_merge(self, merge: Merge, until: datetime) -> None: ...

    def release_merge(self, merge: Merge, now: datetime) -> None:
        """End the lease of a merge that failed, still open: the next claim has it at once.

        Nothing happens when it is no longer ours.
        """
        ...

    def close_merge(self, merge: Merge, counts: dict[int, MergeCounts], now: datetime) -> None:
        """Mark every entry merged with its counts (by segment id).

        Raises `Bug` when an entry has no counts; closing the same merge twice changes nothing.
        """
        ...

    def set_aside(self, merge: Merge, finding: Finding, segment_id: int, due_at: datetime) -> Merge:
        """landed → merged without a record: its landing file is damaged. The merge that is left.

        `finding` takes the place of all that it proved, and counts as newer than any look so far;
        its window is planned again as a RETRY, and the feed's blobs that it landed are to be
        fetched again: who looks at its time meanwhile was told that they are done, and begins anew.
        """
        ...

    def merged_files(self, before: datetime) -> list[LandedSegment]:
        """Entries merged before `before` whose landing file has not been forgotten yet."""
        ...

    def forget_files(self, segment_ids: Sequence[int]) -> None: ...

    def known_files(self) -> set[tuple[str, str]]:
        """(tenant, file) that some unmerged segment still needs."""
        ...
