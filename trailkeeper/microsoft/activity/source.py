"""The Activity feed as a source: a window's listings, then every blob that is not known to be done.

A window is proven when every content type was listed over it and every blob listed there has
landed. Where a person has to enable one, the others are read all the same. docs/decisions/feed.md
argues the choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from trailkeeper.errors import (
    LeaseLost,
    NeedsPerson,
    Throttled,
    TrailkeeperError,
    Transient,
    Unavailable,
)
from trailkeeper.microsoft.activity.client import ActivityClient, ServiceClock
from trailkeeper.microsoft.activity.fetch import Fetching
from trailkeeper.microsoft.activity.listing import EndlessListing, Pages, listed_blobs
from trailkeeper.microsoft.activity.preflight import ActivityPreflight
from trailkeeper.microsoft.activity.subscriptions import FeedLedger, Subscriptions
from trailkeeper.microsoft.http.sessions import Sessions
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.model.feed.blob import Blob
from trailkeeper.model.feed.rules import (
    Listing,
    PullEvidence,
    Trouble,
    content_types,
    listings,
    without,
)
from trailkeeper.model.segment import Finding
from trailkeeper.model.stream import Source
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window
from trailkeeper.ports.budget import Budget
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.parking import Parking
from trailkeeper.ports.source import Check, Pulled, RecordSink
from trailkeeper.process.threads import Crew
from trailkeeper.settings import Settings

THREADS = 32
"""connections kept alive by one process, for all tenants together"""
_WRONG_WINDOW = ("AF20030", "AF20055")
_SHORT_WAIT = 15.0
"""seconds: a throttling of at most so much is waited out before the first blob"""
_WAITS = 5
"""so many in one pull; then others have its place"""

T = TypeVar("T")


class ActivitySource:
    """Implements `ports.source.AuditSource`. Shared by the threads of one process."""

    source = Source.ACTIVITY

    def __init__(
        self,
        settings: Settings,
        tokens: TokenSource,
        sessions: Sessions,
        clock: Clock,
        ledger: FeedLedger,
        budget: Budget,
        threads: int = THREADS,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._sessions = sessions
        self._clock = clock
        self._ledger = ledger
        self._budget = budget
        self._threads = threads
        self._subscriptions = Subscriptions(ledger, clock)
        self._service_clocks: dict[str, ServiceClock] = {}

    @cached_property
    def _pool(self) -> Executor:
        return Crew(self._threads, "feed")

    def client(self, tenant: str) -> ActivityClient:
        """A fresh conversation. Raises `ConfigurationError` for an unknown tenant."""
        found = self._settings.tenant(tenant)
        return ActivityClient(
            found,
            self._settings.cloud(found),
            self._sessions.of(found.cloud),
            self._tokens,
            self._settings.service.partner_tenant_id,
            self._budget,
            self._clock,
            self._service_clocks.setdefault(found.cloud, ServiceClock(self._clock)),
        )

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        """List `window`, land what is new. An error that stops it comes in `Pulled.interrupted`."""
        client = self.client(tenant)
        still_ours = turn.still_ours
        fetching = Fetching(client, self._pool, self._threads, sink, still_ours, self._clock.now())
        wanted = content_types(dlp=self._settings.tenant(tenant).dlp)
        pull = _Pull(
            client, self._subscriptions, self._ledger, self._pool, fetching, still_ours, self._clock
        )
        return pull.of(window, wanted)

    def check(self, tenant: str) -> Iterator[Check]:
        found = self._settings.tenant(tenant)
        yield from ActivityPreflight(
            self._settings, found, self._tokens, self.client(tenant), self._clock
        ).run()


@dataclass
class _Pull:
    """One pull under way."""

    client: ActivityClient
    subscriptions: Subscriptions
    ledger: FeedLedger
    pool: Executor
    fetching: Fetching
    still_ours: Callable[[], None]
    clock: Clock
    blobs: int = 0
    refused: TrailkeeperError | None = None
    """why nothing can be said of the window"""
    closed: dict[str, NeedsPerson] = field(default_factory=dict)
    """the content types that a person has to enable, and that were asked for"""
    listed: set[str] = field(default_factory=set)
    """the content types that were listed; none for a window that the feed has forgotten"""
    waits: int = 0

    def of(self, window: Window, wanted: Sequence[str]) -> Pulled:
        """Ask for what is not parked; a parked content type is tried again when that is due."""
        now = self.clock.now()
        parked = {p.content_type: p for p in self._parkings(wanted) if p.content_type in wanted}
        resting = {name: p for name, p in parked.items() if not p.retry_at or p.retry_at > now}
        types = [each for each in wanted if each not in resting]
        look = self._looked(window, types) if types else None
        if not set(types) - self.closed.keys():  # the source as a whole needs a person
            self.refused = self.refused or _first(self.closed, resting)
            self.closed, look = {}, None
        answered = self._answered(parked) if look else frozenset()
        if parked.keys() - resting.keys() - answered:
            # Tried and not read: whoever comes next has to know that it is parked.
            self.subscriptions.forget(self.client.tenant)
        return Pulled(
            tuple(self._findings(look, resting)) if look else (),
            self.client.requests,
            interrupted=self._interrupted(),
            cuts=self.fetching.cuts(),
            marks=tuple(self.fetching.marks),
            refused=self.closed,
            answered=answered,
        )

    def _interrupted(self) -> TrailkeeperError | None:
        """A throttling goes before what was wrong with a listing: the whole stream has to rest."""
        stopped = self.fetching.interrupted
        return stopped if isinstance(stopped, Throttled) else self.refused or stopped

    def _answered(self, parked: Mapping[str, Parking]) -> frozenset[str]:
        return frozenset(parked).intersection(self.listed) - self.closed.keys()

    def _parkings(self, wanted: Sequence[str]) -> list[Parking]:
        """Not asked for while this process knows all content types to be enabled."""
        if self.subscriptions.seen(self.client.tenant, wanted):
            return []
        found = self.ledger.parkings(self.client.tenant)
        return [parking for parking in found if parking.source is Source.ACTIVITY]

    def _findings(self, look: PullEvidence, resting: Mapping[str, Parking]) -> list[Finding]:
        refused = {name: _why(error.summary, error.code) for name, error in self.closed.items()}
        refused |= {name: _why(p.summary, p.code) for name, p in resting.items()}
        return without(look.findings(), refused) if refused else look.findings()

    def _looked(self, window: Window, types: Sequence[str]) -> PullEvidence | None:
        try:
            closed = self._patiently(lambda: self.subscriptions.ensure(self.client, types))
            self.closed.update(closed)
            look = self._look(window, types)
            if self.refused is not None and self.refused.code in _WRONG_WINDOW:
                # The answer that refused the window showed the service's clock: once more by that.
                self.refused = None
                look = self._look(window, types)
        except (LeaseLost, Unavailable):  # the lease, the ledger and the disk are the step's
            raise
        except TrailkeeperError as error:
            look, self.refused = None, error
        return look

    def _look(self, window: Window, types: Sequence[str]) -> PullEvidence | None:
        """None when nothing can be said of the window, since a content type is missing."""
        observed_at = self.client.now()
        until = min(window.end, observed_at)
        for listing in listings(window, observed_at):
            listed = self._listed([each for each in types if each not in self.closed], listing)
            left = self._fetched(listed, listing)
            if left is not None:
                until = left.replace(microsecond=0)
                break
        if self.refused:
            return None
        if until < window.end and observed_at < window.end and not self.fetching.interrupted:
            self.refused = Transient(
                "a part of the window lies in the future of the service's clock",
                "Check this machine's clock; it is asked again later.",
            )
        troubles = tuple(self.fetching.troubles)
        return PullEvidence(window, observed_at, until, self.blobs, self.fetching.fetched, troubles)

    def _listed(self, types: Sequence[str], listing: Listing) -> list[Blob]:
        """The blobs of all content types, each once."""
        found: dict[str, list[Blob]] = {}
        pages: dict[str, Pages] = {each: {} for each in types}

        def ask() -> None:
            left = [each for each in types if each not in found and each not in self.closed]
            self._list({each: pages[each] for each in left}, listing, found)

        self._patiently(ask)
        return list({blob.content_id: blob for blobs in found.values() for blob in blobs}.values())

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Obey a short throttling here: what was answered so far would be asked for again, and a
        round of many requests of which some are refused would never come to its blobs."""
        while True:
            try:
                return ask()
            except Throttled as error:
                if error.retry_after > _SHORT_WAIT or self.waits >= _WAITS:
                    raise
                self.waits += 1
                self.client.pause(error.retry_after)
                self.still_ours()

    def _list(
        self, asked: Mapping[str, Pages], listing: Listing, found: dict[str, list[Blob]]
    ) -> None:
        """All content types `asked` side by side, into `found`; the pages that came are kept. The
        first error is kept; the throttled one that asks for the longest rest ends it, and one that
        needs a person closes its content type only. Of a listing without end the blobs are kept."""
        futures: dict[str, Future[list[Blob]]] = {
            content_type: self.pool.submit(
                listed_blobs,
                self.client,
                self.subscriptions,
                content_type,
                listing,
                self.still_ours,
                pages,
            )
            for content_type, pages in asked.items()
        }
        errors: list[TrailkeeperError] = []
        for content_type, future in futures.items():
            try:
                found[content_type] = future.result()
                self.listed.add(content_type)
            except LeaseLost:
                raise
            except NeedsPerson as error:
                self.closed[content_type] = error
                self.subscriptions.forget(self.client.tenant)
            except EndlessListing as error:
                found[content_type] = list(error.blobs)
                self.refused = self.refused or error
            except TrailkeeperError as error:
                errors.append(error)
        throttled = [error for error in errors if isinstance(error, Throttled)]
        if throttled:
            raise max(throttled, key=lambda error: error.retry_after)
        self.refused = self.refused or next(iter(errors), None)

    def _fetched(self, listed: Sequence[Blob], listing: Listing) -> datetime | None:
        """Fetch what is not done; what is known to be missing keeps its hour from being proven."""
        self.blobs += len(listed)
        work = self.ledger.list_blobs(self.client.tenant, listed, listing.window, self.clock.now())
        self.fetching.troubles += [Trouble(m.created_at, m.lost, m.evidence) for m in work.missing]
        fresh = {blob.content_id: blob.uri for blob in listed}
        todo = [replace(blob, uri=fresh.get(blob.content_id, blob.uri)) for blob in work.todo]
        return self.fetching.run(todo)


def _why(summary: str, code: str) -> str:
    """The same on the day of the refusal and while it lasts, so that coverage is one stretch."""
    return f"{summary.rstrip('.')} [{code}]"


def _first(closed: Mapping[str, NeedsPerson], resting: Mapping[str, Parking]) -> NeedsPerson:
    """Why no content type can be read, in the words of one of them."""
    for error in closed.values():
        return error
    parking = next(iter(resting.values()))
    return NeedsPerson(parking.summary, parking.remedy, parking.code)
