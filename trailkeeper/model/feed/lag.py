"""How long records of the feed were on their way, by content type."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from trailkeeper.model.measures.spread import Spread, quantiles


@dataclass(frozen=True, slots=True)
class ContentLag:
    """Both halves of the way of one content type's records, each record counted.

    `theirs`: from the occurrence of a blob's median record to the blob's creation, Microsoft's
    share. `ours`: from the blob's creation to the lake, of blobs made since the feed is followed.
    """

    content_type: str
    theirs: Spread
    ours: Spread

    def __add__(self, other: ContentLag) -> ContentLag:
        return ContentLag(self.content_type, self.theirs + other.theirs, self.ours + other.ours)

    def to_text(self) -> str:
        return json.dumps([self.theirs.to_json(), self.ours.to_json()], separators=(",", ":"))

    @classmethod
    def from_text(cls, content_type: str, text: str) -> ContentLag:
        """What `to_text` gave. Raises `ValueError` for anything else."""
        theirs, ours = json.loads(text)
        return cls(content_type, Spread.from_json(theirs), Spread.from_json(ours))

    def as_json(self) -> dict[str, object]:
        """One entry of `lag` in `coverage --json`; seconds, null where nothing was counted."""
        return {
            "content_type": self.content_type,
            "records": self.theirs.total,
            "occurred_to_available": quantiles(self.theirs, 0.5, 0.95),
            "available_to_stored": quantiles(self.ours, 0.5, 0.95, 0.99),
        }


def summed(lags: Iterable[ContentLag]) -> list[ContentLag]:
    """One for each content type, by name."""
    found: dict[str, ContentLag] = {}
    for lag in lags:
        found[lag.content_type] = (
            found[lag.content_type] + lag if lag.content_type in found else lag
        )
    return [found[name] for name in sorted(found)]
