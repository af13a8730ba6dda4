"""Planning the feeds of a fleet: each at its turn, enqueued once, found again when lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from tests.clocks import HandClock
from trailkeeper.errors import LeaseLost, Transient
from trailkeeper.model.fairness import LONG_PULL, Speed, speed_key
from trailkeeper.model.report import Month
from trailkeeper.model.segment import Finding, Landed, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Axis, Window, union
from trailkeeper.ports.parking import Parking
from trailkeeper.ports.source import Check, Pulled, RecordSink
from trailkeeper.settings import Settings, load
from trailkeeper.steps.plan import (
    enqueue_due,
    enqueue_more,
    enqueue_next,
    enqueue_waiting,
    plan_polls,
    plan_tenants,
)
from trailkeeper.steps.pull import PullStep
from trailkeeper.store.landing import FileLanding
from trailkeeper.store.ledger import SqlLedger
from trailkeeper.store.outbox import SqlOutbox

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
FLEET = 60
TENANT = """
tenant_id = "00000000-0000-4000-8000-0000000000{number:02}"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
sources = ["activity"]
since = "2026-11-20T12:00:00Z"
[certificate]
pfx = "contoso.pfx"
"""


class Said:
    """Keeps what was enqueued."""

    def __init__(self) -> None:
        self.pulls: list[int] = []

    def pull(self, segment_ids: list[int]) -> None:
        self.pulls += segment_ids

    def merge(self, tenant: str) -> None: ...

    def report(self, tenant: str, month: Month) -> None: ...

    def deliver(self, outbox_id: int) -> None: ...

    def taken(self) -> list[int]:
        pulls, self.pulls = self.pulls, []
        return pulls


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "trailkeeper.toml").write_text("")
    for number in range(FLEET):
        (tmp_path / "tenants" / f"t{number:02}.toml").write_text(TENANT.format(number=number))
    return load(tmp_path)


def poll(ledger: SqlLedger, ids: list[int], now: datetime) -> None:
    for id_ in ids:
        leased = ledger.lease(id_, "worker", now, now + timedelta(minutes=5), 1)
        assert leased is not None
        finding = Finding(leased.segment.window, Verdict.COMPLETE, now, "")
        ledger.land(leased.lease, Landed(None, 0, 0, 4), [finding], [], now)


def reconciliation(settings: Settings, ledger: SqlLedger, now: datetime) -> list[int]:
    said = Said()
    enqueue_due(settings, ledger, SqlOutbox(ledger._engine), said, now)
    return said.taken()


def test_every_feed_once_a_minute_by_turns(settings: Settings, ledger: SqlLedger) -> None:
    """After the first round the polls spread over the minute, and each feed has one in each."""
    said = Said()
    plan_polls(settings, ledger, said, NOW + timedelta(minutes=2))
    poll(ledger, first := said.taken(), NOW + timedelta(minutes=2))
    assert len(first) == FLEET
    counts = []
    for tick in range(1, 37):
        now = NOW + timedelta(minutes=2) + tick * 5 * SECOND
        plan_polls(settings, ledger, said, now)
        poll(ledger, ids := said.taken(), now)
        counts.append(len(ids))
    assert [sum(counts[n : n + 12]) for n in (0, 12, 24)] == [FLEET] * 3
    assert max(counts) < FLEET / 3


def test_a_poll_that_waits_is_followed_by_none(settings: Settings, ledger: SqlLedger) -> None:
    """A machine that is too slow polls less often; what was not planned comes in one piece."""
    said = Said()
    plan_polls(settings, ledger, said, NOW + timedelta(minutes=2))
    waiting = said.taken()
    plan_polls(settings, ledger, said, NOW + timedelta(minutes=9))
    assert said.taken() == []
    poll(ledger, waiting, NOW + timedelta(minutes=10))
    plan_polls(settings, ledger, said, NOW + timedelta(minutes=10))
    (segment,) = ledger.segments(said.taken()[:1])
    assert segment.window.duration == timedelta(minutes=8)


class Down:
    """A source that is out of order until it is not."""

    source = Source.ACTIVITY
    broken = True
    asked = 0

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        self.asked += 1
        if self.broken:
            return Pulled((), 1, interrupted=Transient("the feed answered HTTP 503"))
        return Pulled((Finding(window, Verdict.COMPLETE, NOW),), 4)

    def check(self, tenant: str) -> Iterator[Check]:
        yield from ()


def test_a_feed_that_is_away_piles_up_few_polls(
    settings: Settings, ledger: SqlLedger, tmp_path: Path
) -> None:
    """Six hours of errors leave few polls, which ask seldom; once it answers, the newest time is
    read within minutes."""
    stream, feed, clock = Stream("t07", Source.ACTIVITY), Down(), HandClock(NOW)
    settings = settings.model_copy(update={"tenants": {"t07": settings.tenants["t07"]}})
    pull = PullStep(ledger, FileLanding(tmp_path), {Source.ACTIVITY: feed}, clock, HOUR, 3)

    def minutes(count: int) -> None:
        for _ in range(4 * count):
            clock.time += 15 * SECOND
            plan_polls(settings, ledger, Said(), clock.now())
            for segment in ledger.due(clock.now(), 1000, 1000, stream):
                pull.of(segment, "worker")

    minutes(6 * 60)
    day = Window(NOW, NOW + 24 * HOUR, Axis.AVAILABLE)
    assert len(ledger.unfinished("t07", day)) < 45
    assert feed.asked < 2 * 6 * 60
    feed.broken = False
    minutes(7)
    newest = max(found.window.end for found in ledger.findings(stream, day))
    assert newest > clock.now() - timedelta(minutes=2)
    minutes(61)
    assert union(found.window for found in ledger.findings(stream, day))[0].start == NOW
    assert len(union(found.window for found in ledger.findings(stream, day))) == 1


def test_the_sweep_finds_what_was_lost(settings: Settings, ledger: SqlLedger) -> None:
    """What was enqueued within the minute is not enqueued again; later it is, and at once what
    was put off and what the reconciliation itself has planned."""
    said, now = Said(), NOW + timedelta(minutes=2)
    plan_polls(settings, ledger, said, now)
    lost = said.taken()
    assert sorted(reconciliation(settings, ledger, now)) == sorted(lost), "planned by this tick"
    assert reconciliation(settings, ledger, now + 30 * SECOND) == []
    assert sorted(reconciliation(settings, ledger, now + 60 * SECOND)) == sorted(lost)
    leased = ledger.lease(lost[0], "worker", now, now + timedelta(minutes=5), 1)
    assert leased is not None
    ledger.release(leased.lease, now + 20 * SECOND, "AF429", counts_as_attempt=False)
    assert reconciliation(settings, ledger, now + 30 * SECOND) == [lost[0]]


def test_a_parked_feed_is_not_planned(settings: Settings, ledger: SqlLedger) -> None:
    """Nobody else waits for it, and it goes on where it stopped."""
    ledger.park(Parking("t07", None, NOW, "AADSTS700016", "a", "b", None))
    said = Said()
    plan_polls(settings, ledger, said, NOW + timedelta(minutes=2))
    assert len(said.taken()) == FLEET - 1
    ledger.unpark("t07")
    plan_polls(settings, ledger, said, NOW + timedelta(minutes=5))
    (segment,) = ledger.segments(said.taken())
    assert (segment.stream.tenant, segment.window.start) == ("t07", NOW)


def backlog(ledger: SqlLedger, hours: int) -> list[int]:
    """So many hours of back-fill of one tenant; their ids, as they are due."""
    stream = Stream("t07", Source.ACTIVITY)
    wanted = [
        NewSegment(
            stream,
            Window(NOW - (n + 1) * HOUR, NOW - n * HOUR, Axis.AVAILABLE),
            Purpose.COLLECT,
        )
        for n in range(1, hours + 1)
    ]
    ledger.plan(stream, lambda watermark: wanted, NOW)
    due = ledger.due(NOW + timedelta(minutes=3), 1000, 1000, stream)
    return [segment.id for segment in due if segment.purpose is Purpose.COLLECT]


def test_fresh_queue_messages_hide_nothing(
    settings: Settings, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More polls than a reconciliation enqueues wait in the queue: what else is due is enqueued."""
    monkeypatch.setattr("trailkeeper.steps.plan._ENQUEUED_AT_ONCE", 10)
    now = NOW + timedelta(minutes=2)
    plan_polls(settings, ledger, Said(), now)
    waiting = backlog(ledger, 2)
    assert reconciliation(settings, ledger, now + 30 * SECOND) == waiting
    assert len(reconciliation(settings, ledger, now + 90 * SECOND)) == 10


