"""A blob of the Activity feed: a named batch of records that the feed lists and later forgets.

listed ──► done        its records have landed
   │  ▲
   │  └── tried again by a later look, while attempts are left
   ├─────► set_aside    failed too often; looked at again after a pause, its neighbours go on
   └─────► lost         expired between list and get
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MOST_ATTEMPTS = 5
"""failed looks at one blob before it is set aside"""
LOOK_AGAIN = timedelta(hours=12)
"""how long a blob that was set aside rests before the next look at its hour tries it once more"""


class BlobState(StrEnum):
    LISTED = "listed"
    """known, not fetched yet"""
    DONE = "done"
    """its records have landed"""
    LOST = "lost"
    """the feed no longer has it"""
    SET_ASIDE = "set_aside"
    """could not be read after `MOST_ATTEMPTS`; the evidence says why"""


@dataclass(frozen=True, slots=True)
class Blob:
    """One entry of a listing. `content_id` is opaque; `uri` came from the feed and is not trusted.

    `created_at` is when it became available (the axis of the feed), `expires_at` as the feed says:
    7 and 20 days were observed (management-api-and-graph.md, section 1.6).
    """

    content_type: str
    content_id: str
    uri: str
    created_at: datetime
    expires_at: datetime
    attempts: int = 0
    """failed looks so far"""


@dataclass(frozen=True, slots=True)
class Missing:
    """A known blob whose records have not landed and are not asked for now."""

    created_at: datetime
    lost: bool
    """the feed no longer has it; False: set aside"""
    evidence: str


@dataclass(frozen=True, slots=True)
class Work:
    """What the work list knows of a window: what to fetch, oldest first, and what is missing."""

    todo: list[Blob]
    missing: list[Missing]


@dataclass(frozen=True, slots=True)
class BlobMark:
    """What became of one blob in one pull; recorded together with the landing."""

    content_id: str
    state: BlobState
    attempts: int = 0
    """failed looks so far, this one included"""
    evidence: str = ""
    """why it is not done"""
    records: int = 0
    lag_seconds: int = 0
    """from the median record's occurrence to `created_at`"""


@dataclass(frozen=True, slots=True)
class BlobLag:
    """One fetched blob on its way: from occurrence over availability to the lake."""

    content_type: str
    created_at: datetime
    stored_at: datetime
    records: int
    their_seconds: int
    """from the median record's occurrence to `created_at`: Microsoft's share"""

    @property
    def our_seconds(self) -> float:
        """From `created_at` to the lake."""
        return (self.stored_at - self.created_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Lag:
    """Both halves of the way of one content type's records, in seconds, each record counted."""

    content_type: str
    records: int
    their_p50: float
    their_p95: float
    our_p50: float
    our_p95: float
    our_p99: float


def lags(blobs: Iterable[BlobLag]) -> list[Lag]:
    """Percentiles by content type, weighted by records."""
    by_type: dict[str, list[BlobLag]] = {}
    for blob in blobs:
        by_type.setdefault(blob.content_type, []).append(blob)
    return [_lag(content_type, found) for content_type, found in sorted(by_type.items())]


def _lag(content_type: str, blobs: Sequence[BlobLag]) -> Lag:
    theirs = sorted((float(blob.their_seconds), blob.records) for blob in blobs)
    ours = sorted((blob.our_seconds, blob.records) for blob in blobs)
    return Lag(
        content_type,
        sum(blob.records for blob in blobs),
        percentile(theirs, 0.5),
        percentile(theirs, 0.95),
        percentile(ours, 0.5),
        percentile(ours, 0.95),
        percentile(ours, 0.99),
    )


def percentile(weighted: Sequence[tuple[float, int]], share: float) -> float:
    """The smallest value that `share` of the weight does not exceed; values must ascend."""
    wanted = share * sum(weight for _, weight in weighted)
    passed = 0
    for value, weight in weighted:
        passed += weight
        if passed >= wanted:
            return value
    return 0.0
