"""The feed's work list, proved over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.contract.ledger_words import HOUR, MANY, T0, at, file_of, plan
from trailkeeper.errors import LeaseLost
from trailkeeper.model.feed.blob import LOOK_AGAIN, Blob, BlobMark, BlobState
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.segment import Finding, Leased, MergeCounts, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window
from trailkeeper.store.ledger import SqlLedger, open_ledger

FEED = Stream("contoso", Source.ACTIVITY)
DAY = Window(at(0), at(24), Axis.AVAILABLE)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = open_ledger(database_url)
    yield opened
    opened.close()


def blob(name: str, hours: float = 1, attempts: int = 0) -> Blob:
    created = at(hours)
    return Blob("Audit.General", name, "https://x/" + name, created, created + 168 * HOUR, attempts)


def leased(ledger: SqlLedger, window: Window = DAY) -> Leased:
    plan(ledger, NewSegment(FEED, window, Purpose.INCREMENTAL))
    segment = ledger.due(T0, 1, MANY)[0]
    taken = ledger.lease(segment.id, "worker", T0, T0 + HOUR, MANY)
    assert taken is not None
    return taken


def mark(ledger: SqlLedger, *marks: BlobMark) -> Leased:
    taken = leased(ledger)
    ledger.land(taken.lease, file_of(), [], [], T0, marks)
    return taken


def test_what_is_listed_is_to_be_fetched_oldest_first(ledger: SqlLedger) -> None:
    """New blobs come back as work, in the order in which they became available."""
    work = ledger.list_blobs("contoso", [blob("b", 2), blob("a", 1)], DAY, T0)
    assert [found.content_id for found in work.todo] == ["a", "b"]
    assert work.todo[0] == blob("a", 1)
    assert work.missing == []


def test_known_in_the_window_is_work_though_not_listed_again(ledger: SqlLedger) -> None:
    """A blob that an earlier look listed is fetched even if this listing does not show it."""
    ledger.list_blobs("contoso", [blob("a", 1), blob("far", 30)], DAY, T0)
    work = ledger.list_blobs("contoso", [], DAY, T0)
    assert [found.content_id for found in work.todo] == ["a"]


def test_a_strange_blob_outside_the_window_is_work(ledger: SqlLedger) -> None:
    """What is listed is fetched wherever it claims to have been created."""
    work = ledger.list_blobs("contoso", [blob("strange", 500)], DAY, T0)
    assert [found.content_id for found in work.todo] == ["strange"]


def test_done_with_the_landing_and_never_work_again(ledger: SqlLedger) -> None:
    """A landing marks its blobs done; listing them again brings nothing."""
    ledger.list_blobs("contoso", [blob("a"), blob("b")], DAY, T0)
    mark(ledger, BlobMark("a", BlobState.DONE, records=7, lag_seconds=60))
    work = ledger.list_blobs("contoso", [blob("a"), blob("b")], DAY, T0)
    assert [found.content_id for found in work.todo] == ["b"]


def test_blobs_of_a_damaged_file_are_work_again(ledger: SqlLedger) -> None:
    """What landed in a file that turned out damaged is fetched again, and nothing else."""
    ledger.list_blobs("contoso", [blob("a"), blob("b")], DAY, T0)
    taken = mark(ledger, BlobMark("a", BlobState.DONE, records=7, lag_seconds=60))
    merge = ledger.open_merge("contoso", "m", T0, T0 + HOUR, MANY)
    assert merge is not None
    other = leased(ledger, Window(at(0), at(12), Axis.AVAILABLE))
    ledger.land(other.lease, file_of(), [], [], T0, [BlobMark("b", BlobState.DONE)])
    gap = Finding(DAY, Verdict.GAP, T0, "damaged")
    ledger.set_aside(merge, gap, taken.segment.id, T0)
    work = ledger.list_blobs("contoso", [blob("a"), blob("b")], DAY, T0)
    assert work.todo == [blob("a")]


def test_a_look_under_way_does_not_lean_on_a_damaged_file(ledger: SqlLedger) -> None:
    """It was told that the blob is done: its lease ends, and it begins anew. Others go on."""
    ledger.list_blobs("contoso", [blob("a")], DAY, T0)
    taken = mark(ledger, BlobMark("a", BlobState.DONE))
    merge = ledger.open_merge("contoso", "m", T0, T0 + HOUR, MANY)
    assert merge is not None
    looking = leased(ledger, Window(at(0), at(12), Axis.AVAILABLE))
    elsewhere = leased(ledger, Window(at(24), at(36), Axis.AVAILABLE))
    ledger.set_aside(merge, Finding(DAY, Verdict.GAP, T0, "damaged"), taken.segment.id, at(1))
    with pytest.raises(LeaseLost):
        ledger.land(looking.lease, file_of(), [], [], T0)
    (again,) = ledger.due(T0, MANY, MANY)
    assert again.id == looking.segment.id
    ledger.land(elsewhere.lease, file_of(), [], [], T0)


def test_tenants_do_not_share_blobs(ledger: SqlLedger) -> None:
    """The same content id in another tenant is another blob."""
    ledger.list_blobs("contoso", [blob("a")], DAY, T0)
    mark(ledger, BlobMark("a", BlobState.DONE))
    assert ledger.list_blobs("fabrikam", [blob("a")], DAY, T0).todo == [blob("a")]


def test_attempts_are_remembered(ledger: SqlLedger) -> None:
    """A failed look leaves the blob to be fetched, with one more attempt."""
    ledger.list_blobs("contoso", [blob("a")], DAY, T0)
    mark(ledger, BlobMark("a", BlobState.LISTED, 1, "why"))
    assert ledger.list_blobs("contoso", [], DAY, T0).todo == [blob("a", attempts=1)]


def test_set_aside_rests_and_is_missing_until_then(ledger: SqlLedger) -> None:
    """A blob that was set aside is named as missing, and work again after its rest."""
    ledger.list_blobs("contoso", [blob("a")], DAY, T0)
    mark(ledger, BlobMark("a", BlobState.SET_ASIDE, 5, "why"))
    soon = ledger.list_blobs("contoso", [], DAY, T0 + HOUR)
    assert (soon.todo, [m.evidence for m in soon.missing]) == ([], ["why"])
    assert not soon.missing[0].lost
    later = ledger.list_blobs("contoso", [], DAY, T0 + LOOK_AGAIN)
    assert [found.content_id for found in later.todo] == ["a"]


def test_lost_stays_missing(ledger: SqlLedger) -> None:
    """A lost blob is never work again, and named by every later look at its hour."""
    ledger.list_blobs("contoso", [blob("a")], DAY, T0)
    mark(ledger, BlobMark("a", BlobState.LOST, 1, "gone"))
    work = ledger.list_blobs("contoso", [blob("a")], DAY, T0 + 100 * HOUR)
    assert work.todo == []
    assert work.missing[0].lost


def test_lag_is_told_once_the_records_are_in_the_lake(ledger: SqlLedger) -> None:
    """Both halves of the way are known after the merge, not before."""
    ledger.list_blobs("contoso", [blob("a", 1)], DAY, T0)
    taken = mark(ledger, BlobMark("a", BlobState.DONE, records=7, lag_seconds=60))
    assert ledger.blob_lags(None, T0, at(100)) == []
    merge = ledger.open_merge("contoso", "merger", at(1), at(2), 1 << 30)
    assert merge is not None
    merged_at = at(1) + timedelta(seconds=90)
    ledger.close_merge(merge, {taken.segment.id: MergeCounts(7, 7)}, merged_at)
    (lag,) = ledger.blob_lags("contoso", T0, at(100))
    assert (lag.records, lag.their_seconds, lag.our_seconds) == (7, 60, 90.0)
    assert ledger.blob_lags("fabrikam", T0, at(100)) == []


def test_lags_outlive_their_blobs(ledger: SqlLedger) -> None:
    """By content type and day, the same before and after the blobs are forgotten, and added up."""
    ledger.list_blobs("contoso", [blob("a", 1), blob("b", 2), blob("open", 3)], DAY, T0)
    taken = mark(
        ledger,
        BlobMark("a", BlobState.DONE, records=30, lag_seconds=600),
        BlobMark("b", BlobState.DONE, records=10, lag_seconds=7_200),
    )
    merge = ledger.open_merge("contoso", "merger", at(1), at(9), 1 << 30)
    assert merge is not None
    assert ledger.lags("contoso", DAY) == []
    ledger.close_merge(merge, {taken.segment.id: MergeCounts(40, 40)}, at(2) + timedelta(minutes=1))
    (lag,) = known = ledger.lags("contoso", DAY)
    assert lag.content_type == "Audit.General"
    assert lag.theirs == Spread.of([(600, 30), (7_200, 10)])
    assert lag.ours == Spread.of([(3_660, 30), (60, 10)])
    assert ledger.lags("contoso", Window(at(1.5), at(3), Axis.AVAILABLE))[0].theirs.total == 10
    assert ledger.lags("contoso", Window(at(24), at(48), Axis.AVAILABLE)) == []
    for hour in (169.5, 170.5, 171.5):
        ledger.forget_blobs(at(hour))
        assert ledger.lags("contoso", DAY) == known
    assert ledger.lags("fabrikam", DAY) == []
    ledger.forget_tenant("contoso")
    assert ledger.lags("contoso", DAY) == []


def test_what_was_there_before_us_is_no_lag_of_ours(ledger: SqlLedger) -> None:
    """Blobs from before the feed was followed tell of Microsoft's share only."""
    ledger.list_blobs("contoso", [blob("a", -5)], DAY, T0)
    taken = mark(ledger, BlobMark("a", BlobState.DONE, records=30, lag_seconds=600))
    merge = ledger.open_merge("contoso", "merger", at(1), at(9), 1 << 30)
    assert merge is not None
    ledger.close_merge(merge, {taken.segment.id: MergeCounts(30, 30)}, at(2))
    (lag,) = ledger.lags("contoso", Window(at(-6), at(24), Axis.AVAILABLE))
    assert (lag.theirs.total, lag.ours.total) == (30, 0)


