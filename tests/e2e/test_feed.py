"""The Activity feed end to end, with everything that the real one is known for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox import Sandbox
from tests.configured import Configured
from tests.e2e.running import coverage, exported, service, trailkeeper, until
from tests.servers.redis import RedisServer
from trailkeeper.bootstrap import SystemClock, World
from trailkeeper.model.coverage import Coverage
from trailkeeper.model.feed.rules import CONTENT_TYPES, plan_feed_range
from trailkeeper.model.segment import NewSegment, Purpose, SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, union
from trailkeeper.ports.clock import Clock
from trailkeeper.settings import load
from trailkeeper.steps.collect import CollectStep
from trailkeeper.steps.plan import enqueue_more, plan_tenants

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)

Boxed = Callable[..., AbstractContextManager[Sandbox]]


@pytest.fixture
def boxed(tmp_path: Path) -> Boxed:
    @contextmanager
    def start(*tenants: str) -> Iterator[Sandbox]:
        now = datetime.now(UTC)
        box = Sandbox(
            tmp_path / "box",
            tenants=tenants or ("contoso",),
            rate=0,
            start=(now - 10 * DAY).isoformat(),
            end=now.isoformat(),
        )
        with box:
            yield box

    return start


def fill(box: Sandbox, tenant: str, count: int, since: timedelta, until: timedelta) -> None:
    """`count` records that occurred between two ages."""
    at = datetime.now(UTC) - since
    seconds = int((since - until).total_seconds())
    box.control.crowd(tenant, at.isoformat(), count, seconds=seconds)


def configured(tmp_path: Path, box: Sandbox, *tenants: str, **keys: Any) -> Path:
    wanted = {"sources": ["activity"], **keys}
    return Configured(
        tmp_path / "conf", box, tenants or ("contoso",), tenant=wanted, recipients=()
    ).write()


def collect(
    folder: Path, tenant: str = "contoso", days: float = 6.9, *words: str, ends: int | None = 0
) -> str:
    """`trailkeeper collect` of the last days; everything that it said."""
    start = (datetime.now(UTC) - days * DAY).isoformat()
    done = trailkeeper(
        folder, "collect", "--tenant", tenant, "--from", start, *words, "--json", ends=ends
    )
    return done.stdout + done.stderr


def truth(box: Sandbox, tenant: str = "contoso") -> Counter[str]:
    """The texts that the feed has made available, each once."""
    return Counter(record["AuditData"] for record in box.control.feed_truth(tenant))


def stored(folder: Path, tmp_path: Path, tenant: str = "contoso") -> Counter[str]:
    return exported(folder, tenant, tmp_path / f"{tenant}.jsonl")


@contextmanager
def opened(folder: Path, clock: Clock | None = None) -> Iterator[World]:
    world = World(load(folder), clock)
    try:
        yield world
    finally:
        world.close()


def gathered(world: World, tenant: str, asked: Window) -> None:
    """What `collect` does, in this process."""
    step = CollectStep(
        ledger=world.ledger,
        clock=world.clock,
        pull=world.pull,
        merge=world.merge,
        owner="test",
        threads=1,
        known=world.settings.collection.known(1),
        lease_length=world.settings.service.lease,
    )
    wanted = [(Stream(tenant, Source.ACTIVITY), asked)]
    step.plan(tenant, wanted)
    step(tenant, wanted, lambda seen: None)


def kept(world: World, tenant: str) -> Counter[str]:
    """The lake's records, each with how often it is there."""
    out = BytesIO()
    world.lake.export_jsonl(tenant, None, out)
    return Counter(out.getvalue().decode().splitlines())


def fates(box: Sandbox, tenant: str = "contoso") -> dict[str, Any]:
    found: dict[str, Any] = box.control.report()["tenants"][tenant]["feed"]
    return found


