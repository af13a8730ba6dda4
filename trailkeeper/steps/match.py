"""Match what two sources brought of a tenant, a day at a time, and keep what was found.

Days are matched again, at most daily, until every re-read of them is over; from then on their match
is kept for ever, and the sightings behind it go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog

from trailkeeper.model.coverage import Coverage
from trailkeeper.model.feed import DLP_RECORD_TYPES
from trailkeeper.model.match import TOPIC, DayMatch, Match
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, subtract
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.ledger import Ledger
from trailkeeper.settings import TenantSettings
from trailkeeper.steps.arrivals import lateness_of
from trailkeeper.steps.cover import CoverStep

log = structlog.get_logger()

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AGAIN_AFTER = timedelta(hours=20)
"""a day that is not final is matched once a day"""


@dataclass(frozen=True, slots=True)
class MatchStep:
    ledger: Ledger
    lake: Lake
    cover: CoverStep
    clock: Clock

    def __call__(self, tenant: TenantSettings, *, at_once: bool = False) -> int:
        """Match the days of one tenant that are due; `at_once`: all that are not final. How many.

        Nothing for a tenant with one source. Running twice gives the same. The lake is only read:
        what matching needs no more goes with `then_forget`.
        """
        pair = _pair(tenant)
        extents = [self.ledger.extent(stream) for stream in pair]
        if not pair or None in extents:
            return 0
        now = self.clock.now()
        begin = max(extent.start for extent in extents if extent).date()
        days = _days(max(begin, self._forgotten_before(tenant.name, begin)), now.date())
        kept = self.ledger.measures(tenant.name, TOPIC, begin, now.date())
        open_from = self._open_from(tenant.name, now)
        due = [day for day in days if _is_due(kept.get(day), now, at_once, day < open_from)]
        matched = sum(self._day(tenant, pair, day, now, final=day < open_from) for day in due)
        if matched:
            log.info("days_matched", tenant=tenant.name, days=matched)
        return matched

    def _forgotten_before(self, tenant: str, begin: date) -> date:
        """Days before this one have no sightings any more, and cannot be matched."""
        noted = self.ledger.noted(_forgotten_key(tenant))
        return date.fromisoformat(noted[0]) if noted else begin

    def then_forget(self, tenant: TenantSettings) -> None:
        """Match what is due, then let go the sightings of days that were final before.

        A day that closes meanwhile keeps them until it is matched for good. Raises as `_forget`.
        """
        now = self.clock.now()
        self(tenant)
        self._forget(tenant, now)

    def _forget(self, tenant: TenantSettings, now: datetime) -> None:
        """Let go the sightings of days that were final at `now`, and have been matched since.

        Said before it is done: what might be gone is not matched. Raises `Transient` when another
        writer of the lake was faster; the next call does what is left.
        """
        before = self._open_from(tenant.name, now)
        if not _pair(tenant):
            return
        if before > self._forgotten_before(tenant.name, date.min):
            self.ledger.note(_forgotten_key(tenant.name), before.isoformat(), now)
        self.lake.forget_sightings(tenant.name, before)

    def _day(
        self,
        tenant: TenantSettings,
        pair: Sequence[Stream],
        day: date,
        now: datetime,
        *,
        final: bool,
    ) -> bool:
        """Whether the day has anything to keep: a settled hour, or nothing more to come."""
        start = datetime.combine(day, time(), UTC)
        hours = self._settled(tenant.name, pair, start)
        if not hours and not final:
            return False
        since = {stream.source: self._begun_at(stream) for stream in pair}
        ignored = () if tenant.dlp else DLP_RECORD_TYPES
        match = self.lake.match(tenant.name, hours, since, ignored) if hours else Match()
        text = DayMatch(match, now, final).to_text()
        self.ledger.measure(tenant.name, TOPIC, day, text, now)
        return True

    def _settled(self, tenant: str, pair: Sequence[Stream], start: datetime) -> list[datetime]:
        """Hours of the day that both sources read to the end, when nothing late was expected.

        Of the feed, everything that became available until then: what occurred in an hour is
        listed in it or after.
        """
        occurred, available = pair
        settle = self.cover.settle_of(tenant)
        search = self.cover.of_stream(occurred, Window(start, start + DAY, Axis.OCCURRED))
        feed = self.cover.of_stream(available, Window(start, start + DAY + settle, Axis.AVAILABLE))
        hours = [start + number * HOUR for number in range(24)]
        return [
            hour
            for hour in hours
            if _is_settled(search, Window(hour, hour + HOUR, Axis.OCCURRED))
            and _is_proven(feed, Window(hour, hour + HOUR + settle, Axis.AVAILABLE))
        ]

    def _begun_at(self, stream: Stream) -> datetime | None:
        frontier = self.ledger.frontier(stream)
        return frontier.begun_at if frontier else None

    def _open_from(self, tenant: str, now: datetime) -> date:
        """The first day of which a planned re-read may still bring something."""
        collection = self.cover.collection
        ages = lateness_of(self.ledger, tenant).ages(collection.reread_after)
        rereads = [age for age in ages if age is not None]
        last = max([collection.settle, *rereads, *collection.feed_relist_after])
        return (now - last - 2 * DAY).date()


def _pair(tenant: TenantSettings) -> list[Stream]:
    """The search and the feed of one tenant, where it has both."""
    wanted = (Source.EXCHANGE, Source.ACTIVITY)
    both = all(source in tenant.sources for source in wanted)
    return [Stream(tenant.name, source) for source in wanted] if both else []


def _is_due(text: str | None, now: datetime, at_once: bool, over: bool) -> bool:
    if text is None:
        return True
    kept = DayMatch.from_text(text)
    return not kept.final and (at_once or over or now - kept.matched_at >= AGAIN_AFTER)


def _days(first: date, last: date) -> list[date]:
    return [first + number * DAY for number in range((last - first).days + 1)]


def _forgotten_key(tenant: str) -> str:
    return f"sightings_forgotten/{tenant}"


def _is_settled(coverage: Coverage, window: Window) -> bool:
    return not subtract([window], subtract(coverage.complete, coverage.provisional))


def _is_proven(coverage: Coverage, window: Window) -> bool:
    return not subtract([window], coverage.complete)
