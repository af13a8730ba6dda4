"""The seams between the steps and the world: what a step needs, in the words of the model.

One contract suite per port (tests/contract/) runs over every implementation. Nothing here imports
an outside library. All times are UTC and passed in; all paths are absolute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol
from zoneinfo import ZoneInfo

from trailkeeper.errors import NeedsPerson, TrailkeeperError
from trailkeeper.model.blob import Blob, BlobLag, BlobMark, Work
from trailkeeper.model.expiry import CertificateNote
from trailkeeper.model.lag import ContentLag
from trailkeeper.model.match import Match
from trailkeeper.model.planning import Frontier
from trailkeeper.model.record import RecordColumns
from trailkeeper.model.report import Delivery, Figures, Month, MonthReport, Queued, Rendered
from trailkeeper.model.segment import (
    Finding,
    Landed,
    LandedSegment,
    Lease,
    Leased,
    Merge,
    MergeCounts,
    NewSegment,
    Segment,
    SegmentState,
)
from trailkeeper.model.spread import Spread
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window


class Clock(Protocol):
    """Where "now" comes from; tests pass their own."""

    def now(self) -> datetime:
        """The current instant, timezone-aware UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...


# --- pulling -----------------------------------------------------------------------------------


class RecordSink(Protocol):
    """Where a source puts the records it receives, page by page, in any order."""

    def add(self, records: RecordColumns) -> None:
        """Append to the landing file. Raises `Unavailable` when the disk refuses."""
        ...

    @property
    def received(self) -> int:
        """Rows added so far."""
        ...

    @property
    def size(self) -> int:
        """Bytes of raw text added so far."""
        ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull of a window proved, and what it cost."""

    findings: tuple[Finding, ...]
    """disjoint, inside the window; a part that has none and was not shared is planned again"""
    requests: int
    foreign: int = 0
    interrupted: TrailkeeperError | None = None
    """what stopped the pull early; what was proven before it still holds"""
    marks: tuple[BlobMark, ...] = ()
    """what became of the feed's blobs; recorded in the same transaction as the landing"""
    refused: Mapping[str, NeedsPerson] = field(default_factory=dict)
    """content types of the feed that were asked for and need a person; the others were read"""
    answered: frozenset[str] = frozenset()
    """content types of the feed that were parked, were tried again, and were read"""
    cuts: Sequence[datetime] = ()
    """where a part that is planned again, since there was too much for one pull, is best cut"""


class AuditSource(Protocol):
    """One API, seen from the pull step."""

    source: Source

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        """Fetch `window` into `sink` and say what was proven.

        `turn.still_ours` is called between requests: it raises `LeaseLost` and what else ends the
        pull. What `turn.share` gave away is not ours any more. A provider's error that stops it
        comes back in `Pulled.interrupted`.
        """
        ...

    def check(self, tenant: str) -> Iterator[Rung]:
        """Climb the onboarding ladder (identity-and-exchange.md, section 6.5), lowest rung first.

        Stops after the first rung that fails; never raises for a provider's answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the onboarding ladder. `passed` None means unknown, not healthy."""

    name: str
    passed: bool | None
    detail: str = ""
    remedy: str = ""


class CertificateDates(Protocol):
    """When the certificates of a tenant end."""

    def of(self, tenant: str) -> list[CertificateNote]:
        """Every configured one, the present one first; never raises for one of no use."""
        ...


class LandingWriter(RecordSink, Protocol):
    def seal(self) -> str | None:
        """Make everything durable (write, fsync, rename, fsync the folder); the file's name.

        None when no record was added. Nothing may be added afterwards.
        """
        ...


class Landing(Protocol):
    """The folder of landing files; a file that carries its final name is complete for ever."""

    def open(self, lease: Lease, tenant: str) -> AbstractContextManager[LandingWriter]:
        """A writer for one attempt; on leaving without `seal` the partial file is removed."""
        ...

    def path(self, tenant: str, file: str) -> Path: ...

    def remove(self, tenant: str, file: str) -> None: ...

    def set_aside(self, tenant: str, file: str) -> None:
        """Keep a damaged file for a person, out of everybody's way."""
        ...

    def files(self, tenant: str) -> list[str]:
        """Every file of the tenant: sealed, partial or set aside."""
        ...

    def orphans(self, older_than: datetime) -> Iterator[tuple[str, str]]:
        """(tenant, file) of every sealed or partial file last written before `older_than`."""
        ...


# --- the ledger --------------------------------------------------------------------------------


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


class Notebook(Protocol):
    """Small facts that outlive a process: hints, never evidence."""

    def note(self, key: str, value: str, now: datetime) -> None: ...

    def noted(self, key: str) -> tuple[str, datetime] | None:
        """The value and when it was noted."""
        ...

    def all_noted(self, prefix: str) -> dict[str, tuple[str, datetime]]:
        """As `noted`, by key, for every key that begins so."""
        ...


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

    def waiting_feeds(self, now: datetime) -> set[str]:
        """Tenants with a poll of the feed that is due, under way, or failed a few times so far."""
        ...

    def blob_lags(self, tenant: str | None, since: datetime, until: datetime) -> list[BlobLag]:
        """Blobs whose records reached the lake in `[since, until)`; of all tenants with None."""
        ...

    def claim(self, key: str, now: datetime, older_than: datetime) -> bool:
        """Note `key` now, unless it was noted at or after `older_than`; did we?

        Of any number who ask at once, one hears yes.
        """
        ...

    def forget_blobs(self, expired_before: datetime) -> int:
        """Delete what expired before; the feed no longer lists it. How many that were.

        Their lags are kept by day, in the same transaction.
        """
        ...