def test_a_measure_is_kept_by_day(ledger: SqlLedger) -> None:
    """The newest value of each day and topic; days are asked for as a range, both ends included."""
    first, last = T0.date(), at(48).date()
    ledger.measure("contoso", "match", first, "old", T0)
    ledger.measure("contoso", "match", first, "new", at(1))
    ledger.measure("contoso", "match", last, "two", at(1))
    ledger.measure("contoso", "other", last, "three", at(1))
    assert ledger.measures("contoso", "match", first, last) == {first: "new", last: "two"}
    assert ledger.measures("contoso", "match", at(24).date(), last) == {last: "two"}
    assert ledger.measures("fabrikam", "match", first, last) == {}


def test_forgotten_after_expiry(ledger: SqlLedger) -> None:
    """Rows go when the feed itself no longer lists the blob."""
    ledger.list_blobs("contoso", [blob("old", 0), blob("young", 5)], DAY, T0)
    assert ledger.forget_blobs(at(169)) == 1
    assert [b.content_id for b in ledger.list_blobs("contoso", [], DAY, T0).todo] == ["young"]


def test_a_removed_tenant_leaves_no_blobs(ledger: SqlLedger) -> None:
    """Forgetting a tenant forgets its work list."""
    ledger.list_blobs("contoso", [blob("a")], DAY, T0)
    ledger.forget_tenant("contoso")
    assert ledger.list_blobs("contoso", [], DAY, T0).todo == []


