"""Who stands still, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trailkeeper.model.stream import Source, Stream

PAUSED = "paused"
"""The code of a parking that an operator asked for; no other parking replaces it."""


@dataclass(frozen=True, slots=True)
class Parking:
    """Why a tenant's source stands still, and what a person has to do."""

    tenant: str
    source: Source | None
    """None: the whole tenant"""
    parked_at: datetime
    code: str
    summary: str
    remedy: str
    retry_at: datetime | None
    """when it is tried again by itself; None: only on `tenants resume`"""
    content_type: str = ""
    """of the feed: only this one is refused, and the others go on; empty: the whole source"""

    def stops(self, source: Source) -> bool:
        """Whether nothing of `source` is pulled while this lasts."""
        return not self.content_type and self.source in (None, source)


class Standing(Protocol):
    """Who stands still, to be read only."""

    def parkings(self, tenant: str | None = None) -> list[Parking]: ...


class Parkings(Standing, Protocol):
    """Who stands still: a tenant, a source, one content type, or a stream for a while.

    Every method is one transaction. Raises `Unavailable` when the database is out of reach.
    """

    def park(self, parking: Parking) -> None:
        """Stop a tenant, one source, or name one content type that is refused; segments stay as
        they are. Replaces an earlier parking of the same tenant, source and content type, except
        that only `PAUSED` replaces `PAUSED`."""
        ...

    def unpark(self, tenant: str, source: Source | None = None) -> bool:
        """Lift one source's parking, or with None all of the tenant's; was there one?

        Refused content types of what is lifted are to be tried at once, and go when they answer.
        """
        ...

    def content_answered(self, tenant: str, source: Source, content_type: str) -> None:
        """Lift the parking of one content type: it was asked for, and answered."""
        ...

    def postpone(self, stream: Stream, until: datetime) -> None:
        """Throttled: no segment of this stream is due before `until`; never moves it earlier."""
        ...