class Measures(Protocol):
    """What was measured of a tenant, a value a day (UTC): derived from what is stored, and kept
    because what it was derived from is not kept for ever."""

    def measure(self, tenant: str, topic: str, day: date, value: str, now: datetime) -> None:
        """Keep the day's value in place of an earlier one."""
        ...

    def measures(self, tenant: str, topic: str, first: date, last: date) -> dict[date, str]:
        """The values kept for the days from `first` to `last`."""
        ...

    def lags(self, tenant: str, window: Window) -> list[ContentLag]:
        """How long records of the feed were on their way, by content type; of what became available
        in `window`, in whole days where its blobs are forgotten already."""
        ...


class Asked(StrEnum):
    """What a request to the feed was about. A service that refuses one kind may give the other."""

    LISTING = "listing"
    """subscriptions and listings"""
    BLOB = "blob"


class Budget(Protocol):
    """How many requests one tenant gets; shared by all workers where they share a Redis."""

    def take(self, tenant: str, requests: int = 1) -> float:
        """Count so many requests: 0.0 goes ahead, otherwise in how many seconds they may be sent.

        Those that are not sent after all are not given back.
        """
        ...

    def answered(self, tenant: str, asked: Asked) -> None:
        """It came: several of a kind show that their last rest was enough."""
        ...

    def slow_down(self, tenant: str, asked: Asked) -> float:
        """The service said that it was too much: fewer from now on; seconds to rest."""
        ...


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole service in a few numbers, cheap enough to be asked for every minute."""

    unfinished: Mapping[SegmentState, int]
    """planned, leased and landed segments of all tenants"""
    landed_at: Mapping[Stream, datetime | None]
    """when one of the stream's newest windows landed last; None before the first"""