def test_the_next_of_a_backlog_is_no_poll(settings: Settings, ledger: SqlLedger) -> None:
    """A feed's back-fill gives its place in the queue to its next piece; the poll, enqueued a
    moment ago, has its own."""
    said, now = Said(), NOW + timedelta(minutes=2)
    plan_polls(settings, ledger, Said(), now)
    waiting = backlog(ledger, 3)
    enqueue_next(settings, ledger, said, Stream("t07", Source.ACTIVITY), now + SECOND)
    assert said.taken() == waiting[:1]


def test_polls_hide_no_backlog(settings: Settings, ledger: SqlLedger) -> None:
    """Several polls that are due, after the service had told us to rest, take more places than the
    tenant has: the next of the back-fill is enqueued all the same, behind one of them."""
    said, now, stream = Said(), NOW + timedelta(minutes=2), Stream("t07", Source.ACTIVITY)
    minute = timedelta(minutes=1)
    polls = [
        NewSegment(
            stream,
            Window(NOW + n * minute, NOW + (n + 1) * minute, Axis.AVAILABLE),
            Purpose.INCREMENTAL,
        )
        for n in range(5)
    ]
    ledger.plan(stream, lambda watermark: polls, NOW)
    waiting = backlog(ledger, 9)
    newest = ledger.due(now, 1, 99, stream)[0].id
    enqueue_next(settings, ledger, said, stream, now)
    assert said.taken() == [newest, *waiting[:1]]
    enqueue_more(settings, ledger, said, stream, now)
    assert said.taken() == [newest, *waiting[: settings.service.searches_per_tenant]]


