"""The Activity feed's rules of time: what may be asked, what is needed now, what a look proves.

Facts: management-api-and-graph.md, sections 1.2, 1.4 to 1.6. All windows lie on the axis of
availability. Pure: clocks come in as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from zlib import crc32

from trailkeeper.model.planning import Watermark
from trailkeeper.model.segment import MISSING, Finding, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, iso, subtract, union

CONTENT_TYPES = (
    "Audit.AzureActiveDirectory",
    "Audit.Exchange",
    "Audit.SharePoint",
    "Audit.General",
)
DLP = "DLP.All"
"""off unless asked for: its records can hold the matched secret in clear text (section 1.2)"""

DLP_RECORD_TYPES = (11, 13, 33, 63)
"""what lies in DLP.All (audit-record-schema.md): the search returns them, asked for or not"""

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LOOKBACK = timedelta(days=7)
SEVEN_DAYS_ONLY = "the feed answers for seven days only"
STALE = timedelta(minutes=1)
"""a start of exactly seven days ago is stale on arrival, and refused (section 1.4)"""
BORDER = timedelta(minutes=1)
"""how much earlier than its window a listing starts: one that starts at a blob's own creation was
seen to show only a part of that blob (section 1.4)"""
_STEP_BACK = timedelta(seconds=7)
LONGEST_LISTING = timedelta(hours=24) - 3 * BORDER
"""longer is refused, or answered silently in part (section 1.4)"""


def content_types(*, dlp: bool) -> tuple[str, ...]:
    return (*CONTENT_TYPES, DLP) if dlp else CONTENT_TYPES


def horizon(now: datetime) -> datetime:
    """The oldest instant that can be asked for when the *service's* clock says `now`."""
    oldest = now - LOOKBACK + STALE
    return _floor_second(oldest) + SECOND


# --- asking --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing:
    """One question to the feed: `asked` in whole seconds around `window`, at most a day long."""

    window: Window
    asked: Window

    def owns(self, created_at: datetime) -> bool:
        """Whether a blob listed here is this listing's to fetch.

        What lies in the border belongs to the neighbour; what lies outside of all that was asked is
        strange, and kept.
        """
        return self.window.contains(created_at) or not self.asked.contains(created_at)


def listings(window: Window, now: datetime) -> list[Listing]:
    """Questions that cover the part of `window` still answered for at the service's `now`."""
    oldest = horizon(now)
    start = max(window.start, oldest)
    if start >= window.end:
        return []
    parts = ceil((window.end - start) / LONGEST_LISTING)
    step = (window.end - start) / parts
    cuts = [_floor_second(start + number * step) for number in range(1, parts)]
    pieces = Window(start, window.end, window.axis).split(*cuts)
    return [Listing(piece, _asked(piece, oldest)) for piece in pieces]


def shows_part(listing: Listing, created_at: datetime) -> bool:
    """Whether the listing began in this blob's own second, and may show a part of it only."""
    return created_at < listing.asked.start + SECOND


def from_earlier(listing: Listing, now: datetime) -> Listing | None:
    """The same question from a little earlier; None where it would be too early."""
    start = max(listing.asked.start - _STEP_BACK, horizon(now))
    if start >= listing.asked.start:
        return None
    return Listing(listing.window, Window(start, listing.asked.end, listing.asked.axis))


def _asked(piece: Window, oldest: datetime) -> Window:
    start = max(_floor_second(piece.start - BORDER), oldest)
    end = _floor_second(piece.end + SECOND - timedelta(microseconds=1))
    return Window(start, end, piece.axis)


# --- proving -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trouble:
    """A blob that did not come: when it became available, and why."""

    at: datetime
    lost: bool
    """the feed no longer has it; False: it may still be had"""
    reason: str


REFUSED = "content_refused"
"""key of a finding's evidence: the content types that could not be read there"""
LOST_BLOBS = "blobs_lost"
"""key of a finding's evidence: how many were lost between list and get"""


