"""The feed's blobs: what was listed, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trailkeeper.model.feed.blob import Blob, BlobLag, Work
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window


class Worklist(Protocol):
    """The blobs that the Activity feed listed: known before anything of them is fetched.

    A blob is known by (tenant, content id) until it is forgotten. Raises `Unavailable` when the
    database is out of reach.
    """

    def list_blobs(
        self, tenant: str, listed: Sequence[Blob], window: Window, now: datetime
    ) -> Work:
        """Make `listed` known; what of them, and of those known in `window`, is not done yet.

        A blob that was set aside is to be fetched again after `LOOK_AGAIN`, and missing until then.
        When nothing is new, nothing is written.
        """
        ...

    def waiting_polls(self, source: Source, now: datetime) -> set[str]:
        """Tenants with a poll of this source due, under way, or failed a few times so far."""
        ...

    def blob_lags(self, tenant: str | None, since: datetime, until: datetime) -> list[BlobLag]:
        """Blobs whose records reached the lake in `[since, until)`; of all tenants with None."""
        ...

    def forget_blobs(self, expired_before: datetime) -> int:
        """Delete what expired before; the feed no longer lists it. How many that were.

        Their lags are kept by day, in the same transaction.
        """
        ...