def test_a_rest_is_enqueued_to_all_places(settings: Settings, ledger: SqlLedger) -> None:
    """A pull that was cut into pieces hands on as many of them as the tenant has places; one that
    is done hands on one."""
    said, now, stream = Said(), NOW + timedelta(minutes=2), Stream("t07", Source.ACTIVITY)
    waiting = backlog(ledger, 9)
    enqueue_more(settings, ledger, said, stream, now)
    assert said.taken() == waiting[: settings.service.searches_per_tenant]
    enqueue_next(settings, ledger, said, stream, now)
    assert said.taken() == waiting[:1]


def test_a_poll_gets_a_place_among_a_backlog(settings: Settings, ledger: SqlLedger) -> None:
    """All places of a feed are taken by its back-fill, and more processes wait for work than it has
    places: the fresh poll, which found none at first, is pulled within two minutes."""
    said, stream, places = Said(), Stream("t07", Source.ACTIVITY), 3
    window = Window(NOW, NOW + timedelta(minutes=1), Axis.AVAILABLE)
    fresh = [NewSegment(stream, window, Purpose.INCREMENTAL)]
    waiting, running, leased_at = backlog(ledger, 60), [], {}

    def take(ids: list[int], now: datetime) -> None:
        for id_ in ids:
            if leased := ledger.lease(id_, "worker", now, now + HOUR, places):
                running.append(leased)
                leased_at[id_] = now

    began = NOW + timedelta(minutes=2)
    take(waiting[:places], began)
    ledger.plan(stream, lambda watermark: fresh, began)
    (poll_id,) = (each.id for each in ledger.due(began, 99, 99, stream) if each.window == window)
    take([poll_id], began)
    assert poll_id not in leased_at
    for number in range(1, 31):
        now = began + number * 5 * SECOND
        done = running.pop(0)
        finding = Finding(done.segment.window, Verdict.COMPLETE, now, "")
        ledger.land(done.lease, Landed(None, 0, 0, 4), [finding], [], now)
        enqueue_next(settings, ledger, said, stream, now)
        take(said.taken(), now)
        if number % 12 == 0:
            take(reconciliation(settings, ledger, now), now)
    assert len(leased_at) > 30
    assert leased_at[poll_id] <= began + timedelta(minutes=2)


@pytest.mark.parametrize("source", [Source.ACTIVITY, Source.EXCHANGE])
@pytest.mark.parametrize("ahead", [HOUR, timedelta(days=3)])
def test_time_planned_by_a_clock_that_ran_ahead_is_planned_again(
    settings: Settings, ledger: SqlLedger, source: Source, ahead: timedelta
) -> None:
    """Put right again, the clock's jump is said once; nothing is asked for before it has happened,
    and from then on every hour is planned when it is over, as if the clock had never jumped."""
    tenants = {
        name: tenant.model_copy(update={"sources": (source,)})
        for name, tenant in settings.tenants.items()
        if name in ("t00", "t01")
    }
    settings = settings.model_copy(update={"tenants": tenants})
    stream = Stream("t00", source)
    plan_tenants(settings, ledger, [source], NOW + HOUR)
    poll(ledger, [s.id for s in ledger.due(NOW + HOUR, 99, 99)], NOW + HOUR)
    plan_tenants(settings, ledger, [source], NOW + HOUR + ahead)
    plan_tenants(settings, ledger, [source], NOW + HOUR + ahead + timedelta(minutes=31))
    said, now = 0, NOW + HOUR
    for minute in range(0, 14 * 60, 20):
        now = NOW + HOUR + timedelta(minutes=minute)
        with structlog.testing.capture_logs() as logged:
            plan_tenants(settings, ledger, [source], now)
        said += sum(e["event"] == "clock_moved" for e in logged)
        due = ledger.due(now, 99, 99, stream)
        assert all(segment.window.end <= now for segment in due)
        poll(ledger, [segment.id for segment in due], now)
    assert said == 1
    looked = union(f.window for f in ledger.findings(stream, Window(NOW, now, source.axis)))
    assert looked[0].start <= NOW
    assert [window.end >= now - HOUR for window in looked] == [True]
    watermark = ledger.watermark(stream)
    assert watermark is not None
    assert NOW < watermark.reread_until[0] <= now  # and the re-reads