@dataclass(frozen=True, slots=True)
class PullEvidence:
    """What one pull of `window` saw. `observed_at` is the service's clock when it was asked."""

    window: Window
    observed_at: datetime
    until: datetime
    """proven at most up to here: the rest was not asked, or not all of it fetched"""
    blobs: int = 0
    fetched: int = 0
    troubles: Sequence[Trouble] = field(default_factory=tuple)

    def findings(self) -> list[Finding]:
        """Complete, but for the hours of blobs that did not come and what the feed forgot."""
        gone = self._forgotten()
        start = gone.window.end if gone else self.window.start
        end = min(self.until, self.window.end)
        found = [gone] if gone else []
        if start >= end:
            return found
        asked = Window(start, end, self.window.axis)
        broken = list(_broken_hours(asked, self.troubles, self.observed_at))
        whole = subtract([asked], [finding.window for finding in broken])
        evidence: dict[str, object] = {"blobs": self.blobs, "fetched": self.fetched}
        complete = [
            Finding(piece, Verdict.COMPLETE, self.observed_at, "", evidence) for piece in whole
        ]
        return sorted([*found, *complete, *broken], key=lambda finding: finding.window)

    def _forgotten(self) -> Finding | None:
        end = min(horizon(self.observed_at), self.window.end)
        if end <= self.window.start:
            return None
        asked_at = iso(_floor_second(self.observed_at))
        reason = f"{SEVEN_DAYS_ONLY}, and was asked at {asked_at}"
        window = Window(self.window.start, end, self.window.axis)
        return Finding(window, Verdict.LOST, self.observed_at, reason)


def _broken_hours(
    asked: Window, troubles: Iterable[Trouble], observed_at: datetime
) -> Iterator[Finding]:
    """One finding for each hour of `asked` in which a blob did not come."""
    by_hour: dict[Window, list[Trouble]] = {}
    for trouble in troubles:
        at = min(max(trouble.at, asked.start), asked.end - timedelta(microseconds=1))
        hour = at.replace(minute=0, second=0, microsecond=0)
        piece = Window(hour, hour + HOUR, asked.axis).intersect(asked)
        assert piece is not None  # noqa: S101 - `at` lies in both
        by_hour.setdefault(piece, []).append(trouble)
    for piece, found in sorted(by_hour.items()):
        lost = sum(trouble.lost for trouble in found)
        verdict = Verdict.LOST if lost == len(found) else Verdict.GAP
        first = next((t for t in found if not t.lost), found[0])
        evidence: dict[str, object] = {MISSING: len(found), LOST_BLOBS: lost}
        yield Finding(piece, verdict, observed_at, _worded(len(found), first.reason), evidence)


def without(findings: Iterable[Finding], refused: Mapping[str, str]) -> list[Finding]:
    """What `findings` prove when these content types, by name with the reason, were not read.

    Nothing: what is refused may hold records of any of these times. The records of the others are
    landed all the same.
    """
    reason = "; ".join(f"{name} is refused: {why}" for name, why in sorted(refused.items()))
    return [
        replace(
            finding,
            verdict=Verdict.GAP,
            reason=reason,
            evidence={**finding.evidence, REFUSED: sorted(refused)},
        )
        if finding.verdict.proven
        else finding
        for finding in findings
    ]


def lacking(findings: Iterable[Finding], content_types: frozenset[str]) -> list[Window]:
    """Times that were never proven because one of these content types was refused then."""
    proven, refused = [], []
    for finding in findings:
        if finding.verdict.proven:
            proven.append(finding.window)
        elif content_types & refused_types(finding):
            refused.append(finding.window)
    return subtract(refused, proven)


def refused_types(finding: Finding) -> frozenset[str]:
    """The content types that were not read for this finding; none for most."""
    named = finding.evidence.get(REFUSED)
    return frozenset(named) if isinstance(named, list) else frozenset()


def _worded(count: int, reason: str) -> str:
    return f"{count} {'blob' if count == 1 else 'blobs'} missing: {reason}"


