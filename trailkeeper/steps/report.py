"""Close a month: decide when it is due, state its figures and coverage, put it into the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import NAMESPACE_URL, uuid5

import structlog

from trailkeeper.errors import UsageError
from trailkeeper.model.coverage import Coverage, decisive, proves
from trailkeeper.model.report import Brand, Month, MonthReport, Rendered
from trailkeeper.model.segment import Purpose, Segment, SegmentState
from trailkeeper.model.stream import Stream
from trailkeeper.model.window import Window
from trailkeeper.ports.certificates import CertificateDates
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.leasing import Segments
from trailkeeper.ports.mail import Renderer
from trailkeeper.ports.outbox import Outbox
from trailkeeper.ports.parking import Standing
from trailkeeper.ports.planning import Watermarks
from trailkeeper.process.crash_points import durable
from trailkeeper.settings import Settings, TenantSettings
from trailkeeper.steps.cover import CoverStep
from trailkeeper.steps.identify import Require, anybody
from trailkeeper.steps.match import MatchStep
from trailkeeper.steps.review import ReviewStep

log = structlog.get_logger()


class ReportLedger(Watermarks, Segments, Standing, Protocol):
    """What a month's report needs of the ledger."""


_GRACES = 2
"""of `report_grace` pass before a month is reported although something is still under way"""
_NEARLY_WHOLE = timedelta(days=1)
"""a month whose collection began at most this late after its start is reported by itself"""


@dataclass(frozen=True, slots=True)
class ReportStep:
    """Reports of months; `folder` holds one folder per tenant and month."""

    settings: Settings
    ledger: ReportLedger
    outbox: Outbox
    lake: Lake
    renderer: Renderer
    cover: CoverStep
    clock: Clock
    folder: Path
    certificates: CertificateDates
    match: MatchStep
    review: ReviewStep
    require: Require = anybody

    def render(self, tenant: TenantSettings, month: Month, folder: Path | None = None) -> Rendered:
        """Render the month as it stands now. Raises `UsageError` for a month that has not begun,
        `ConfigurationError` when the tenant's name stands for another directory by now."""
        self.require(tenant.name)
        now = self.clock.now()
        window = month.window(tenant.zone)
        if window.start >= now:
            raise UsageError(
                f"{month} has not begun yet", "Name a month that has begun, as YYYY-MM."
            )
        self.match(tenant, at_once=True)
        coverage = self.coverage(tenant, window)
        before = self.coverage(tenant, month.previous().window(tenant.zone))
        brand = self.settings.brand
        report = MonthReport(
            tenant=tenant.name,
            domain=tenant.domain,
            month=month,
            timezone=tenant.report.timezone,
            window=window,
            figures=self.lake.figures(tenant.name, window, tenant.zone),
            coverage=tuple(self.cover.measured(coverage)),
            rendered_at=now,
            certificates=tuple(self.certificates.of(tenant.name)),
            review=self.review(tenant, month, coverage, before, now),
            name=tenant.report.name,
            language=tenant.report.language,
            brand=Brand(brand.name, brand.colour, brand.logo),
        )

        def write_csv(out: BinaryIO) -> int:
            return self.lake.export_csv(tenant.name, window, out)

        target = folder or self.folder / tenant.name / str(month)
        with durable("report.render"):
            rendered = self.renderer.render(report, target, write_csv)
        log.info(
            "report_rendered",
            tenant=tenant.name,
            month=str(month),
            records=report.figures.records,
            complete=report.is_complete,
        )
        return rendered

    def enqueue(self, tenant: TenantSettings, month: Month, *, again: bool = False) -> int | None:
        """Render and put into the outbox; None when this month is there already.

        Of a month that is not over it is a preliminary report, and the month's own still follows.
        """
        now = self.clock.now()
        preliminary = self._is_running(tenant, month)
        if not again and self.is_there(tenant, month):
            return None
        # A folder of its own: what waits in the outbox is not written over by a later rendering.
        folder = self.folder / tenant.name / str(month) / f"{now:%Y%m%dT%H%M%S%fZ}"
        rendered = self.render(tenant, month, folder)
        outbox_id = self.outbox.enqueue(
            tenant.name,
            month,
            _message_id(tenant, month, now if again or preliminary else None),
            tenant.report.to,
            rendered,
            now,
            again=again,
            preliminary=preliminary,
        )
        if outbox_id is not None:
            log.info("report_queued", tenant=tenant.name, month=str(month), outbox=outbox_id)
        return outbox_id

    def is_there(self, tenant: TenantSettings, month: Month) -> bool:
        """Whether the outbox has the month's report; of a running month, any."""
        if self._is_running(tenant, month):
            return self.outbox.newest(tenant.name, month) is not None
        return self.outbox.reported(tenant.name, month)

    def _is_running(self, tenant: TenantSettings, month: Month) -> bool:
        return self.clock.now() < month.window(tenant.zone).end

    def coverage(self, tenant: TenantSettings, window: Window) -> list[Coverage]:
        """Every source's coverage of the month's hours, each on its own axis."""
        return self.cover.of_month(tenant, window, self.clock.now())