@pytest.mark.parametrize(
    ("header", "version", "body"),
    [
        ("NextPageUri", "v1.0", "json"),
        ("nextpageuri", "v1", "single_quoted"),
        ("NextPageUrl", "v1", "json"),
    ],
)
def test_collects_each_record_once(
    boxed: Boxed, tmp_path: Path, header: str, version: str, body: str
) -> None:
    """Duplicates, blobs listed twice, jumbled order and page links in any spelling: the export is
    exact, no blob was missed and none fetched twice, asked again or not."""
    with boxed() as box:
        box.control.alter(
            "contoso",
            next_page_header=header,
            next_page_version=version,
            error_body=body,
            content_page=7,
            redelivered_share=0.05,
            doubled_share=0.05,
            partial_view=True,
        )
        fill(box, "contoso", 800, 6.5 * DAY, HOUR)
        box.control.set_fault("listed_twice", "contoso", times=0, rate=0.1)
        folder = configured(tmp_path, box)
        collect(folder)
        collect(folder)
        assert stored(folder, tmp_path) == truth(box)
        seen = fates(box)
        assert (seen["never"], seen["repeatedly"]) == (0, 0)
        assert seen["started_too_soon"] == 0
        (said,) = lags_of(folder)
        assert {lag["content_type"] for lag in said} <= set(CONTENT_TYPES)
        assert sum(lag["records"] for lag in said) >= 800
        publishers = box.control.feed()["publishers"]
        assert list(publishers) == ["11111111-2222-4333-8444-555555555555"]


def lags_of(folder: Path) -> list[list[dict[str, Any]]]:
    """What `coverage --json` says of each source's lag."""
    said = trailkeeper(folder, "coverage", "--tenant", "contoso", "--json", ends=None).stdout
    return [json.loads(line)["lag"] for line in said.splitlines()]


CODES = [
    {"code": "AF429", "status": 403},
    {"code": "AF429", "status": 429, "form": "single_quoted"},
    {"code": "AF429", "status": 403, "form": "empty"},
    {"code": "AF50000", "status": 500},
    {"code": "AF50005", "status": 503},
    {"code": "AF50006", "status": 500, "form": "single_quoted"},
    {"code": "AF20022", "status": 400},
    {"code": "AF20023", "status": 400},
    {"code": "AF20031", "status": 400},
    {"code": "AF20030", "status": 400},
    {"code": "AF20055", "status": 400},
]


def test_a_code_costs_nothing(boxed: Boxed, tmp_path: Path) -> None:
    """Every code met once while listing, or while fetching, leaves no hole and no double."""
    names = tuple(f"code-{number:02}" for number in range(len(CODES)))
    with boxed(*names) as box:
        for name in names:
            fill(box, name, 40, 20 * HOUR, HOUR)
        folder = configured(tmp_path, box, *names)
        with opened(folder) as world:
            for name, fault in zip(names, CODES, strict=True):
                box.control.set_fault("af_error", name, calls=["content"], **fault)
                if fault["code"] in ("AF429", "AF50000", "AF50005"):
                    box.control.set_fault("af_error", name, calls=["blob"], on=3, **fault)
                asked = Window(world.clock.now() - 0.9 * DAY, world.clock.now(), Axis.AVAILABLE)
                gathered(world, name, asked)
                assert kept(world, name) == truth(box, name), fault
                stream = Stream(name, Source.ACTIVITY)
                assert world.cover.of_stream(stream, asked).is_complete, fault


@pytest.mark.parametrize("form", ["host", "userinfo", "http"])
def test_a_foreign_host_sees_nothing(boxed: Boxed, tmp_path: Path, form: str) -> None:
    """Links to another host in a listing or its header are not followed; the rest is collected."""
    with boxed() as box:
        fill(box, "contoso", 60, 20 * HOUR, HOUR)
        box.control.alter("contoso", content_page=10)
        folder = configured(tmp_path, box)
        box.control.set_fault("foreign_next_page", "contoso", form=form)
        box.control.set_fault("foreign_content_uri", "contoso", on=3, form=form)
        collect(folder, days=0.9, ends=None)
        assert box.control.elsewhere() == {"requests": [], "saw_authorization": False}
        assert stored(folder, tmp_path) == truth(box)


