"""What a clock that ran ahead wrote into the ledger, once it shows the right time again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.ledger_words import (
    CONTOSO,
    FABRIKAM,
    HOUR,
    MANY,
    MINUTE,
    T0,
    at,
    file_of,
    land,
    new,
    plan,
    take,
)
from trailkeeper.errors import LeaseLost
from trailkeeper.model.segment import Purpose
from trailkeeper.ports.ledger import Ledger
from trailkeeper.ports.parking import Parking
from trailkeeper.store.ledger import SqlLedger, open_ledger

AHEAD = T0 + 10 * MINUTE
LATE = at(72)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = open_ledger(database_url)
    yield opened
    opened.close()


def test_open_segments_of_time_to_come_are_dropped(ledger: Ledger) -> None:
    """The watermark goes back to where the first of them began; what is over, what was asked for
    and what has landed stays, and is due now or when its time is over."""
    fresh, reread = Purpose.INCREMENTAL, Purpose.REREAD
    plan(ledger, new(-2, purpose=fresh), new(-3, purpose=reread, round=1), now=LATE)
    plan(ledger, *(new(start, purpose=fresh) for start in (-0.5, 0.5, 40)), now=LATE)
    plan(ledger, new(30, purpose=reread, round=1), new(31, purpose=reread, round=2), now=LATE)
    plan(ledger, new(5, purpose=Purpose.COLLECT), now=LATE)
    plan(ledger, new(0, FABRIKAM, fresh, length=0.1), now=T0)
    assert ledger.set_back(T0, AHEAD) == {CONTOSO: at(41)}
    watermark = ledger.watermark(CONTOSO)
    assert watermark
    assert (watermark.fresh_until, watermark.begun_at) == (at(-0.5), T0)
    assert watermark.reread_until == (T0, T0)
    assert ledger.set_back(T0, AHEAD) == {}
    due = [s.window.start for s in ledger.due(T0, MANY, MANY, CONTOSO)]
    assert due == [at(-2), at(-3)]
    assert len(ledger.due(at(6), MANY, MANY, CONTOSO)) == 3


def test_who_pulls_time_to_come_has_lost_it(ledger: Ledger) -> None:
    """Nothing is proven of time that has not come."""
    plan(ledger, new(40, purpose=Purpose.INCREMENTAL), now=LATE)
    leased = take(ledger, LATE)
    ledger.set_back(T0, AHEAD)
    with pytest.raises(LeaseLost):
        land(ledger, leased)


def test_leases_merges_and_parkings_end_as_soon_as_any_other(ledger: Ledger) -> None:
    """A living worker renews its lease; what a dead one held is free when a lease of now would be.
    A parking that only a person lifts stays."""
    plan(ledger, new(-1), new(-2), now=LATE)
    take(ledger, LATE)
    land(ledger, take(ledger, LATE), file_of())
    assert ledger.open_merge("contoso", "dead", LATE, at(73), MANY)
    for tenant, retry_at in (("a", at(90)), ("b", at(20)), ("c", None)):
        ledger.park(Parking(tenant, None, LATE, "code", "", "", retry_at))
    ledger.shorten_waits(T0, HOUR, 24 * HOUR)
    assert ledger.due(at(0.9), MANY, MANY) == []
    assert ledger.open_merge("contoso", "living", at(0.9), at(2), MANY) is None
    assert len(ledger.due(at(1), MANY, MANY)) == 1
    assert ledger.open_merge("contoso", "living", at(1), at(2), MANY)
    assert [parking.retry_at for parking in ledger.parkings()] == [T0, at(20), None]