def _message_id(tenant: TenantSettings, month: Month, asked_at: datetime | None) -> str:
    """The same for every try of one report, so that a second copy can be recognised."""
    name = f"{tenant.tenant_id}/{month}" + (f"/{asked_at.isoformat()}" if asked_at else "")
    return str(uuid5(NAMESPACE_URL, name))


@dataclass(frozen=True, slots=True)
class CloseMonths:
    """Which months are due: ended where the tenant lives, settled, and not reported yet."""

    settings: Settings
    ledger: ReportLedger
    outbox: Outbox
    cover: CoverStep

    def due(self, now: datetime) -> Iterator[tuple[TenantSettings, Month]]:
        for name, tenant in self.settings.tenants.items():
            yield from ((tenant, month) for month in self.of_tenant(name, now))

    def of_tenant(self, name: str, now: datetime) -> Iterator[Month]:
        """The months of one tenant; none for a tenant that is configured no more."""
        tenant = self.settings.tenants.get(name)
        if tenant and tenant.report.to and self.settings.mail:
            yield from self._due_of(tenant, now)

    def _due_of(self, tenant: TenantSettings, now: datetime) -> Iterator[Month]:
        begun = [f for s in self._streams(tenant) if (f := self.ledger.watermark(s))]
        if not begun:
            return
        first_at = min(watermark.first_at for watermark in begun)
        begun_at = max(watermark.begun_at for watermark in begun)
        month, current = Month.of(first_at, tenant.zone), Month.of(now, tenant.zone)
        while month < current:
            window = month.window(tenant.zone)
            if (
                first_at <= window.start + _NEARLY_WHOLE
                and not self.outbox.reported(tenant.name, month)
                and self._is_due(tenant, window, begun_at, now)
            ):
                yield month
            month = month.next()

    def _is_due(
        self, tenant: TenantSettings, window: Window, begun_at: datetime, now: datetime
    ) -> bool:
        collection = self.settings.collection
        if now < window.end + self.cover.settle_of(tenant.name):
            return False
        coverage = self.cover.of_month(tenant, window)
        if proves(coverage) and not any(_is_provisional(c, window) for c in decisive(coverage)):
            return True
        waited = now - max(window.end, begun_at)
        if waited >= _GRACES * collection.report_grace:
            return True  # whatever still hangs: a report with its gaps named, and not none
        return waited >= collection.report_grace and not self._in_flight(tenant, window)

    def _in_flight(self, tenant: TenantSettings, month: Window) -> bool:
        """Whether something that has not failed yet is still to come in for the month."""
        parkings = self.ledger.parkings(tenant.name)
        return any(
            _fresh(segment)
            for stream in self._streams(tenant)
            if not any(parking.stops(stream.source) for parking in parkings)
            for segment in self.ledger.unfinished(tenant.name, self.cover.month_of(stream, month))
            if segment.stream == stream
        )

    def _streams(self, tenant: TenantSettings) -> list[Stream]:
        return [Stream(tenant.name, source) for source in tenant.sources]


def _is_provisional(coverage: Coverage, month: Window) -> bool:
    """Late records may still come for the month itself, not only for the hours after it."""
    return any(window.start < month.end for window in coverage.provisional)


def _fresh(segment: Segment) -> bool:
    if segment.state is not SegmentState.PLANNED:
        return True
    return segment.attempts == 0 and segment.purpose is not Purpose.RETRY