def test_one_claim_of_many_is_heard(ledger: SqlLedger) -> None:
    """A claim is given once until it is old; a note in the past gives it back."""
    quarter = timedelta(minutes=15)
    assert ledger.claim("start", T0, T0 - quarter)
    assert not ledger.claim("start", T0 + HOUR / 5, T0 + HOUR / 5 - quarter)
    assert ledger.claim("start", T0 + HOUR, T0 + HOUR - quarter)
    ledger.note("start", "", T0)
    assert ledger.claim("start", T0 + HOUR, T0 + HOUR - quarter)


def test_a_poll_that_waits_is_not_followed_by_another(ledger: SqlLedger) -> None:
    """A tenant's feed waits from its poll's planning to its landing, while that fails as well; one
    that fails for good holds up nobody, and one that was told to rest does not meanwhile."""
    assert ledger.waiting_polls(Source.ACTIVITY, T0) == set()
    taken = leased(ledger)
    assert ledger.waiting_polls(Source.ACTIVITY, T0) == {"contoso"}
    ledger.release(taken.lease, at(1), "AF429", counts_as_attempt=False)
    assert ledger.waiting_polls(Source.ACTIVITY, T0) == set()
    for hour in range(1, 9):
        assert ledger.waiting_polls(Source.ACTIVITY, at(hour)) == {"contoso"}
        again = ledger.lease(taken.segment.id, "worker", at(hour), at(hour + 1), MANY)
        assert again is not None
        ledger.release(again.lease, at(hour + 1), "broken", counts_as_attempt=True)
    assert ledger.waiting_polls(Source.ACTIVITY, at(9)) == set()