class Ledger(Notebook, Worklist, Measures, Protocol):
    """The truth: what is planned, owned, landed, merged, proven and owed.

    Every method is one transaction; methods that take a `Lease` or `Merge` raise `LeaseLost` when
    its epoch is no longer the newest. Raises `Unavailable` when the database is out of reach.
    """

    # planning
    def plan(
        self,
        stream: Stream,
        planner: Callable[[Frontier | None], Iterable[NewSegment]],
        now: datetime,
    ) -> int:
        """Read the stream's frontier, add what `planner` yields, move the frontier.

        A segment whose (stream, window, purpose, round) exists already is left alone; for COLLECT
        and RETRY only while the existing one is unfinished, so that the same range can be asked for
        again. INCREMENTAL and BACKFILL segments move `fresh_until` and `first_at`, REREAD moves its
        round's `reread_until`; others move nothing. Returns how many segments were added.
        """
        ...

    def plan_all(
        self,
        planners: Mapping[Stream, Callable[[Frontier | None], Iterable[NewSegment]]],
        now: datetime,
    ) -> list[Segment]:
        """As `plan` for several streams in one transaction; the segments that were added."""
        ...

    def frontiers(self, source: Source) -> dict[Stream, Frontier]:
        """The frontier of every stream of `source` that was ever planned."""
        ...

    def planned_ids(self, segments: Sequence[NewSegment]) -> list[int]:
        """Ids of the unfinished (planned, leased, landed) segments with these identities, in order.

        An identity whose segment has finished meanwhile, or was never planned, has no id here.
        """
        ...

    def frontier(self, stream: Stream) -> Frontier | None: ...

    # leasing
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

    def lease(
        self, segment_id: int, owner: str, now: datetime, until: datetime, per_stream: int
    ) -> Leased | None:
        """Take the segment, or None when it is not due, owned, parked, or its stream is full.

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

    def segments(self, ids: Sequence[int]) -> list[Segment]: ...

    def unfinished(self, tenant: str, window: Window) -> list[Segment]:
        """Planned, leased and landed segments overlapping `window` (on its axis), of any source."""
        ...

    # merging
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

    # coverage
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

    def overview(self) -> Overview: ...

    # parking
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

    def parkings(self, tenant: str | None = None) -> list[Parking]: ...

    def postpone(self, stream: Stream, until: datetime) -> None:
        """Throttled: no segment of this stream is due before `until`; never moves it earlier."""
        ...

    def forget_tenant(self, tenant: str) -> None:
        """Delete every row of this tenant, its outbox included; late leases meet `LeaseLost`."""
        ...

    def close(self) -> None: ...


class Outbox(Protocol):
    """What is owed to the world. (tenant, month, revision) is sent once.

    Methods that take a `Delivery` raise `LeaseLost` when its epoch is no longer the newest; all
    raise `Unavailable` when the database is out of reach.
    """

    def enqueue(
        self,
        tenant: str,
        month: Month,
        message_id: str,
        recipients: Sequence[str],
        rendered: Rendered,
        now: datetime,
        *,
        again: bool = False,
        preliminary: bool = False,
    ) -> int | None:
        """The new outbox id; None when this month is in the outbox already and `again` is False.

        A `preliminary` report, of a month that is not over, does not stand for the month's own.
        """
        ...

    def reported(self, tenant: str, month: Month) -> bool:
        """Is any revision of this month in the outbox, whatever became of it? Preliminary ones do
        not count."""
        ...

    def newest(self, tenant: str, month: Month) -> Queued | None:
        """Where the newest revision of this month stands; None when there is none."""
        ...

    def due(self, now: datetime, limit: int) -> list[int]:
        """Queued and due at `now`, or found sending after its deadline; longest due first."""
        ...

    def take(self, outbox_id: int, now: datetime, until: datetime) -> Delivery | None:
        """queued → sending under a lease; None when it is not due, or somebody else is sending.

        Every take is an attempt. One found sending after its deadline is handed out again with the
        same message id: what became of the earlier attempt is not known.
        """
        ...

    def sent(self, delivery: Delivery, now: datetime, reply: str) -> None:
        """sending → sent, for ever."""
        ...

    def again_at(self, delivery: Delivery, due_at: datetime, error: str) -> None:
        """sending → queued, due again at `due_at`."""
        ...

    def hurry(self, outbox_id: int, now: datetime) -> None:
        """A queued one that waits to be tried again is due at once: somebody asks for it."""
        ...

    def refused(self, delivery: Delivery, now: datetime, error: str) -> None:
        """sending → refused, for ever; only a new revision is sent instead."""
        ...


# --- the lake ----------------------------------------------------------------------------------


class Lake(Protocol):
    """One table per tenant; each record once."""

    def merge(
        self, merge: Merge, files: Sequence[tuple[LandedSegment, Path]]
    ) -> dict[int, MergeCounts]:
        """Fold the files into the tenant's table in one commit; counts by segment id.

        Safe to repeat: a merge whose id the table already carries changes nothing and returns the
        counts of that commit. Raises `Transient` when another writer won the commit.
        """
        ...

    def export_jsonl(self, tenant: str, window: Window | None, out: BinaryIO) -> int: ...

    def export_csv(self, tenant: str, window: Window | None, out: BinaryIO) -> int: ...

    def export_parquet(self, tenant: str, window: Window | None, out: Path) -> int:
        """Records by time, then Id, streamed; returns how many. All three give the same records."""
        ...

    def figures(self, tenant: str, window: Window, zone: ZoneInfo) -> Figures: ...

    def match(
        self,
        tenant: str,
        hours: Sequence[datetime],
        since: Mapping[Source, datetime | None],
        ignored: Sequence[int] = (),
    ) -> Match:
        """Match by Id what occurred in `hours` (the first instant of each) of one UTC day.

        `since`: the sources that are matched, each with when it began to be followed, None when it
        never was; `ignored`: record types that one of them is not asked for.
        """
        ...

    def arrivals(
        self,
        tenant: str,
        source: Source,
        window: Window,
        looks: Sequence[tuple[Window, datetime]],
        on_time: timedelta,
    ) -> dict[str, Spread]:
        """By workload: from occurrence in `window` to first seen by `source`.

        `looks`: disjoint windows, each with when its time was first asked for; records outside of
        them do not count. Seen within `on_time` of that is in time, and in the first class.
        """
        ...

    def forget_sightings(self, tenant: str, before: date) -> None:
        """Delete what matching needs of events before a day; the records stay."""
        ...

    def compact(self, tenant: str, retain: timedelta) -> None: ...

    def remove(self, tenant: str) -> None: ...

    def require(self, tenant: str) -> None:
        """Raises `Unavailable` when the tenant's records should be there and are not."""
        ...

    def check(self) -> None:
        """Raises `Unavailable` when the lake cannot be written."""
        ...


# --- report and mail ---------------------------------------------------------------------------


class Renderer(Protocol):
    def render(
        self, report: MonthReport, folder: Path, write_csv: Callable[[BinaryIO], int]
    ) -> Rendered:
        """Write HTML, text, chart and zipped CSV into `folder`; the same report, the same bytes."""
        ...


class Mailer(Protocol):
    def send(self, delivery: Delivery) -> str:
        """Hand over one message; the server's reply. Raises `Transient`, `DeliveryRefused`."""
        ...

    def check(self) -> str:
        """One line about the server. Raises `Unavailable` with the remedy."""
        ...


class Announcer(Protocol):
    """Sends ids to the queue. Losing every message loses nothing: a sweep announces again."""

    def pull(self, segment_ids: Sequence[int]) -> None: ...

    def merge(self, tenant: str) -> None: ...

    def report(self, tenant: str, month: Month) -> None: ...

    def deliver(self, outbox_id: int) -> None: ...

    def compact(self, tenant: str) -> None: ...