def test_a_blob_in_pages_is_read_to_its_end(boxed: Boxed, tmp_path: Path) -> None:
    """A blob whose answer names a next page is landed whole: no record behind it is left out."""
    with boxed() as box:
        box.control.alter("contoso", blob_records=20, blob_sizes="fixed")
        fill(box, "contoso", 400, 4 * HOUR, 3.9 * HOUR)
        folder = configured(tmp_path, box)
        box.control.set_fault("blob_in_pages", "contoso", times=0)
        collect(folder, days=0.9)
        assert stored(folder, tmp_path) == truth(box)
        assert (fates(box)["never"], fates(box)["repeatedly"]) == (0, 0)


def test_a_poisoned_blob_holds_up_nobody(boxed: Boxed, tmp_path: Path) -> None:
    """A blob that cannot be read costs its own hour only, and the hour says so."""
    with boxed() as box:
        fill(box, "contoso", 60, 20 * HOUR, HOUR)
        folder = configured(tmp_path, box)
        box.control.set_fault("poisoned_blob", "contoso", on=5, form="not_json")
        start = datetime.now(UTC) - 0.9 * DAY
        collect(folder, days=0.9, ends=10)
        missing = truth(box) - stored(folder, tmp_path)
        assert 0 < sum(missing.values()) < 60
        assert not stored(folder, tmp_path) - truth(box)
        said = coverage(folder, "contoso", start.isoformat(), datetime.now(UTC).isoformat())
        reasons = {gap["reason"] for gap in said["suspect"] + said["gaps"]}  # type: ignore[operator]  # JSON
        assert any("blob" in reason for reason in reasons)


def test_expired_between_list_and_get(boxed: Boxed, tmp_path: Path) -> None:
    """A blob that expires before it is fetched: its hour is lost by name, all else is there."""
    with boxed() as box:
        fill(box, "contoso", 60, 20 * HOUR, HOUR)
        folder = configured(tmp_path, box)
        box.control.set_fault("expired_blob", "contoso", on=5)
        start = datetime.now(UTC) - 0.9 * DAY
        collect(folder, days=0.9, ends=10)
        said = coverage(folder, "contoso", start.isoformat(), datetime.now(UTC).isoformat())
        gaps: list[dict[str, str]] = said["gaps"]  # type: ignore[assignment]  # JSON
        assert [gap for gap in gaps if gap["reason"].startswith("1 blob missing") and gap["lost"]]
        assert sum((truth(box) - stored(folder, tmp_path)).values()) > 0


def test_auditing_off_parks_with_its_remedy(boxed: Boxed, tmp_path: Path) -> None:
    """A tenant whose auditing is off needs a person; once it is on, all is collected."""
    with boxed("contoso", "fabrikam") as box:
        for tenant in ("contoso", "fabrikam"):
            fill(box, tenant, 40, 20 * HOUR, HOUR)
        box.control.alter("contoso", ingestion=False)
        folder = configured(tmp_path, box, "contoso", "fabrikam")
        assert "Set-AdminAuditLogConfig" in collect(folder, days=0.9, ends=20)
        collect(folder, "fabrikam", days=0.9)
        assert stored(folder, tmp_path, "fabrikam") == truth(box, "fabrikam")
        box.control.alter("contoso", ingestion=True)
        collect(folder, days=0.9)
        assert stored(folder, tmp_path) == truth(box)


def test_disabled_by_an_administrator(boxed: Boxed, tmp_path: Path) -> None:
    """One content type disabled: a person is asked for, and the others are collected meanwhile."""
    with boxed() as box:
        fill(box, "contoso", 60, 20 * HOUR, HOUR)
        folder = configured(tmp_path, box)
        box.control.alter("contoso", disabled_content=["Audit.SharePoint"])
        assert "AF20023" in collect(folder, days=0.9, ends=20)
        others = {
            record["AuditData"]
            for record in box.control.feed_truth("contoso")
            if record["contentType"] != "Audit.SharePoint"
        }
        assert others == set(stored(folder, tmp_path))
        assert fates(box)["started_too_soon"] == 0


