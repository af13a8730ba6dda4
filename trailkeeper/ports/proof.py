"""What is proven of a stream."""

from __future__ import annotations

from typing import Protocol

from trailkeeper.model.segment import (
    Finding,
    MergeCounts,
)
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window


class Proof(Protocol):
    """What was found, and what was stored.

    Every method is one transaction. Raises `Unavailable` when the database is out of reach.
    """

    def findings(self, stream: Stream, window: Window) -> list[Finding]:
        """Findings of merged and lost segments that overlap `window`."""
        ...

    def counts(self, stream: Stream, window: Window) -> MergeCounts:
        """Summed counts of merged segments that lie in or overlap `window`."""
        ...

    def has_stored(self, tenant: str) -> bool:
        """Whether any record of the tenant was ever stored in the lake."""
        ...

    def streams(self, tenant: str) -> list[Stream]: ...

    def extent(self, stream: Stream) -> Window | None:
        """From the earliest start to the latest end of any segment; None before the first."""
        ...
