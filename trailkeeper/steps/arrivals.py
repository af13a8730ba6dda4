"""Measure how late a tenant's records arrive in the search, a day at a time, and learn from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import structlog

from trailkeeper.model.measures.lateness import (
    ON_TIME,
    REMEMBERED,
    Lateness,
    arrival_topic,
    day_to_text,
    first_looks,
    lateness_key,
    over_days,
    slowest,
)
from trailkeeper.model.sources import known_rules
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.measures import Measures
from trailkeeper.ports.notes import Notebook, Notes
from trailkeeper.ports.planning import Watermarks
from trailkeeper.ports.proof import Proof
from trailkeeper.settings import CollectionSettings, TenantSettings

log = structlog.get_logger()


class ArrivalLedger(Proof, Watermarks, Measures, Notebook, Protocol):
    """What measuring lateness needs of the ledger."""


_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ArrivalStep:
    ledger: ArrivalLedger
    lake: Lake
    collection: CollectionSettings
    clock: Clock

    def __call__(self, tenant: TenantSettings) -> int:
        """Measure the days of which every usual re-read is over; how many. Twice adds nothing."""
        return sum(self._of(stream) for stream in learning_streams(tenant.name))

    def _of(self, stream: Stream) -> int:
        watermark = self.ledger.watermark(stream)
        if watermark is None or not self.collection.reread_after:
            return 0
        now = self.clock.now()
        # Only of time that was young when it was first read: back-fill tells nothing of lateness.
        begun = watermark.begun_at.date() + _DAY
        kept = self.ledger.measures(stream.tenant, arrival_topic(stream), begun, now.date())
        measured = 0
        first = max([begun, (now - REMEMBERED).date(), *(day + _DAY for day in kept)])
        for day in self._due(first, now):
            start = datetime.combine(day, time(), UTC)
            window = Window(start, start + _DAY)
            looks = first_looks(self.ledger.findings(stream, window))
            found = self.lake.arrivals(stream.tenant, stream.source, window, looks, ON_TIME)
            self.ledger.measure(stream.tenant, arrival_topic(stream), day, day_to_text(found), now)
            measured += 1
        if measured:
            self._learn(stream, now)
        return measured

    def _due(self, first: date, now: datetime) -> Iterator[date]:
        over = now - self.collection.reread_after[-1] - 2 * _DAY
        day = first
        while datetime.combine(day, time(), UTC) <= over:
            yield day
            day += _DAY

    def _learn(self, stream: Stream, now: datetime) -> None:
        """A hint beside the counts of the merges: both are written whole, and measured again."""
        topic, since = arrival_topic(stream), (now - REMEMBERED).date()
        days = self.ledger.measures(stream.tenant, topic, since, now.date())
        arrived = slowest(len(days), over_days(days.values()))
        before = lateness_of(self.ledger, stream)
        if before.arrived != arrived:
            self.ledger.note(lateness_key(stream), replace(before, arrived=arrived).to_text(), now)
            ages = before.ages(self.collection.reread_after)
            after = replace(before, arrived=arrived).ages(self.collection.reread_after)
            if ages != after:
                hours = [age and age / timedelta(hours=1) for age in after]
                log.info("rereads_learned", tenant=stream.tenant, hours=hours)


def learning_streams(tenant: str) -> list[Stream]:
    """The tenant's streams that learn how late their records arrive."""
    learning = (source for source, rules in known_rules().items() if rules.learns_lateness)
    return [Stream(tenant, source) for source in learning]


def lateness_of(ledger: Notes, stream: Stream) -> Lateness:
    """What is known of how late a stream's records arrive; nothing at first."""
    noted = ledger.noted(lateness_key(stream))
    return Lateness.from_text(noted[0]) if noted else Lateness()