# --- planning ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FeedCadence:
    """How the feed of a tenant is followed. All durations are positive.

    `interval`: how often it is asked; shorter is fresher and costs a listing per content type. Each
    tenant has its own turn within it, so that a fleet does not ask all at once.
    `safety_lag`: the newest time not asked for yet, because blobs are listed with a delay; shorter
    is fresher and leaves more to the re-lists. `longest_fresh`: what is older is back-fill, cut
    into `segment_length`. `relist_after`: ages at which closed hours are listed again for late
    blobs, ascending; the last must leave time before seven days are over.
    """

    interval: timedelta = timedelta(minutes=1)
    safety_lag: timedelta = timedelta(seconds=10)
    longest_fresh: timedelta = timedelta(hours=1)
    segment_length: timedelta = timedelta(hours=12)
    relist_after: tuple[timedelta, ...] = (
        timedelta(hours=3),
        timedelta(hours=24),
        timedelta(hours=48),
        timedelta(days=6, hours=21),
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MARGIN = timedelta(minutes=30)
"""the first back-fill begins this much inside the horizon: the oldest is fetched last"""


def plan_feed(
    stream: Stream,
    begin: datetime,
    cadence: FeedCadence,
    now: datetime,
    watermark: Watermark | None,
) -> Iterator[NewSegment]:
    """Segments to add for a feed that is wanted from `begin` on; what is out of reach is not."""
    newest = _floor_second(now - cadence.safety_lag)
    reachable = max(begin, horizon(now) + _FIRST_MARGIN)
    start = watermark.fresh_until if watermark else reachable
    if start < (_turn(stream, cadence.interval, newest) if watermark else newest):
        yield from _forward(stream, Window(start, newest, Axis.AVAILABLE), cadence, now)
    if watermark and reachable < watermark.first_at:
        yield from _backfill(stream, Window(reachable, watermark.first_at, Axis.AVAILABLE), cadence)
    if watermark:
        yield from _relists(stream, watermark, cadence, now)


def _turn(stream: Stream, interval: timedelta, moment: datetime) -> datetime:
    """The stream's latest turn by `moment`: instants an interval apart, elsewhere for each tenant.

    A window ends at the tick that finds the turn, not at the turn: it is as fresh as can be.
    """
    shift = interval * (crc32(stream.tenant.encode()) / 2**32)
    return moment - (moment - _EPOCH - shift) % interval


def plan_feed_range(stream: Stream, window: Window) -> list[NewSegment]:
    """An operator's request, a day at a time."""
    return [NewSegment(stream, piece, Purpose.COLLECT) for piece in window.pieces(24 * HOUR)]


def _forward(
    stream: Stream, window: Window, cadence: FeedCadence, now: datetime
) -> Iterator[NewSegment]:
    """Fresh time first; behind it back-fill; what the feed has forgotten meanwhile in one piece."""
    forgotten, rest = _cut(window, horizon(now) - STALE)
    older, fresh = _cut(rest, rest.end - cadence.longest_fresh) if rest else (None, None)
    if fresh:
        yield NewSegment(stream, fresh, Purpose.INCREMENTAL)
    if older:
        yield from _backfill(stream, older, cadence)
    if forgotten:
        yield NewSegment(stream, forgotten, Purpose.BACKFILL)


def _backfill(stream: Stream, window: Window, cadence: FeedCadence) -> Iterator[NewSegment]:
    for piece in window.pieces(cadence.segment_length):
        yield NewSegment(stream, piece, Purpose.BACKFILL)


def _relists(
    stream: Stream, watermark: Watermark, cadence: FeedCadence, now: datetime
) -> Iterator[NewSegment]:
    """Each age walks behind the clock in whole hours and lists again what has reached that age."""
    reachable = _ceil_hour(horizon(now) + _FIRST_MARGIN)
    for index, age in enumerate(cadence.relist_after):
        reached = watermark.reread_until[index] if index < len(watermark.reread_until) else None
        start = max(reached or max(watermark.first_at, watermark.begun_at - age), reachable)
        end = _floor_hour(min(now - age, watermark.fresh_until))
        if start < end:
            for piece in Window(start, end, Axis.AVAILABLE).pieces(24 * HOUR):
                yield NewSegment(stream, piece, Purpose.REREAD, round=index + 1)


def _cut(window: Window, at: datetime) -> tuple[Window | None, Window | None]:
    """What of `window` lies before and what after `at`."""
    if at <= window.start:
        return None, window
    if at >= window.end:
        return window, None
    before, after = window.split(at)
    return before, after


def lost_hours(findings: Iterable[Finding]) -> list[Window]:
    """Where blobs were lost between list and get; not what lies beyond the horizon."""
    return union(
        finding.window
        for finding in findings
        if finding.verdict is Verdict.LOST and finding.evidence.get(LOST_BLOBS)
    )


OCCURRED_BEFORE = timedelta(hours=24)
"""how much older than its blob a record can be, but for rare ones (section 1.6)"""


def repairs(lost: Iterable[Window], streams: Iterable[Stream], now: datetime) -> list[NewSegment]:
    """Exchange searches for hours that the feed lost, where the tenant has that source.

    The axes differ: what became available in an hour occurred in it or before.
    """
    exchange = [stream for stream in streams if stream.source is Source.EXCHANGE]
    return [
        NewSegment(
            stream,
            Window(hour.start - OCCURRED_BEFORE, hour.end, Axis.OCCURRED),
            Purpose.RETRY,
            1,
            now,
        )
        for stream in exchange
        for hour in lost
    ]


def _floor_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _floor_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _ceil_hour(moment: datetime) -> datetime:
    return _floor_hour(moment + HOUR - timedelta(microseconds=1))
