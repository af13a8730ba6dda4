"""A tenant of the sandbox, the steps that collect it, and what its export must hold.

The steps run in this process with a clock that never waits: a pause moves it on instead.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox import Sandbox
from tests.configured import Configured
from tests.days import MONDAY
from trailkeeper.bootstrap import READABLE, World
from trailkeeper.microsoft.exchange.source import ExchangeSource
from trailkeeper.model.coverage import Coverage
from trailkeeper.model.search.answer.rows import SearchLimits
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, iso
from trailkeeper.settings import load
from trailkeeper.steps.collect import Collected, CollectStep
from trailkeeper.steps.cover import CoverStep

DAY = timedelta(days=1)
SMALL = SearchLimits(cap=200, session_cap=2000, overlap_rows=10, retry_pause=1.0)
"""a service in miniature: every bound of the real one, divided by 25"""


class SkippingClock:
    """Real time plus everything that was slept; nobody waits."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self._ahead = ahead
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._ahead += timedelta(seconds=seconds)
        time.sleep(0.001)


@dataclass
class Proof:
    """What a collection said of itself, and what was stored."""

    came: Collected
    coverage: Coverage
    lines: list[str]
    """the export, one record each"""

    @property
    def ids(self) -> Counter[str]:
        return Counter(json.loads(line).get("Id") for line in self.lines)

    @property
    def complete(self) -> bool:
        return self.coverage.is_complete


@dataclass
class Subject:
    """One tenant: fill it, trouble it, collect it, and compare."""

    box: Sandbox
    folder: Path
    name: str
    window: Window = field(default_factory=lambda: Window(MONDAY, MONDAY + 2 * DAY))

    def fill(self, rate: int = 500, crowd: int = 0) -> None:
        """`rate` records a weekday, and `crowd` in one second of the first morning."""
        start, end = iso(self.window.start - DAY), iso(self.window.end + DAY)
        self.box.control.generate(self.name, start, end, rate)
        if crowd:
            at = iso(self.window.start + timedelta(hours=9, minutes=30))
            self.box.control.crowd(self.name, at, crowd)

    def truth(self) -> list[dict[str, str]]:
        """Every record of the window, arrived or not: Identity and AuditData as sent."""
        start, end = iso(self.window.start), iso(self.window.end)
        return self.box.control.records(self.name, start, end)

    def world(self, clock: SkippingClock | None = None, limits: SearchLimits = SMALL) -> World:
        world = World(load(self.folder), clock or SkippingClock())
        world.__dict__["sources"] = {
            Source.EXCHANGE: ExchangeSource(
                world.settings,
                world.tokens,
                world.sessions,
                world.clock,
                world.ledger,
                limits,
            )
        }
        return world

    def collect(
        self,
        limits: SearchLimits = SMALL,
        clock: SkippingClock | None = None,
        threads: int = 2,
        window: Window | None = None,
    ) -> Proof:
        """Plan, pull and merge the window as `trailkeeper collect` does, then export it."""
        world = self.world(clock, limits)
        try:
            return collected(world, self.name, window or self.window, threads)
        finally:
            world.close()

    def requests(self) -> dict[str, int]:
        """What the sandbox counted of this tenant, by kind of call."""
        counted: dict[str, dict[str, int]] = self.box.control.counters()["by_tenant"]
        return counted.get(self.name, {})


def collected(world: World, tenant: str, window: Window, threads: int = 2) -> Proof:
    stream = Stream(tenant, Source.EXCHANGE)
    step = CollectStep(
        ledger=world.ledger,
        clock=world.clock,
        pull=world.pull,
        merge=world.merge,
        owner=world.owner,
        threads=threads,
        known=world.settings.collection.known(threads),
        lease_length=world.settings.service.lease,
    )
    step.plan(tenant, [(stream, window)])
    came = step(tenant, [(stream, window)], lambda seen: None)
    cover = CoverStep(world.ledger, world.settings.collection, READABLE)
    out = io.BytesIO()
    world.lake.export_jsonl(tenant, window, out)
    return Proof(came, cover.of_stream(stream, window), out.getvalue().decode().splitlines())


def silently_short(proof: Proof, truth: list[dict[str, str]]) -> list[str]:
    """Ids of records inside proven time that the export lacks, or holds more than once."""
    ids = proof.ids
    return [
        record["Identity"]
        for record in truth
        if ids[record["Identity"]] != 1
        and any(w.contains(_moment(record)) for w in proof.coverage.complete)
    ]


def altered(proof: Proof, truth: list[dict[str, str]]) -> list[str]:
    """Ids of exported records whose text is not the text that was sent."""
    sent = {record["Identity"]: record["AuditData"] for record in truth}
    found: dict[str, str] = {}
    for line in proof.lines:
        fields: dict[str, Any] = json.loads(line)
        found[fields["Id"]] = line
    return [
        key
        for key, line in found.items()
        if key in sent and "AuditDataText" not in json.loads(line) and line != sent[key]
    ]


def _moment(record: dict[str, str]) -> datetime:
    occurred = json.loads(record["AuditData"])["CreationTime"]
    return datetime.fromisoformat(occurred).replace(tzinfo=UTC)


def configured(box: Sandbox, folder: Path, names: list[str]) -> Path:
    """One configuration for all of `names`, which it creates."""
    for name in names:
        box.control.create_tenant(name)
    return Configured(folder / "configuration", box, names).write()
