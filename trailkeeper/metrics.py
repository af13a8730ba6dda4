"""A handful of gauges in a file, for node_exporter's textfile collector.

A file and not a port: the service is several short-lived processes, and whoever scrapes wants one
answer. It is written at every collect tick, about once a minute, by the worker that took it;
`node_textfile_mtime_seconds` tells its age.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from trailkeeper.ports.clock import Clock
from trailkeeper.ports.reading import Reading
from trailkeeper.settings import Settings
from trailkeeper.steps.warn import noted_certificates

log = structlog.get_logger()

FILE = "trailkeeper.prom"
_SLOTS = ("certificate", "next_certificate")


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything comes from the ledger: what one worker saw, every worker writes."""

    settings: Settings
    ledger: Reading
    clock: Clock
    path: Path

    def __call__(self) -> None:
        """Replace the file, whole. A disk that refuses is logged: no work may wait for it."""
        registry = CollectorRegistry()
        self._certificates(registry, self.clock.now())
        self._segments(registry)
        self._parked(registry)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_to_textfile(str(self.path), registry)
        except OSError as error:
            log.warning("metrics_write_failed", reason=(error.strerror or str(error)).lower())

    def _certificates(self, registry: CollectorRegistry, now: datetime) -> None:
        expires = Gauge(
            "trailkeeper_certificate_expires_seconds",
            "Seconds until the certificate ends; absent for one that cannot be used.",
            ("tenant", "slot"),
            registry=registry,
        )
        usable = Gauge(
            "trailkeeper_certificate_usable",
            "1 if the certificate could be used at the last hourly look, else 0.",
            ("tenant", "slot"),
            registry=registry,
        )
        noted = noted_certificates(self.ledger)
        for tenant in self.settings.tenants.values():
            for slot in _SLOTS[: 2 if tenant.next_certificate else 1]:
                if note := noted.get((tenant.name, slot)):
                    usable.labels(tenant.name, slot).set(note.expires_at is not None)
                    if note.expires_at:
                        left = (note.expires_at - now).total_seconds()
                        expires.labels(tenant.name, slot).set(left)

    def _segments(self, registry: CollectorRegistry) -> None:
        overview = self.ledger.overview()
        segments = Gauge(
            "trailkeeper_segments",
            "Segments that are not finished, by state.",
            ("state",),
            registry=registry,
        )
        landed = Gauge(
            "trailkeeper_stream_landed_timestamp_seconds",
            "When one of the stream's newest windows landed last; absent before the first.",
            ("tenant", "source", "content_type"),
            registry=registry,
        )
        for state, count in overview.unfinished.items():
            segments.labels(state.value).set(count)
        for stream, landed_at in overview.landed_at.items():
            if landed_at and stream.tenant in self.settings.tenants:
                names = (stream.tenant, stream.source.value, stream.content_type)
                landed.labels(*names).set(landed_at.timestamp())

    def _parked(self, registry: CollectorRegistry) -> None:
        parked = Gauge(
            "trailkeeper_tenants_parked",
            "Tenants of which a source, or all of it, stands still until a person acts.",
            registry=registry,
        )
        parked.set(len({parking.tenant for parking in self.ledger.parkings()}))
