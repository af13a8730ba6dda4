"""Say what is proven of a tenant's time, from the ledger alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from trailkeeper.model.coverage import Coverage, Stretch, derive
from trailkeeper.model.feed.lag import ContentLag
from trailkeeper.model.measures.match import TOPIC, Match, over_days
from trailkeeper.model.segment import MISSING, Segment, SegmentState, Verdict
from trailkeeper.model.sources import known_rules
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, union
from trailkeeper.ports.leasing import Segments
from trailkeeper.ports.measures import Measured
from trailkeeper.ports.notes import Notes
from trailkeeper.ports.parking import Parking, Standing
from trailkeeper.ports.planning import Watermarks
from trailkeeper.ports.proof import Proof
from trailkeeper.settings import CollectionSettings, TenantSettings
from trailkeeper.steps.arrivals import lateness_of, learning_streams
from trailkeeper.steps.plan import begins_at


class CoverLedger(Watermarks, Segments, Proof, Standing, Measured, Notes, Protocol):
    """What coverage needs of the ledger."""


UNREADABLE = "this version has no reader for this source"


@dataclass(frozen=True, slots=True)
class CoverStep:
    ledger: CoverLedger
    collection: CollectionSettings
    readable: frozenset[Source]

    def of_tenant(
        self, tenant: TenantSettings, now: datetime, asked: tuple[datetime, datetime] | None = None
    ) -> list[Coverage]:
        """Coverage of every configured source, over `asked` or over all that should be collected.

        A source that nothing was ever planned for, and no range asked, has no coverage to state.
        What lies before `since` and was never in reach, a mistyped year, is not what should be.
        """
        stated = []
        for source in tenant.sources:
            stream = Stream(tenant.name, source)
            window = Window(*asked, source.axis) if asked else self._extent(tenant, stream, now)
            if window:
                stated.append(self.of_stream(stream, window, now))
        return stated

    def of_month(
        self, tenant: TenantSettings, month: Window, now: datetime | None = None
    ) -> list[Coverage]:
        """Coverage of every configured source over what of a month is over by `now`, or all."""
        streams = (Stream(tenant.name, source) for source in tenant.sources)
        return [
            self.of_stream(stream, self.month_of(stream, month, now), now) for stream in streams
        ]

    def month_of(self, stream: Stream, month: Window, now: datetime | None = None) -> Window:
        """What has to be read of `stream` for a month of occurrences; by `now`, if it is given.

        The feed is asked by availability, which comes later: its hours reach past the month's end
        by the time in which late records are expected.
        """
        axis, end = stream.source.axis, month.end
        last = end + self.settle_of(stream.tenant) if axis is Axis.AVAILABLE else end
        if now is not None:
            last = max(min(end, now), min(last, now - self._patience))
        return Window(month.start, last, axis)

    def settle_of(self, tenant: str) -> timedelta:
        """How long late records are expected of this tenant; never shorter than configured."""
        usual, least = self.collection.reread_after, self.collection.settle
        known = (lateness_of(self.ledger, stream) for stream in learning_streams(tenant))
        return max((each.settle(usual, least) for each in known), default=least)

    @property
    def _patience(self) -> timedelta:
        """How far behind the clock a stream that is kept up to date may be."""
        collection = self.collection
        return 2 * collection.interval + collection.safety_lag + timedelta(minutes=5)

    def of_stream(self, stream: Stream, window: Window, now: datetime | None = None) -> Coverage:
        """`now`, if it is given, tells what of the rest the provider no longer has."""
        return derive(
            stream,
            window,
            self.ledger.findings(stream, window),
            settle=self.settle_of(stream.tenant),
            outstanding=[*self._outstanding(stream, window), *_out_of_reach(stream, window, now)],
            counts=self.ledger.counts(stream, window),
        )

    def measured(self, coverages: Iterable[Coverage]) -> list[Coverage]:
        """The same, with how long records were on their way and what matching found.

        Matches are kept by UTC day: of a range that begins within one, the whole day counts.
        """
        return [replace(each, lags=self._lags(each), match=self._match(each)) for each in coverages]

    def _lags(self, coverage: Coverage) -> tuple[ContentLag, ...]:
        rules = known_rules().get(coverage.stream.source)
        if rules is None or not rules.measures_delay:
            return ()
        return tuple(self.ledger.lags(coverage.stream.tenant, coverage.range))

    def _match(self, coverage: Coverage) -> Match | None:
        first, last = coverage.range.start.date(), coverage.range.end - timedelta(microseconds=1)
        kept = self.ledger.measures(coverage.stream.tenant, TOPIC, first, last.date())
        found = over_days(kept.items())
        return found if found and coverage.stream.source in found.missed else None

    def _extent(self, tenant: TenantSettings, stream: Stream, now: datetime) -> Window | None:
        """All that should be collected by now.

        While the service keeps a stream up to date, that reaches almost to now, so that a service
        that stands still shows; a stream that was only ever collected by hand ends where that did.
        """
        extent, watermark = self.ledger.extent(stream), self.ledger.watermark(stream)
        if extent is None:
            return None
        since = begins_at(tenant, now) if tenant.since else None
        if watermark is None:
            return Window(self._first_had(stream, extent, since), extent.end, extent.axis)
        planned = Window(watermark.first_at, max(extent.end, now - self._patience), extent.axis)
        if since is None or since <= planned.start:
            return planned
        return Window(self._first_had(stream, planned, since), planned.end, planned.axis)

    def _first_had(self, stream: Stream, window: Window, since: datetime | None) -> datetime:
        """Where that part of `window` begins that was ever within reach, or is wanted.

        Time that was in reach at any look, or waits for one, counts whatever became of it. What was
        lost from the first counts from `since` on; without `since` where it leads up to the rest.
        """
        starts = [s.window.start for s in self._unfinished(stream, window)]
        lost = []
        for finding in self.ledger.findings(stream, window):
            if finding.verdict is not Verdict.LOST or MISSING in finding.evidence:
                starts.append(finding.window.start)
            else:
                lost.append(finding.window)
        first = min(starts, default=window.start)
        for run in union(lost):
            if since and since < run.end:
                first = min(first, max(since, run.start))
            elif since is None and run.start < first <= run.end:
                first = run.start
        return max(window.start, first)

    def _unfinished(self, stream: Stream, window: Window) -> Iterator[Segment]:
        unfinished = self.ledger.unfinished(stream.tenant, window)
        return (segment for segment in unfinished if segment.stream == stream)

    def _outstanding(self, stream: Stream, window: Window) -> list[Stretch]:
        """Why parts are not collected, the most telling reason first."""
        reasons = []
        if stream.source not in self.readable:
            reasons.append(Stretch(window, UNREADABLE))
        reasons += [
            Stretch(window, _parked(p))
            for p in self.ledger.parkings(stream.tenant)
            if p.stops(stream.source)
        ]
        reasons += [
            Stretch(common, _waiting(segment))
            for segment in self._unfinished(stream, window)
            if (common := segment.window.intersect(window))
        ]
        return reasons


def _out_of_reach(stream: Stream, window: Window, now: datetime | None) -> Iterator[Stretch]:
    """What the source will never be asked for: its provider forgets, and others may have it."""
    rules = known_rules().get(stream.source)
    if now is None or rules is None or rules.oldest is None:
        return
    end = min(rules.oldest(now), window.end)
    if window.start < end:
        yield Stretch(Window(window.start, end, window.axis), rules.beyond_oldest, lost=True)


def _parked(parking: Parking) -> str:
    return f"parked: {parking.summary}"


def _waiting(segment: Segment) -> str:
    if segment.state is SegmentState.LANDED:
        return "received, not merged yet"
    if segment.state is SegmentState.LEASED:
        return "being collected now"
    return f"waiting to be asked again: {segment.error}" if segment.error else "not collected yet"
