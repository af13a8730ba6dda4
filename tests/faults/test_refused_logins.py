"""What becomes of a tenant whose login Entra refuses: every code of the table, through the pull."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.configured import Configured
from trailkeeper.bootstrap import SystemClock, World
from trailkeeper.errors import ConfigurationError
from trailkeeper.microsoft.http.fault_table import Kind
from trailkeeper.microsoft.identity.faults import AADSTS
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.settings import load
from trailkeeper.steps.pull import Outcome

NOW = datetime.now(UTC)
HOUR = Window(NOW - timedelta(hours=30), NOW - timedelta(hours=29))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One service with a tenant for each code, which Entra refuses with it."""
    place = tmp_path_factory.mktemp("refused")
    names = [f"t{code}" for code in AADSTS]
    with Sandbox(place / "box", tenants=names) as box:
        folder = Configured(place / "conf", box, names, recipients=()).write()
        for code in AADSTS:
            box.control.set_fault("aadsts", f"t{code}", times=0, calls=["token"], code=code)
        world = World(load(folder))
        yield world
        world.close()


@pytest.mark.parametrize("code", AADSTS)
def test_a_refused_login_ends_as_the_table_says(world: World, code: int) -> None:
    """Retried rows leave the segment due again, a person's rows park the tenant with the remedy;
    none is a bug, and no other tenant is touched."""
    stream, kind = Stream(f"t{code}", Source.EXCHANGE), AADSTS[code].kind
    new = NewSegment(stream, HOUR, Purpose.COLLECT, 0, NOW)
    world.ledger.plan(stream, lambda _: [new], NOW)
    [segment_id] = world.ledger.planned_ids([new])
    parked = len(world.ledger.parkings())
    outcome = Outcome.PARKED if kind is Kind.PERSON else Outcome.POSTPONED
    assert world.pull(segment_id, "worker") is outcome
    parkings = world.ledger.parkings(stream.tenant)
    if kind is Kind.PERSON:
        [parking] = parkings
        assert (parking.code, parking.remedy) == (f"AADSTS{code}", AADSTS[code].remedy)
    else:
        assert parkings == []
    assert len(world.ledger.parkings()) == parked + (kind is Kind.PERSON)
    [segment] = world.ledger.segments([segment_id])  # nothing is lost: it is asked again
    assert segment.state == "planned"


def test_a_certificate_file_that_stays_away_parks_its_tenant(tmp_path: Path) -> None:
    """A file that is being replaced is missed for a few attempts, each an error in the log; then
    the tenant is parked with the remedy, and goes on by itself within the hour it is there again.
    """
    with Sandbox(tmp_path / "box", tenants=["contoso"]) as box:
        folder = Configured(tmp_path / "conf", box, ["contoso"], recipients=()).write()
        [pfx] = folder.glob("*.pfx")
        pfx.rename(tmp_path / "elsewhere.pfx")
        clock = Shifted()
        world = World(load(folder), clock)
        stream = Stream("contoso", Source.EXCHANGE)
        new = NewSegment(stream, HOUR, Purpose.COLLECT, 0, clock.now())
        world.ledger.plan(stream, lambda _: [new], clock.now())
        [segment_id] = world.ledger.planned_ids([new])
        for _ in range(3):
            with pytest.raises(ConfigurationError, match=r"contoso\.pfx cannot be read"):
                world.pull(segment_id, "worker")
            assert world.ledger.parkings() == []
            clock.shift += timedelta(minutes=1)
        assert world.pull(segment_id, "worker") is Outcome.PARKED
        [parking] = world.ledger.parkings("contoso")
        assert "Check the path" in parking.remedy
        assert world.pull(segment_id, "worker") is Outcome.NOT_OURS
        (tmp_path / "elsewhere.pfx").rename(pfx)
        clock.shift += timedelta(hours=1)
        assert world.pull(segment_id, "worker") is Outcome.EMPTY
        assert world.ledger.parkings() == []
        world.close()


class Shifted(SystemClock):
    """The machine's clock, over an hour late and moved on by hand: right when the login is tried,
    since Entra looks at the assertion's time."""

    shift = timedelta(minutes=-64)

    def now(self) -> datetime:
        return super().now() + self.shift