def test_a_refused_content_type_stops_only_itself(boxed: Boxed, tmp_path: Path) -> None:
    """The others are read on every minute and nothing is asked of the refused one until its daily
    try; coverage names it. Once it answers, the time that lacks it is read again."""
    with boxed() as box:
        fill(box, "contoso", 60, 20 * HOUR, HOUR)
        box.control.alter("contoso", disabled_content=["Audit.SharePoint"])
        folder = configured(tmp_path, box)
        clock = ShiftedClock()
        with opened(folder, clock) as world:
            stream = Stream("contoso", Source.ACTIVITY)

            def minutes_later(minutes: float) -> None:
                clock.ahead += timedelta(minutes=minutes)
                ahead = clock.ahead.total_seconds()
                box.control.set_clock(events_offset=ahead, identity_offset=ahead)
                serve(world, "contoso")

            def covered() -> Coverage:
                extent = world.ledger.extent(stream)
                assert extent is not None
                return world.cover.of_stream(stream, extent)

            serve(world, "contoso")
            (parking,) = world.ledger.parkings("contoso")
            assert (parking.content_type, parking.code) == ("Audit.SharePoint", "AF20023")
            fill(box, "contoso", 40, 0 * HOUR, -0.01 * HOUR)
            box.control.clear_counters()
            minutes_later(10)
            minutes_later(10)
            called = box.control.counters()["by_tenant"]["contoso"]
            assert not [label for label in called if "start" in label or "list" in label]
            others = {
                record["AuditData"]
                for record in box.control.feed_truth("contoso")
                if record["contentType"] != "Audit.SharePoint"
            }
            assert set(kept(world, "contoso")) == others
            reasons = {gap.reason for gap in covered().gaps}
            assert all("Audit.SharePoint is refused" in reason for reason in reasons), reasons
            assert covered().complete == ()
            box.control.alter("contoso", disabled_content=[])
            minutes_later(1)
            assert covered().gaps, "tried before its time"
            minutes_later(24 * 60)
            assert world.ledger.parkings("contoso") == []
            assert kept(world, "contoso") == truth(box)
            forgotten = covered().gaps  # what the feed no longer has after this day
            assert all("seven days only" in gap.reason for gap in forgotten)
            assert all(gap.window.end <= clock.now() - 6.9 * DAY for gap in forgotten)


def test_refused_in_a_listing_is_left_alone(boxed: Boxed, tmp_path: Path) -> None:
    """A content type that a listing refuses, though its subscription runs, is not asked for every
    minute; on the day after it is, and its parking is lifted with the first answer."""
    with boxed() as box:
        folder = configured(tmp_path, box)
        clock = ShiftedClock()
        with opened(folder, clock) as world:

            def listings_later(minutes: float) -> int:
                clock.ahead += timedelta(minutes=minutes)
                ahead = clock.ahead.total_seconds()
                box.control.set_clock(events_offset=ahead, identity_offset=ahead)
                box.control.clear_counters()
                serve(world, "contoso")
                called = box.control.counters()["by_tenant"]["contoso"]
                return sum(times for name, times in called.items() if "content" in name)

            # Early in an hour: where one ends, closed hours are listed again.
            listings_later(65 - datetime.now(UTC).minute)
            assert listings_later(2) == 4
            box.control.set_fault(
                "af_error", "contoso", calls=["content"], code="AF20012", status=400
            )
            assert listings_later(2) == 4
            (parking,) = world.ledger.parkings("contoso")
            assert parking.content_type
            assert listings_later(2) == 3
            assert listings_later(10) == 3
            listings_later(24 * 60)
            assert world.ledger.parkings("contoso") == []


@pytest.mark.parametrize("behind", [0, 600])
def test_a_damaged_landing_file_takes_back_what_leaned_on_it(
    boxed: Boxed, tmp_path: Path, behind: int
) -> None:
    """A later look proved its window by blobs whose file turned out damaged: that is a gap until
    they are fetched once more, whatever the service's clock; then every record is there once."""
    with boxed() as box:
        box.control.set_clock(events_offset=-behind, identity_offset=0)
        fill(box, "contoso", 100, 20 * HOUR, 2 * HOUR)
        clock = ShiftedClock()
        with opened(configured(tmp_path, box), clock) as world:
            stream, now = Stream("contoso", Source.ACTIVITY), world.clock.now()
            asked = Window(now - 21 * HOUR, now - HOUR, Axis.AVAILABLE)

            def pulled(purpose: Purpose) -> list[str]:
                wanted = NewSegment(stream, asked, purpose)
                world.ledger.plan(stream, lambda _: [wanted], world.clock.now())
                for segment in world.ledger.due(world.clock.now(), 9, 9, stream):
                    world.pull(segment.id, "test")
                return world.landing.files("contoso")

            (file,) = pulled(Purpose.INCREMENTAL)
            assert pulled(Purpose.REREAD) == [file]
            assert world.cover.of_stream(stream, asked).is_complete
            path = world.landing.path("contoso", file)
            path.write_bytes(path.read_bytes()[:-1000])
            world.merge("contoso", "test")
            gaps = world.cover.of_stream(stream, asked).gaps
            assert [gap.window for gap in gaps] == [asked]
            clock.ahead = timedelta(minutes=1)
            box.control.set_clock(events_offset=60 - behind, identity_offset=60)
            serve(world, "contoso")
            assert world.cover.of_stream(stream, asked).is_complete
            assert kept(world, "contoso") == truth(box)


