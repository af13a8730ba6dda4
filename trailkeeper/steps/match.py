"""Match what two sources brought of a tenant, a day at a time, and keep what was found.

Days are matched again, at most daily, until every re-read of them is over; from then on their match
is kept for ever, and the sightings behind it go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import structlog

from trailkeeper.model.coverage import Coverage
from trailkeeper.model.measures.match import TOPIC, DayMatch, Match
from trailkeeper.model.sources import known_rules, rules_of
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Axis, Window, subtract
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.measures import Measures
from trailkeeper.ports.notes import Notebook
from trailkeeper.ports.planning import Watermarks
from trailkeeper.ports.proof import Proof
from trailkeeper.settings import TenantSettings
from trailkeeper.steps.arrivals import lateness_of, learning_streams
from trailkeeper.steps.cover import CoverStep

log = structlog.get_logger()


class MatchLedger(Watermarks, Proof, Measures, Notebook, Protocol):
    """What matching needs of the ledger."""


DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AGAIN_AFTER = timedelta(hours=20)
"""a day that is not final is matched once a day"""


@dataclass(frozen=True, slots=True)
class MatchStep:
    ledger: MatchLedger
    lake: Lake
    cover: CoverStep
    clock: Clock

    def __call__(self, tenant: TenantSettings, *, at_once: bool = False) -> int:
        """Match the days of one tenant that are due; `at_once`: all that are not final. How many.

        Nothing for a tenant with one source. Running twice gives the same. The lake is only read:
        what matching needs no more goes with `then_forget`.
        """
        matched = _matched(tenant)
        extents = [self.ledger.extent(stream) for stream in matched]
        if not matched or None in extents:
            return 0
        now = self.clock.now()
        begin = max(extent.start for extent in extents if extent).date()
        days = _days(max(begin, self._forgotten_before(tenant.name, begin)), now.date())
        kept = self.ledger.measures(tenant.name, TOPIC, begin, now.date())
        open_from = self._open_from(tenant.name, now)
        due = [day for day in days if _is_due(kept.get(day), now, at_once, day < open_from)]
        days_matched = sum(
            self._day(tenant, matched, day, now, final=day < open_from) for day in due
        )
        if days_matched:
            log.info("days_matched", tenant=tenant.name, days=days_matched)
        return days_matched

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
        if not _matched(tenant):
            return
        if before > self._forgotten_before(tenant.name, date.min):
            self.ledger.note(_forgotten_key(tenant.name), before.isoformat(), now)
        self.lake.forget_sightings(tenant.name, before)

    def _day(
        self,
        tenant: TenantSettings,
        matched: Sequence[Stream],
        day: date,
        now: datetime,
        *,
        final: bool,
    ) -> bool:
        """Whether the day has anything to keep: a settled hour, or nothing more to come."""
        start = datetime.combine(day, time(), UTC)
        hours = self._settled(tenant.name, matched, start)
        if not hours and not final:
            return False
        since = {stream.source: self._begun_at(stream) for stream in matched}
        ignored = tuple(
            kind for stream in matched for kind in rules_of(stream.source).left_out(tenant.dlp)
        )
        match = self.lake.match(tenant.name, hours, since, ignored) if hours else Match()
        text = DayMatch(match, now, final).to_text()
        self.ledger.measure(tenant.name, TOPIC, day, text, now)
        return True

    def _settled(self, tenant: str, matched: Sequence[Stream], start: datetime) -> list[datetime]:
        """Hours of the day that every source read to the end, when nothing late was expected.

        Of a source that is asked by availability, everything that became available until then:
        what occurred in an hour is listed in it or after.
        """
        settle = self.cover.settle_of(tenant)
        hours = [start + number * HOUR for number in range(24)]
        for stream in matched:
            hours = self._settled_in(stream, start, settle, hours) if hours else []
        return hours

    def _settled_in(
        self, stream: Stream, start: datetime, settle: timedelta, hours: Sequence[datetime]
    ) -> list[datetime]:
        """Those of `hours` that one source read to the end."""
        axis = stream.source.axis
        if axis is Axis.OCCURRED:
            read = self.cover.of_stream(stream, Window(start, start + DAY, axis))
            return [h for h in hours if _is_settled(read, Window(h, h + HOUR, axis))]
        read = self.cover.of_stream(stream, Window(start, start + DAY + settle, axis))
        return [h for h in hours if _is_proven(read, Window(h, h + HOUR + settle, axis))]

    def _begun_at(self, stream: Stream) -> datetime | None:
        watermark = self.ledger.watermark(stream)
        return watermark.begun_at if watermark else None

    def _open_from(self, tenant: str, now: datetime) -> date:
        """The first day of which a planned re-read may still bring something."""
        collection = self.cover.collection
        known = (lateness_of(self.ledger, stream) for stream in learning_streams(tenant))
        ages = [age for each in known for age in each.ages(collection.reread_after)]
        rereads = [age for age in ages if age is not None]
        last = max([collection.settle, *rereads, *collection.feed_relist_after])
        return (now - last - 2 * DAY).date()


def _matched(tenant: TenantSettings) -> list[Stream]:
    """The streams whose records are matched: two or more, or none."""
    rules = known_rules()
    found = [
        Stream(tenant.name, source)
        for source in rules
        if source in tenant.sources and rules[source].matched
    ]
    return found if len(found) > 1 else []


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