def test_a_worker_that_pulls_time_to_come_lets_go(settings: Settings, ledger: SqlLedger) -> None:
    """What a clock that ran ahead had leased proves nothing of time that has not come."""
    stream, late = Stream("t00", Source.ACTIVITY), NOW + timedelta(days=3)
    plan_tenants(settings, ledger, [Source.ACTIVITY], late)
    (segment, *_) = ledger.due(late, 9, 9, stream)
    leased = ledger.lease(segment.id, "worker", late, late + HOUR, 1)
    assert leased is not None
    plan_tenants(settings, ledger, [Source.ACTIVITY], NOW)
    finding = Finding(segment.window, Verdict.COMPLETE, late, "")
    with pytest.raises(LeaseLost):
        ledger.land(leased.lease, Landed(None, 0, 0, 4), [finding], [], NOW)


def test_no_wait_outlasts_the_clock_that_wrote_it(settings: Settings, ledger: SqlLedger) -> None:
    """A lease, a merge and a parking of a clock three days ahead end as soon after it is put right
    as any other; a pause of the operator's stays."""
    late, hour = NOW + timedelta(days=3), Window(NOW - HOUR, NOW, Axis.OCCURRED)
    exchange = [Stream(name, Source.EXCHANGE) for name in ("t00", "t01")]
    for stream in exchange:
        new = [NewSegment(stream, hour, Purpose.COLLECT)]
        ledger.plan(stream, lambda _, new=new: new, NOW)
    one, two = ledger.due(late, 9, 9)
    assert ledger.lease(one.id, "dead", late, late + HOUR, 1)
    leased = ledger.lease(two.id, "dead", late, late + HOUR, 1)
    assert leased is not None
    ledger.land(leased.lease, Landed("file", 1, 1, 1), [], [], late)
    assert ledger.open_merge(two.stream.tenant, "dead", late, late + HOUR, 99)
    for name, retry_at in (("t02", late + 24 * HOUR), ("t03", None)):
        ledger.park(Parking(name, None, late, "AADSTS700024", "", "", retry_at))
    plan_tenants(settings, ledger, [], NOW)
    soon = NOW + settings.service.lease + timedelta(minutes=11)
    assert [segment.id for segment in ledger.due(soon, 9, 9)] == [one.id]
    assert ledger.open_merge(two.stream.tenant, "living", soon, soon + HOUR, 99)
    assert [parking.retry_at for parking in ledger.parkings()] == [NOW, None]


def test_slow_tenants_with_a_backlog_take_turns(settings: Settings, ledger: SqlLedger) -> None:
    """Of two processes one takes long pulls: three slow tenants have it by turns, and the first
    does not keep it until its backlog is done. A quick process takes every message at once, so that
    whoever is refused has to be enqueued again."""
    slow = [Stream(f"t{number:02}", Source.EXCHANGE) for number in range(3)]
    for stream in slow:
        hours = [Window(NOW - n * HOUR, NOW - n * HOUR + HOUR, Axis.OCCURRED) for n in range(1, 9)]
        new = [NewSegment(stream, hour, Purpose.BACKFILL) for hour in hours]
        ledger.plan(stream, lambda _, new=new: new, NOW)
        ledger.note(speed_key(stream), Speed.LONG.value, NOW)
    said, now, had = Said(), NOW, []
    for _ in range(9):
        said.pull(reconciliation(settings, ledger, now))
        taken = [
            leased
            for id_ in said.taken()
            if (leased := ledger.lease(id_, "worker", now, now + HOUR, 4, processes=2))
        ]
        (held,) = taken
        now += LONG_PULL
        finding = Finding(held.segment.window, Verdict.COMPLETE, now, "")
        ledger.land(held.lease, Landed(None, 0, 0, 4), [finding], [], now)
        had.append(held.segment.stream)
        enqueue_waiting(ledger, said, had[-1], now)
        enqueue_next(settings, ledger, said, had[-1], now)
    assert {stream: had.count(stream) for stream in slow} == dict.fromkeys(slow, 3)