def test_blobs_too_large_to_be_had_ahead(
    boxed: Boxed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that is larger than what may wait for its turn comes at its turn, and whole."""
    monkeypatch.setattr("trailkeeper.microsoft.activity.fetch.AHEAD_BYTES", 1_200)
    with boxed() as box:
        fill(box, "contoso", 300, 20 * HOUR, 2 * HOUR)
        with opened(configured(tmp_path, box)) as world:
            now = world.clock.now()
            asked = Window(now - 21 * HOUR, now - HOUR, Axis.AVAILABLE)
            gathered(world, "contoso", asked)
            assert kept(world, "contoso") == truth(box)
            assert world.cover.of_stream(Stream("contoso", Source.ACTIVITY), asked).is_complete
        assert fates(box)["repeatedly"] > 0


@pytest.mark.parametrize("purpose", [Purpose.COLLECT, Purpose.INCREMENTAL])
def test_too_much_for_one_pull(
    boxed: Boxed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purpose: Purpose
) -> None:
    """What a pull leaves over is cut into pieces, enqueued at once to all places of the tenant,
    which several processes can pull; together they prove the window, and no blob is fetched twice.
    The rest of a fresh poll is a backlog, which holds up no other poll."""
    monkeypatch.setattr("trailkeeper.microsoft.activity.fetch.ENOUGH_BYTES", 60_000)
    monkeypatch.setattr("trailkeeper.microsoft.activity.fetch.AHEAD", 0.2)
    with boxed() as box:
        box.control.alter("contoso", blob_records=4, blob_sizes="fixed")
        fill(box, "contoso", 600, 20 * HOUR, 2 * HOUR)
        with opened(configured(tmp_path, box)) as world:
            stream, now = Stream("contoso", Source.ACTIVITY), world.clock.now()
            asked = Window(now - 21 * HOUR, now - HOUR, Axis.AVAILABLE)
            whole = NewSegment(stream, asked, purpose)
            world.ledger.plan(stream, lambda watermark: [whole], now)
            (segment,) = world.ledger.due(world.clock.now(), 9, 9, stream)
            found: list[int] = []
            queue = SimpleNamespace(pull=found.extend)
            world.pull(
                segment.id,
                "test",
                lambda: enqueue_more(world.settings, world.ledger, queue, stream, now + HOUR),
            )
            pieces = world.ledger.due(world.clock.now(), 99, 99, stream)
            assert len(pieces) > 2
            assert Purpose.INCREMENTAL not in {each.purpose for each in pieces}
            places = world.settings.service.searches_per_tenant
            assert set(found) == {each.id for each in pieces[:places]}
            assert world.ledger.waiting_polls(Source.ACTIVITY, world.clock.now()) == set()
            while due := world.ledger.due(world.clock.now(), 1, 9, stream):
                world.pull(due[0].id, "test")
            world.merge("contoso", "test")
            assert kept(world, "contoso") == truth(box)
            assert world.cover.of_stream(stream, asked).is_complete
            received = [s.window for s in pieces]
            assert union(received)[0].end == asked.end
        assert (fates(box)["never"], fates(box)["repeatedly"]) == (0, 0)


def test_twenty_tenants_through_beat_and_workers(
    boxed: Boxed, tmp_path: Path, redis: RedisServer
) -> None:
    """Seven days of twenty tenants, some of the records late and double: beat, Redis and workers
    store each once, no blob is missed and none fetched twice."""
    names = tuple(f"tenant-{number:02}" for number in range(20))
    with boxed(*names) as box:
        for name in names:
            box.control.alter(name, redelivered_share=0.05, doubled_share=0.05, content_page=25)
            fill(box, name, 150, 6.9 * DAY, 2 * HOUR)
        folder = configured(tmp_path, box, *names)
        with service(folder, redis, tmp_path) as running:
            for name in names:
                until(
                    lambda name=name: (
                        fates(box, name)["never"] == 0
                        and stored(folder, tmp_path, name) == truth(box, name)
                    ),
                    f"{name} collected; see {running.log.read_text()[-3000:]}",
                    seconds=240,
                )
        for name in names:
            seen = fates(box, name)
            assert (seen["repeatedly"], seen["started_too_soon"]) == (0, 0), name


class ShiftedClock(SystemClock):
    """The machine's clock, moved ahead."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def serve(world: World, tenant: str) -> None:
    """One round of the service: plan, pull everything due, merge."""
    plan_tenants(
        world.settings, world.ledger, [Source.EXCHANGE, Source.ACTIVITY], world.clock.now()
    )
    while due := world.ledger.due(world.clock.now(), 100, 1):
        for segment in due:
            world.pull(segment.id, "test")
        world.merge(tenant, "test")


def test_stopped_for_nine_days(boxed: Boxed, tmp_path: Path) -> None:
    """Coverage names what the feed forgot meanwhile, and the Exchange search has filled it."""
    with boxed() as box:
        began = datetime.now(UTC)
        since = (began - DAY).replace(microsecond=0)
        box.control.crowd("contoso", since.isoformat(), 400, seconds=10 * 86400)
        sources = ["exchange", "activity"]
        folder = configured(tmp_path, box, sources=sources, since=since.isoformat())
        clock = ShiftedClock()
        with opened(folder, clock) as world:
            serve(world, "contoso")
            clock.ahead = 9 * DAY + HOUR
            seconds = clock.ahead.total_seconds()
            box.control.set_clock(events_offset=seconds, identity_offset=seconds)
            serve(world, "contoso")
            everything = Counter(r["AuditData"] for r in box.control.records("contoso"))
            assert kept(world, "contoso") == everything
            now = clock.now()
            tenant = world.settings.tenant("contoso")
            exchange, feed = world.cover.of_tenant(tenant, now, (since, now - HOUR))
            assert exchange.is_complete
            # One stretch of time, in one piece or in neighbouring ones with a reason each.
            (gap,) = union(each.window for each in feed.gaps)
            longest = max(feed.gaps, key=lambda each: each.window.duration)
            assert "seven days only" in longest.reason
            assert longest.lost
            assert abs(gap.start - began) < timedelta(minutes=5)
            assert abs(gap.end - (now - 7 * DAY)) < timedelta(minutes=10)
            assert fates(box)["never"] == 0


def test_what_was_not_listed_has_not_answered(boxed: Boxed, tmp_path: Path) -> None:
    """On the day of its try a parked content type is asked for nothing by a window that the feed
    has forgotten: its parking stands, and is lifted with the first answer."""
    with boxed() as box:
        clock = ShiftedClock()
        with opened(configured(tmp_path, box), clock) as world:
            stream = Stream("contoso", Source.ACTIVITY)

            def pulled_after(hours: float, age: timedelta) -> None:
                clock.ahead += timedelta(hours=hours)
                ahead = clock.ahead.total_seconds()
                box.control.set_clock(events_offset=ahead, identity_offset=ahead)
                start = clock.now() - age
                asked = NewSegment(
                    stream, Window(start, start + HOUR, Axis.AVAILABLE), Purpose.COLLECT
                )
                world.ledger.plan(stream, lambda watermark: [asked], clock.now())
                (segment,) = world.ledger.due(clock.now(), 1, 1, stream)
                world.pull(segment.id, "test")

            pulled_after(0, 2 * HOUR)
            box.control.set_fault(
                "af_error", "contoso", calls=["content"], code="AF20012", status=400
            )
            pulled_after(0.1, 2 * HOUR)
            (parking,) = world.ledger.parkings("contoso")
            assert parking.content_type
            pulled_after(25, 9 * DAY)
            assert world.ledger.parkings("contoso") == [parking]
            pulled_after(0.1, 2 * HOUR)
            assert world.ledger.parkings("contoso") == []


class RestlessClock(ShiftedClock):
    """Whoever sleeps by it goes on at once, that much later."""

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


def rests(world: World, clock: ShiftedClock, most: int) -> list[int]:
    """Pull what is due until nothing is left; the seconds of each wait for the next, so many."""
    stream = Stream("contoso", Source.ACTIVITY)
    asked = Window(clock.now() - 0.9 * DAY, clock.now(), Axis.AVAILABLE)
    world.ledger.plan(stream, lambda watermark: plan_feed_range(stream, asked), clock.now())
    found: list[int] = []
    while len(found) < most:
        while due := world.ledger.due(clock.now(), 10, 1):
            world.pull(due[0].id, "test")
        left = world.ledger.unfinished("contoso", asked)
        if all(each.state is SegmentState.LANDED for each in left):
            break
        seconds = next(n for n in count(1) if world.ledger.due(clock.now() + n * SECOND, 1, 1))
        found.append(seconds)
        clock.ahead += seconds * SECOND
    return found


@pytest.fixture
def no_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes by leaps here: what follows a rest would be taken for the same moment."""
    monkeypatch.setattr("trailkeeper.store.budget._ONE_BURST_SECONDS", 0)


@pytest.mark.usefixtures("no_bursts")
def test_refused_now_and_then(boxed: Boxed, tmp_path: Path) -> None:
    """AF429 to one request in thirty costs a back-fill one request more each: the tenant rests for
    none that stands alone, and not one record stays away."""
    with boxed() as box:
        box.control.alter("contoso", blob_records=2, blob_sizes="fixed")
        fill(box, "contoso", 600, 20 * HOUR, HOUR)
        box.control.set_fault("af429", "contoso", times=0, chance=1 / 30, calls=["content", "blob"])
        clock = RestlessClock()
        with opened(configured(tmp_path, box), clock) as world:
            rested = rests(world, clock, 60)
            world.merge("contoso", "test")
            assert kept(world, "contoso") == truth(box)
        (fault,) = box.control.faults()
        assert fault["played"] >= 5
        assert len(rested) <= 1, "one that is refused three times running rests, by a rare chance"
        assert fates(box)["never"] == 0


@pytest.mark.usefixtures("no_bursts")
def test_listings_refused_now_and_then(boxed: Boxed, tmp_path: Path) -> None:
    """AF429 to one listing in four: what was listed is not asked for again, and the round comes to
    its blobs instead of resting longer and longer."""
    with boxed() as box:
        fill(box, "contoso", 100, 20 * HOUR, HOUR)
        box.control.set_fault("af429", "contoso", times=0, chance=1 / 4, calls=["content"])
        clock = RestlessClock()
        with opened(configured(tmp_path, box), clock) as world:
            rested = rests(world, clock, 10)
            world.merge("contoso", "test")
            assert kept(world, "contoso") == truth(box)
        called = box.control.counters()["by_tenant"]["contoso"]
        assert called["AF429"] >= 1
        assert called["content"] in (5, 10), "five content types, each listed once a day"
        assert sum(rested) < 60


@pytest.mark.usefixtures("no_bursts")
@pytest.mark.parametrize("which", [{}, {"calls": ["blob"]}], ids=["everything", "every blob"])
def test_refused_always(boxed: Boxed, tmp_path: Path, which: dict[str, list[str]]) -> None:
    """AF429 to everything, or to every blob after listings that went well: each rest is longer than
    the one before."""
    with boxed() as box:
        fill(box, "contoso", 1, 20 * HOUR, HOUR)
        box.control.set_fault("af429", "contoso", times=0, **which)
        clock = RestlessClock()
        with opened(configured(tmp_path, box), clock) as world:
            rested = rests(world, clock, 5)
        assert rested == sorted(rested)
        assert len(rested) == 5
        assert rested[-1] > 60
