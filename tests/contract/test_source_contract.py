"""The suite of sources, over the toys and over the sources of the product."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.clocks import HandClock
from tests.configured import Configured
from tests.contract.source import Sink, SourceCase, SourceContract
from tests.days import MONDAY
from tests.e2e.proving import SMALL, SkippingClock
from tests.plugins.toy_source import SlowToySource, ToySource, records
from trailkeeper.bootstrap import READABLE, World
from trailkeeper.errors import NeedsPerson, NotFinished, Transient
from trailkeeper.microsoft.exchange.source import ExchangeSource
from trailkeeper.model.stream import Source
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window, iso
from trailkeeper.ports.source import AuditSource
from trailkeeper.settings import load
from trailkeeper.steps.jobs import JobPull
from trailkeeper.store.ledger import SqlLedger

HOUR = timedelta(hours=1)
ORIGIN = datetime(2026, 10, 1, tzinfo=UTC)
PASSES = Transient("the shelf is being dusted", "It is asked again.")
STAYS = NeedsPerson("the shelf is locked", "Find the key.")
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), tenants=()) as running:
        yield running


def of_toys(window: Window) -> set[str]:
    return {json.loads(text)["Id"] for text in records(window, ORIGIN)}


class TestToy(SourceContract):
    @pytest.fixture
    def case(self) -> SourceCase:
        toy = ToySource(HandClock(ORIGIN + 24 * HOUR), ORIGIN)
        window = Window(ORIGIN + 6 * HOUR, ORIGIN + 9 * HOUR)

        def say(trouble: Transient | NeedsPerson) -> Callable[[], None]:
            return lambda: setattr(toy, "trouble", trouble)

        return SourceCase(toy, "contoso", window, lambda: of_toys(window), say(PASSES), say(STAYS))


class TestSlowToy(SourceContract):
    """A source that is asked by jobs is one like any other, once its job is done."""

    @pytest.fixture
    def case(self, ledger: SqlLedger) -> SourceCase:
        clock = HandClock(ORIGIN + 24 * HOUR)
        toy = SlowToySource(clock, ORIGIN)
        window = Window(ORIGIN + 6 * HOUR, ORIGIN + 9 * HOUR)
        pull = JobPull(toy, ledger, clock)

        def prepare() -> None:
            with suppress(NotFinished):
                pull.pull("contoso", window, Sink(), Turn())
            clock.time += HOUR

        def say(trouble: Transient | NeedsPerson) -> Callable[[], None]:
            return lambda: setattr(toy, "trouble", trouble)

        return SourceCase(
            pull, "contoso", window, lambda: of_toys(window), say(PASSES), say(STAYS), prepare
        )


class OfMicrosoft(SourceContract):
    """The adapter as bootstrap builds it, over the sandbox."""

    source: Source

    @pytest.fixture
    def tenant(self, box: Sandbox, tmp_path: Path) -> Configured:
        name = f"{self.source.value}{next(_NUMBERS)}"
        box.control.create_tenant(name)
        wanted = {"sources": [self.source.value]}
        return Configured(tmp_path / "conf", box, (name,), tenant=wanted, recipients=())

    @pytest.fixture
    def case(self, tenant: Configured) -> Iterator[SourceCase]:
        control, (name,) = tenant.box.control, tenant.tenants
        window = self.filled(tenant)
        world = World(load(tenant.write()), SkippingClock())
        yield SourceCase(
            self.of(world),
            name,
            window,
            lambda: self.truth(tenant, window),
            lambda: _asked(control.set_fault("server_error", name, times=0)),
            lambda: _asked(control.unregister(name)),
        )
        world.close()
        control.clear_faults()

    def of(self, world: World) -> AuditSource:
        return world.sources[self.source]

    def filled(self, tenant: Configured) -> Window:
        raise NotImplementedError

    def truth(self, tenant: Configured, window: Window) -> set[str]:
        raise NotImplementedError


def _asked(_: int) -> None:
    """What the sandbox answers is of no interest."""


class TestExchange(OfMicrosoft):
    """With a service in miniature, so that a window takes more than one question."""

    source = Source.EXCHANGE

    def of(self, world: World) -> AuditSource:
        return ExchangeSource(
            world.settings, world.tokens, world.sessions, world.clock, world.ledger, SMALL
        )

    def filled(self, tenant: Configured) -> Window:
        start = MONDAY + 9 * HOUR
        (name,) = tenant.tenants
        tenant.box.control.crowd(name, iso(start - HOUR), 1500, seconds=3 * 3600)
        return Window(start, start + HOUR)

    def truth(self, tenant: Configured, window: Window) -> set[str]:
        said = tenant.box.control.records(*tenant.tenants, iso(window.start), iso(window.end))
        return {each["Identity"] for each in said}


class TestActivity(OfMicrosoft):
    source = Source.ACTIVITY

    def filled(self, tenant: Configured) -> Window:
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        (name,) = tenant.tenants
        tenant.box.control.crowd(name, iso(now - 40 * HOUR), 20, seconds=6 * 3600)
        return Window(now - 41 * HOUR, now - 20 * HOUR)

    def truth(self, tenant: Configured, window: Window) -> set[str]:
        start, end = iso(window.start), iso(window.end)
        said = tenant.box.control.feed_truth(*tenant.tenants, start, end)
        return {each["Identity"] for each in said}


def test_every_source_of_the_product_is_tried() -> None:
    """A source that is added gets its class here."""
    assert {kind.source for kind in OfMicrosoft.__subclasses__()} == READABLE
