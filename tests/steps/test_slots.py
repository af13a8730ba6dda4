"""The places of a stream, over a real ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.clocks import HandClock
from trailkeeper.errors import (
    ConfigurationError,
    LeaseLost,
    Lost,
    NeedsPerson,
    TrailkeeperError,
    Transient,
    Unavailable,
)
from trailkeeper.model.concurrency import START, ConcurrencyLimit
from trailkeeper.model.segment import Leased, NewSegment, Purpose, SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.steps.slots import Slots, SlotTurn
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
STREAM = Stream("contoso", Source.EXCHANGE)
MOST = 4


@pytest.fixture
def slots(ledger: SqlLedger) -> Slots:
    return Slots(ledger, HandClock(NOW), MOST)


def hours(start: int, end: int) -> Window:
    return Window(NOW + start * HOUR, NOW + end * HOUR)


class Away:
    """A ledger that nobody reaches."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def refuse(*_: object) -> None:
            raise Unavailable("the ledger is out of reach", "Wait.")

        return refuse


def test_a_ledger_that_is_away_for_a_moment_ends_no_pull(ledger: SqlLedger) -> None:
    """Slots are hints; only what is shared has to be in the ledger."""
    leased = taken(ledger, hours(0, 24))
    away = Slots(Away(), HandClock(NOW), MOST)  # type: ignore[arg-type]  # it refuses everything
    turn = SlotTurn(away, leased, ConcurrencyLimit(), lambda: None)
    turn.answered(clean=False)
    assert turn.room() == 0
    with pytest.raises(Unavailable):
        turn.share(hours(0, 12), [hours(12, 24)])


def taken(ledger: SqlLedger, window: Window) -> Leased:
    ledger.plan(STREAM, lambda _: [NewSegment(STREAM, window, Purpose.COLLECT)], NOW)
    [segment] = ledger.due(NOW, 1, MOST)
    leased = ledger.lease(segment.id, "worker", NOW, NOW + HOUR, MOST)
    assert leased is not None
    return leased


def turned(ledger: SqlLedger, slots: Slots, enqueue: Callable[[], None] = lambda: None) -> SlotTurn:
    leased = taken(ledger, hours(0, 24))
    return SlotTurn(slots, leased, slots.concurrency(STREAM), enqueue)


def test_the_pace_rises_while_a_pull_goes_on(ledger: SqlLedger, slots: Slots) -> None:
    """Each clean answer frees a slot, and others are called while there is a new one."""
    called: list[int] = []
    turn = turned(ledger, slots, lambda: called.append(turn.room()))
    assert turn.room() == int(START) - 1
    for _ in range(9):
        turn.answered(clean=True)
    assert called == [2, 3]
    assert turn.room() == MOST - 1
    turn.answered(clean=False)
    assert turn.room() == MOST // 2 - 1
    turn.ended(None)
    assert turn.room() == MOST // 2 - 1, "the answers have spoken already"


def test_a_source_that_says_nothing_is_taken_by_its_whole_pull(
    ledger: SqlLedger, slots: Slots
) -> None:
    """One clean pull of a feed wins a slot, one that failed takes half of them."""
    turn = turned(ledger, slots)
    turn.ended(None)
    assert slots.concurrency(STREAM).allows(MOST) == int(START) + 1
    turn = SlotTurn(slots, turn.leased, slots.concurrency(STREAM), lambda: None)
    turn.ended(Transient("HTTP 503", "Wait."))
    assert slots.concurrency(STREAM).allows(MOST) == 1


@pytest.mark.parametrize("ended", [NeedsPerson, ConfigurationError, Unavailable, Lost])
def test_what_is_not_the_service_s_trouble_leaves_the_pace(
    ledger: SqlLedger, slots: Slots, ended: type[TrailkeeperError]
) -> None:
    """A pull that a person or our own disk ended was neither clean nor too much for the service."""
    turn = turned(ledger, slots)
    turn.ended(ended("refused", "Consent."))
    assert slots.concurrency(STREAM) == ConcurrencyLimit()


def test_shared_parts_are_due_at_once(ledger: SqlLedger, slots: Slots) -> None:
    """What a pull gives away is planned under its purpose, and nobody owes any of it twice."""
    called: list[str] = []
    turn = turned(ledger, slots, lambda: called.append("others"))
    assert turn.share(hours(16, 24), [hours(8, 16), hours(0, 8)])
    assert called == ["others"]
    assert turn.leased.segment.window == hours(16, 24)
    stand = [(s.window, s.state) for s in ledger.unfinished("contoso", hours(0, 24))]
    planned = SegmentState.PLANNED
    assert stand == [
        (hours(0, 8), planned),
        (hours(8, 16), planned),
        (hours(16, 24), SegmentState.LEASED),
    ]
    assert {s.purpose for s in ledger.due(NOW, MOST, MOST)} == {Purpose.COLLECT}
    assert turn.room() == int(START) - 3, "segments that wait take the slots first"


def test_only_the_owner_can_share(ledger: SqlLedger, slots: Slots) -> None:
    """A pull whose segment was taken over gives nothing away any more."""
    turn = turned(ledger, slots)
    ledger.lease(turn.leased.segment.id, "another", NOW + HOUR, NOW + 2 * HOUR, MOST)
    with pytest.raises(LeaseLost):
        turn.share(hours(12, 24), [hours(0, 12)])
    assert [s.window for s in ledger.unfinished("contoso", hours(0, 24))] == [hours(0, 24)]


def test_newer_time_is_under_way_while_its_lease_lives(ledger: SqlLedger, slots: Slots) -> None:
    """Whoever came upon older time without a record waits for who asks for newer time: not for
    older time, not for what waits itself, and not for a worker that has died."""
    older = SlotTurn(slots, taken(ledger, hours(-24, 0)), ConcurrencyLimit(), lambda: None)
    assert not older.newer_under_way()
    newer = SlotTurn(slots, taken(ledger, hours(0, 24)), ConcurrencyLimit(), lambda: None)
    assert older.newer_under_way()
    assert not newer.newer_under_way()
    ledger.release(newer.leased.lease, NOW, "", counts_as_attempt=False)
    assert not older.newer_under_way()
    again = ledger.lease(newer.leased.segment.id, "worker", NOW, NOW + HOUR / 2, MOST)
    assert again
    assert older.newer_under_way()
    late = Slots(ledger, HandClock(NOW + HOUR / 2), MOST)
    assert not SlotTurn(late, older.leased, ConcurrencyLimit(), lambda: None).newer_under_way()
