"""What a pull leaves over: who asks for it, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.clocks import HandClock
from trailkeeper.errors import NeedsPerson, Throttled, TrailkeeperError, Transient
from trailkeeper.model.segment import (
    Finding,
    Lease,
    Leased,
    NewSegment,
    Purpose,
    Segment,
    SegmentState,
    Verdict,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Axis, Window
from trailkeeper.ports.source import Pulled, RecordSink
from trailkeeper.steps.pull import PullStep, follow_ups
from trailkeeper.steps.slots import Slots
from trailkeeper.store.landing import FileLanding
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FEED = Stream("contoso", Source.ACTIVITY)
POLLED = Window(NOW - 10 * MINUTE, NOW, Axis.AVAILABLE)
PROVEN = Finding(Window(NOW - 10 * MINUTE, NOW - 6 * MINUTE, Axis.AVAILABLE), Verdict.COMPLETE, NOW)
LARGE = 24 << 20


@pytest.fixture
def poll(ledger: SqlLedger) -> Leased:
    ledger.plan(FEED, lambda watermark: [NewSegment(FEED, POLLED, Purpose.INCREMENTAL)], NOW)
    (due,) = ledger.due(NOW, 9, 9, FEED)
    leased = ledger.lease(due.id, "worker", NOW, NOW + MINUTE, 1)
    assert leased is not None
    return leased


@pytest.mark.parametrize("error", [None, Transient("reset", "wait")])
def test_the_log_speaks_of_what_was_not_shared(
    ledger: SqlLedger, tmp_path: Path, error: Transient | None
) -> None:
    """A pull that gave a part away proves, or owes, only what it kept."""
    whole, kept = Window(NOW - 4 * MINUTE, NOW), Window(NOW - MINUTE, NOW)
    given = Window(whole.start, kept.start)

    class Sharing:
        source = Source.EXCHANGE

        def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
            assert turn.share(kept, [given])
            found = () if error else (Finding(kept, Verdict.COMPLETE, NOW),)
            return Pulled(found, 1, interrupted=error)

    search = Stream("contoso", Source.EXCHANGE)
    ledger.plan(search, lambda _: [NewSegment(search, whole, Purpose.COLLECT)], NOW)
    (due,) = ledger.due(NOW, 9, 9, search)
    sources = {Source.EXCHANGE: Sharing()}
    pull = PullStep(ledger, FileLanding(tmp_path), sources, HandClock(NOW), MINUTE, 3)  # type: ignore[arg-type]  # `check` is not called
    with capture_logs(processors=[merge_contextvars]) as said:
        pull(due.id, "worker")
    assert said[-1]["event"] == ("segment_postponed" if error else "segment_landed")
    assert said[-1]["window"] == str(kept)
    owed = [segment.window for segment in ledger.unfinished("contoso", whole)]
    assert owed == ([given, kept] if error else [given])


PERSON = NeedsPerson("consent is missing", "Grant it.")


@pytest.mark.parametrize(
    ("error", "places"),
    [(None, 3), (Transient("reset"), 1), (Throttled("AF429"), 1), (PERSON, 2)],
)
@pytest.mark.parametrize("proven", [(), (PROVEN,)])
def test_only_the_service_s_strength_moves_the_pace(
    ledger: SqlLedger,
    tmp_path: Path,
    error: TrailkeeperError | None,
    places: int,
    proven: tuple[Finding, ...],
) -> None:
    """A pull that stops because a person is needed is neither clean nor trouble."""

    class Stopped:
        source = Source.ACTIVITY

        def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
            return Pulled(proven, 1, interrupted=error)

    ledger.plan(FEED, lambda _: [NewSegment(FEED, POLLED, Purpose.INCREMENTAL)], NOW)
    (due,) = ledger.due(NOW, 9, 9, FEED)
    sources = {Source.ACTIVITY: Stopped()}
    clock = HandClock(NOW)
    pull = PullStep(ledger, FileLanding(tmp_path), sources, clock, MINUTE, 9)  # type: ignore[arg-type]  # `check` is not called
    pull(due.id, "worker")
    assert Slots(ledger, clock, 9).concurrency(FEED).allows(9) == places


def test_the_rest_of_a_large_poll_is_a_backlog(poll: Leased) -> None:
    """In pieces or in one, it is due now and no poll, which would hold up the next."""
    cut = NOW - 3 * MINUTE
    for cuts, pieces in (([cut], 2), ([], 1)):
        found = follow_ups(poll, Pulled((PROVEN,), 9, cuts=cuts), NOW, LARGE)
        assert [(each.purpose, each.due_at) for each in found] == [(Purpose.BACKFILL, NOW)] * pieces


def test_the_rest_of_a_throttled_poll_is_a_backlog(poll: Leased) -> None:
    """Due when the rest is over; nobody has enqueued it, and nothing takes it for enqueued."""
    throttled = Throttled("too much", "wait", "AF429", "", 20.0)
    (found,) = follow_ups(poll, Pulled((PROVEN,), 9, interrupted=throttled), NOW, LARGE)
    assert found.purpose is Purpose.BACKFILL
    assert found.due_at == NOW + timedelta(seconds=20)


def test_what_the_service_does_not_answer_for_yet_stays_a_poll(poll: Leased) -> None:
    """A few seconds at the end, after little was landed: its next look is no sooner than a
    minute's, and the next poll comes after it."""
    (found,) = follow_ups(poll, Pulled((PROVEN,), 9), NOW, 1000)
    assert found.purpose is Purpose.INCREMENTAL


def _suspect(round_: int) -> tuple[NewSegment, ...]:
    """What follows the retry of this round when it is suspect all the same."""
    search = Stream("contoso", Source.EXCHANGE)
    window = Window(NOW - MINUTE, NOW)
    purpose = Purpose.RETRY if round_ else Purpose.COLLECT
    segment = Segment(1, search, window, purpose, round_, SegmentState.LEASED, NOW, 0)
    leased = Leased(segment, Lease(1, "worker", 1, NOW + MINUTE))
    pulled = Pulled((Finding(window, Verdict.SUSPECT, NOW, "two answers differ"),), 1)
    return tuple(follow_ups(leased, pulled, NOW))


def test_suspect_time_is_asked_for_again_for_a_week_and_more() -> None:
    """After half a minute first, then ever later: rows may take days to show. Then it stays."""
    again = [follow_up for round_ in range(7) for follow_up in _suspect(round_)]
    assert [(each.purpose, each.round) for each in again] == [
        (Purpose.RETRY, round_) for round_ in range(1, 8)
    ]
    hour = timedelta(hours=1)
    assert [each.due_at and each.due_at - NOW for each in again] == [
        timedelta(seconds=30),
        timedelta(minutes=10),
        hour,
        6 * hour,
        24 * hour,
        3 * 24 * hour,
        7 * 24 * hour,
    ]
    assert _suspect(7) == ()
