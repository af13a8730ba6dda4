"""What a pull leaves over: who asks for it, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trailkeeper.errors import Throttled
from trailkeeper.model.segment import Finding, Leased, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window
from trailkeeper.ports import Pulled
from trailkeeper.steps.pull import follow_ups
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FEED = Stream("contoso", Source.ACTIVITY)
POLLED = Window(NOW - 10 * MINUTE, NOW, Axis.AVAILABLE)
PROVEN = Finding(Window(NOW - 10 * MINUTE, NOW - 6 * MINUTE, Axis.AVAILABLE), Verdict.COMPLETE, NOW)
LARGE = 24 << 20


@pytest.fixture
def poll(ledger: SqlLedger) -> Leased:
    ledger.plan(FEED, lambda frontier: [NewSegment(FEED, POLLED, Purpose.INCREMENTAL)], NOW)
    (due,) = ledger.due(NOW, 9, 9, FEED)
    leased = ledger.lease(due.id, "worker", NOW, NOW + MINUTE, 1)
    assert leased is not None
    return leased


def test_the_rest_of_a_large_poll_is_a_backlog(poll: Leased) -> None:
    """In pieces or in one, it is due now and no poll, which would hold up the next."""
    cut = NOW - 3 * MINUTE
    for cuts, pieces in (([cut], 2), ([], 1)):
        found = follow_ups(poll, Pulled((PROVEN,), 9, cuts=cuts), NOW, LARGE)
        assert [(each.purpose, each.due_at) for each in found] == [(Purpose.BACKFILL, NOW)] * pieces


def test_the_rest_of_a_throttled_poll_is_a_backlog(poll: Leased) -> None:
    """Due when the rest is over; nobody has announced it, and nothing takes it for announced."""
    throttled = Throttled("too much", "wait", "AF429", "", 20.0)
    (found,) = follow_ups(poll, Pulled((PROVEN,), 9, interrupted=throttled), NOW, LARGE)
    assert found.purpose is Purpose.BACKFILL
    assert found.due_at == NOW + timedelta(seconds=20)


def test_what_the_service_does_not_answer_for_yet_stays_a_poll(poll: Leased) -> None:
    """A few seconds at the end, after little was landed: its next look is no sooner than a
    minute's, and the next poll comes after it."""
    (found,) = follow_ups(poll, Pulled((PROVEN,), 9), NOW, 1000)
    assert found.purpose is Purpose.INCREMENTAL
