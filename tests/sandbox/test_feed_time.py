"""When things become available: lag, late and repeated blobs, expiry, live records."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.sandbox.callers import Caller, make_pair
from tests.sandbox.feeding import TYPES, Reader, code, next_link

BESIDE = Path(__file__).parents[3] / "shared"
SHARED = Path(os.environ.get("TRAILKEEPER_SHARED") or BESIDE) / "data"
DAY = 86_400


@pytest.fixture
def empty(caller: Caller) -> Reader:
    return Reader(caller)


def fill(reader: Reader, hours: float, count: int = 200, **wish: object) -> None:
    """`count` SharePoint records spread over the `hours` before an hour ago, blobs of ten."""
    reader.control.alter(reader.name, **{"blob_records": 10, "content_page": 50, **wish})
    seconds = int((hours - 1) * 3600)
    reader.control.crowd(
        reader.name, reader.ago(hours=hours), count, seconds=seconds, operation="FileAccessed"
    )
    reader.start("Audit.SharePoint")


def times(reader: Reader, key: str = "contentCreated") -> list[str]:
    return [each[key] for each in reader.entries("Audit.SharePoint")]


def test_an_empty_tenant_lists_nothing(empty: Reader) -> None:
    """Nothing is a legitimate answer: 200 and an empty list, without a next page."""
    empty.start("Audit.General")
    answer = empty.content("Audit.General")
    assert (answer.status_code, answer.json(), next_link(answer)) == (200, [], "")


def test_order_is_not_strict(empty: Reader) -> None:
    """Listings are jumbled by up to a minute unless they are told to be in order."""
    fill(empty, 2, count=400, blob_seconds=5.0)
    jumbled = times(empty)
    empty.control.alter(empty.name, content_order="created")
    ordered = times(empty)
    assert sorted(jumbled) == ordered != jumbled


def test_late_blobs_hold_old_events(empty: Reader) -> None:
    """With a lag a blob can hold older events than one that was created before it."""
    fill(empty, 20, feed_lag="60-7200", blob_sizes="fixed")
    newest: list[str] = []
    oldest: list[str] = []
    for entry in sorted(empty.entries("Audit.SharePoint"), key=lambda e: e["contentCreated"]):
        inside = [r["CreationTime"] for r in empty.call("GET", entry["contentUri"]).json()]
        newest.append(max(inside))
        oldest.append(min(inside))
        assert max(inside) < entry["contentCreated"]
    assert any(new > old for new, old in zip(newest, oldest[1:], strict=False))


def test_lag_is_checked(empty: Reader) -> None:
    """A lag in no known words is refused with those that are known."""
    with pytest.raises(Exception, match="feed_lag"):
        empty.control.alter(empty.name, feed_lag="soon")


@pytest.mark.parametrize("switch", ["redelivered_share", "doubled_share"])
def test_the_same_record_in_two_blobs(empty: Reader, switch: str) -> None:
    """A share of the records stands in a second blob, the same to the byte."""
    fill(empty, 24 * 6, count=300, blob_seconds=60.0, **{switch: 0.3})
    found = Counter(r["Id"] for r in empty.records("Audit.SharePoint", days=7))
    assert set(found.values()) == {1, 2}
    assert len(found) == 300
    twice = [t for t in empty.control.feed_truth(empty.name) if len(t["contentIds"]) == 2]
    assert {t["Identity"] for t in twice} == {each for each, n in found.items() if n == 2}


def test_hidden_blobs_show_up_later(empty: Reader) -> None:
    """A share of the blobs is listed only some time after its contentCreated."""
    fill(empty, 3, hidden_share=0.5, hidden_seconds=4 * 3600.0)
    before = set(times(empty, "contentId"))
    empty.control.set_clock(events_offset=5 * 3600)
    later = set(times(empty, "contentId"))
    assert before < later


def test_nothing_is_made_in_the_past_of_a_listing(empty: Reader) -> None:
    """Records added after a listing, however old, come in blobs that are newer than it."""
    fill(empty, 5)
    seen = datetime.fromisoformat(max(times(empty)))
    empty.control.crowd(empty.name, empty.ago(hours=4), 20, operation="FileAccessed")
    empty.control.set_clock(events_offset=120)
    added = [t for t in times(empty) if datetime.fromisoformat(t) > seen]
    assert added
    assert all(empty.now() - datetime.fromisoformat(t) < timedelta(minutes=10) for t in added)


def test_a_later_start_shows_part_of_a_blob(empty: Reader) -> None:
    """Listed from its own second of creation, a blob brings only its last part."""
    fill(empty, 5, partial_view=True, blob_sizes="fixed", blob_seconds=7200.0)
    entry = min(empty.entries("Audit.SharePoint"), key=lambda e: e["contentCreated"])
    whole = empty.call("GET", entry["contentUri"]).json()
    start = datetime.fromisoformat(entry["contentCreated"]).replace(microsecond=0)
    again = empty.content("Audit.SharePoint", start, start + timedelta(hours=20)).json()
    assert entry["contentId"] in [each["contentId"] for each in again]
    assert empty.call("GET", entry["contentUri"]).json() == whole[5:]
    empty.content("Audit.SharePoint", start - timedelta(hours=1), start + timedelta(hours=2))
    assert empty.call("GET", entry["contentUri"]).json() == whole


@pytest.mark.parametrize("days", [7, 20])
def test_expiry(empty: Reader, days: int) -> None:
    """Blobs expire after 7 or 20 days (AF20051), while listing goes back 7 days only."""
    fill(empty, 3, content_days=float(days))
    entry = empty.entries("Audit.SharePoint")[0]
    created, expires = (
        datetime.fromisoformat(entry[key]) for key in ("contentCreated", "contentExpiration")
    )
    assert expires - created == timedelta(days=days)
    empty.control.alter(empty.name, token_seconds=40 * DAY)
    empty.control.set_clock(events_offset=8 * DAY)
    assert empty.entries("Audit.SharePoint", days=6) == []
    answer = empty.call("GET", entry["contentUri"])
    assert (answer.status_code == 200) is (days == 20)
    empty.control.set_clock(events_offset=21 * DAY)
    answer = empty.call("GET", entry["contentUri"])
    assert (answer.status_code, code(answer)) == (400, "AF20051")


def test_stopping_loses_content(empty: Reader) -> None:
    """What became available between stop and start is never listed, and called unsubscribed."""
    fill(empty, 3)
    before = len(times(empty))
    empty.call("POST", "subscriptions/stop?contentType=Audit.SharePoint")
    empty.control.set_clock(events_offset=3600)
    empty.control.crowd(empty.name, empty.ago(minutes=50), 30, operation="FileAccessed")
    empty.control.set_clock(events_offset=7200)
    empty.start("Audit.SharePoint")
    assert len(times(empty)) == before
    assert empty.control.report()["tenants"][empty.name]["feed"]["unsubscribed"] > 0
    lost = [t for t in empty.control.feed_truth(empty.name) if not t["retrievable"]]
    assert len(lost) == 30


def test_first_content_can_take_hours_and_bring_history_or_none(empty: Reader) -> None:
    """The first content can come hours after start, with as much history as is switched on."""
    fill(empty, 5, first_content_seconds=3600.0, backfill_hours=2.5)
    assert times(empty) == []
    begun = empty.now()
    empty.control.set_clock(events_offset=3700)
    found = times(empty)
    assert found
    assert datetime.fromisoformat(min(found)) >= begun - timedelta(hours=2.6)


def test_the_date_header_is_the_sandboxs_clock(empty: Reader) -> None:
    """The Date header follows the settable clock, so that a client can see its skew."""
    empty.control.set_clock(events_offset=-5000)
    answer = empty.call("GET", "subscriptions/list")
    skew = parsedate_to_datetime(answer.headers["Date"]) - datetime.fromisoformat(
        empty.ago(seconds=0)
    )
    assert abs(skew) < timedelta(seconds=60)


def test_live_records_flow_at_a_rate_that_may_change(empty: Reader) -> None:
    """Records occur at the switched rate as time goes on, in the search and in the feed alike."""
    empty.start()
    empty.control.alter(empty.name, feed_rate=0.05, blob_seconds=30.0)
    empty.control.set_clock(events_offset=7200)
    slow = len(empty.control.records(empty.name))
    empty.control.alter(empty.name, feed_rate=1.0)
    empty.control.set_clock(events_offset=14_400)
    empty.control.alter(empty.name, feed_rate=0.0)
    total = len(empty.control.records(empty.name))
    assert 200 < slow < 550
    assert 6000 < total - slow < 8500
    empty.control.set_clock(events_offset=14_700)
    found = [r["Id"] for each in TYPES for r in empty.records(each)]
    assert sorted(found) == sorted(t["Identity"] for t in empty.control.records(empty.name))


def test_nine_days_away(empty: Reader) -> None:
    """After nine days the feed has the last seven; the rest is out of reach, and counted so."""
    empty.start("Audit.SharePoint")
    empty.control.alter(empty.name, feed_rate=0.005, blob_seconds=600.0, content_page=500)
    empty.control.set_clock(events_offset=9 * DAY)
    assert (
        code(
            empty.content(
                "Audit.SharePoint",
                empty.now() - timedelta(days=8),
                empty.now() - timedelta(days=7.5),
            )
        )
        == "AF20055"
    )
    found = empty.records("Audit.SharePoint", days=7)
    share = len(found) / sum(
        t["contentType"] == "Audit.SharePoint" for t in empty.control.feed_truth(empty.name)
    )
    assert 0.7 < share < 0.85
    assert empty.control.report()["tenants"][empty.name]["feed"]["out_of_reach"] > 0


def test_truth_by_a_time(empty: Reader) -> None:
    """The truth says which records had become available by a time, and in which blobs."""
    fill(empty, 5)
    by = empty.ago(hours=3)
    early = empty.control.feed_truth(empty.name, by=by)
    late = empty.control.feed_truth(empty.name, start=by)
    assert len(early) + len(late) == 200
    assert (
        max(t["contentCreated"] for t in early) < by[:19] <= min(t["contentCreated"] for t in late)
    )
    blobs = {b["contentId"]: b for b in empty.control.blobs(empty.name)}
    assert all(each in blobs for t in early for each in t["contentIds"])
    assert sum(b["records"] for b in blobs.values()) == 200


def test_counts_of_blobs_and_listings(empty: Reader) -> None:
    """Each blob knows how often it was listed and fetched; listings count by content type."""
    fill(empty, 3)
    empty.control.clear_counters(served=True)
    entries = empty.entries("Audit.SharePoint")
    empty.call("GET", entries[0]["contentUri"])
    empty.call("GET", entries[0]["contentUri"])
    counts = {b["contentId"]: (b["listed"], b["fetched"]) for b in empty.control.blobs(empty.name)}
    assert counts.pop(entries[0]["contentId"]) == (1, 2)
    assert set(counts.values()) == {(1, 0)}
    assert empty.control.feed()["listings"][empty.name] == {"Audit.SharePoint": 1}
    assert empty.control.feed()["fetch_delay_seconds"]["p50"] > 0
    report = empty.control.report()["tenants"][empty.name]["feed"]
    assert (report["repeatedly"], report["never"]) == (1, len(counts))


def test_volume_of_a_fleet(empty: Reader) -> None:
    """One wish spreads so many records a second over tenants, a few of them large."""
    others = [f"{empty.name}-{n}" for n in range(20)]
    for name in others:
        empty.control.create_tenant(name)
    rates = empty.control.set_volume(10.0, sigma=1.5, tenants=others)
    assert sum(rates.values()) == pytest.approx(10.0)
    assert max(rates.values()) > 5 * min(rates.values())
    assert empty.control.tenant(others[0])["switches"]["feed_rate"] == rates[others[0]]
    empty.control.set_volume(0.0, tenants=others)
    for name in others:
        empty.control.remove_tenant(name)


def test_a_fleet_under_one_app(tmp_path: Path) -> None:
    """One certificate opens every tenant of a fleet, and records flow in all of them."""
    options = {"tenants": [], "fleet": 3, "one_app": True, "live": 6.0}
    with Sandbox(tmp_path, **options) as box:
        pair = make_pair()
        box.control.register("t0001", pair.pem)
        box.control.set_clock(events_offset=1800)
        for name in ("t0001", "t0002", "t0003"):
            reader = Reader(Caller(box, name, pair))
            reader.start()
            assert sum(len(reader.content(each).json()) for each in TYPES) > 0
        rates = [each["switches"]["feed_rate"] for each in box.control.tenants()]
        assert sum(rates) == pytest.approx(6.0)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real records here: {SHARED} is absent")
def test_real_records_come_as_they_are(tmp_path: Path) -> None:
    """A blob is the texts of its real records, joined, and together they are all that are JSON."""
    paths = [
        str(each) for each in sorted(SHARED.glob("*.ndjson.gz")) if "graph2otel" not in each.name
    ]
    start = (datetime.now(UTC) - timedelta(days=6)).isoformat()
    switches = {"blob_seconds": 3600.0, "content_page": 1000}
    with Sandbox(
        tmp_path, tenants=["contoso"], records=paths, start=start, switches=switches
    ) as box:
        pair = make_pair()
        box.control.register("contoso", pair.pem)
        reader = Reader(Caller(box, "contoso", pair))
        reader.start()
        inside: dict[str, list[str]] = {}
        for record in box.control.feed_truth("contoso"):
            inside.setdefault(record["contentIds"][0], []).append(record["AuditData"])
        entries = [each for kind in TYPES for each in reader.entries(kind, days=7)]
        assert {each["contentId"] for each in entries} == set(inside)
        for each in entries:
            body = reader.call("GET", each["contentUri"]).content
            texts = ",".join(inside[each["contentId"]])
            assert body == f"[{texts}]".encode("utf-8", "backslashreplace")
            json.loads(body)
        report = box.control.report()["tenants"]["contoso"]
        assert report["feed"]["records_fetched"] > 0.99 * report["records"]


def test_blobs_can_be_rendered_beforehand(empty: Reader) -> None:
    """Every blob can be rendered before anybody asks, within a number of megabytes."""
    fill(empty, 3)
    rendered = empty.control.render_blobs(most_mb=64, tenants=[empty.name])
    assert rendered["bytes"] > 100_000
    assert len(empty.records("Audit.SharePoint")) == 200
