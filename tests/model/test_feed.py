"""The feed's rules of time: what is asked, what is planned, what a look proves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.coverage import derive
from trailkeeper.model.feed.blob import BlobLag, lags
from trailkeeper.model.feed.rules import (
    LOOKBACK,
    FeedCadence,
    PullEvidence,
    Trouble,
    horizon,
    listings,
    lost_hours,
    plan_feed,
    repairs,
)
from trailkeeper.model.planning import Watermark
from trailkeeper.model.segment import NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, total, union

NOW = datetime(2026, 11, 20, 12, 34, 56, 789, UTC)
FEED = Stream("contoso", Source.ACTIVITY)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def window(before: timedelta, until: timedelta = timedelta()) -> Window:
    return Window(NOW - before, NOW - until, Axis.AVAILABLE)


class TestListings:
    @given(st.integers(1, 20 * 86400), st.integers(0, 86400 * 6))
    def test_fill_what_can_be_asked(self, seconds: int, ago: int) -> None:
        """Listings cover the window inside the horizon, a day at most, in whole seconds."""
        wanted = window(timedelta(seconds=seconds + ago), timedelta(seconds=ago))
        found = listings(wanted, NOW)
        start = max(wanted.start, horizon(NOW))
        covered = union(each.window for each in found)
        assert covered == ([Window(start, wanted.end, wanted.axis)] if start < wanted.end else [])
        for each in found:
            assert each.asked.covers(each.window)
            assert each.asked.duration <= DAY
            assert each.asked.start >= NOW - LOOKBACK
            assert not each.asked.start.microsecond
            assert not each.asked.end.microsecond

    def test_own_what_is_theirs_and_what_is_strange(self) -> None:
        """A blob of the border is the neighbour's; one from nowhere is ours."""
        (listing,) = listings(window(2 * HOUR, HOUR), NOW)
        assert listing.owns(listing.window.start)
        assert not listing.owns(listing.window.start - timedelta(seconds=10))
        assert listing.owns(listing.window.start - DAY)


class TestLook:
    def test_a_quiet_look_is_complete(self) -> None:
        """Nothing missing: one complete finding over the window."""
        (found,) = PullEvidence(window(2 * HOUR, HOUR), NOW, NOW).findings()
        assert (found.window, found.verdict) == (window(2 * HOUR, HOUR), Verdict.COMPLETE)

    def test_a_lost_blob_costs_its_hour(self) -> None:
        """The hour of a lost blob is lost, of one that may still come a gap; the rest is whole."""
        at = NOW - 5 * HOUR
        asked = window(10 * HOUR, HOUR)
        troubles = [Trouble(at, True, "gone"), Trouble(at - 2 * HOUR, False, "broken")]
        found = PullEvidence(asked, NOW, NOW, troubles=troubles).findings()
        hour = Window(
            at.replace(minute=0, second=0, microsecond=0),
            at.replace(minute=0, second=0, microsecond=0) + HOUR,
            Axis.AVAILABLE,
        )
        assert [f.window for f in found if f.verdict is Verdict.LOST] == [hour]
        assert [f.verdict for f in found].count(Verdict.GAP) == 1
        assert union(f.window for f in found) == [asked]
        assert lost_hours(found) == [hour]
        (repair,) = repairs([hour], [FEED, Stream("contoso", Source.EXCHANGE)], NOW)
        assert repair.window == Window(hour.start - DAY, hour.end, Axis.OCCURRED)

    def test_beyond_the_horizon_is_lost(self) -> None:
        """What the feed has forgotten is lost by name, without a repair of its own."""
        found = PullEvidence(window(9 * DAY, 6 * DAY), NOW, NOW).findings()
        assert [f.verdict for f in found] == [Verdict.LOST, Verdict.COMPLETE]
        assert found[0].window.end == horizon(NOW)
        assert lost_hours(found) == []

    def test_a_late_loss_takes_back_what_was_proven(self) -> None:
        """An hour that was proven is a gap again when a late blob of it cannot be had."""
        asked = window(3 * HOUR, HOUR)
        first = PullEvidence(asked, NOW, NOW).findings()
        again = PullEvidence(
            asked, NOW + HOUR, NOW, troubles=[Trouble(asked.start, True, "gone")]
        ).findings()
        assert derive(FEED, asked, first, settle=HOUR).is_complete
        covered = derive(FEED, asked, [*first, *again], settle=HOUR)
        assert [gap.reason for gap in covered.gaps] == ["1 blob missing: gone"]
        healed = PullEvidence(asked, NOW + 2 * HOUR, NOW).findings()
        assert derive(FEED, asked, [*again, *healed, *first], settle=HOUR).is_complete


def planned(now: datetime, watermark: Watermark | None) -> list[NewSegment]:
    return list(plan_feed(FEED, now - 30 * DAY, FeedCadence(), now, watermark))


class TestPlanning:
    def test_begins_with_what_the_feed_remembers(self) -> None:
        """The first plan reaches back to the horizon and no further; the last hour goes first."""
        found = planned(NOW, None)
        assert found[0].purpose is Purpose.INCREMENTAL
        assert found[0].window.duration == HOUR
        (whole,) = union(new.window for new in found)
        assert horizon(NOW) < whole.start < horizon(NOW) + HOUR
        assert total(new.window for new in found) == whole.duration

    @pytest.mark.parametrize("tenant", ["contoso", "fabrikam", "litware"])
    def test_a_poll_a_minute(self, tenant: str) -> None:
        """However often one looks, each minute has one window; it begins where the last ended."""
        stream, until = Stream(tenant, Source.ACTIVITY), NOW - timedelta(seconds=70)
        polls = []
        for seconds in range(0, 600, 5):
            now = NOW + timedelta(seconds=seconds)
            for new in plan_feed(stream, NOW, FeedCadence(), now, Watermark(NOW - DAY, until, NOW)):
                if new.purpose is Purpose.INCREMENTAL:
                    assert new.window.start == until
                    until = new.window.end
                    polls.append(seconds)
                    assert now - until <= FeedCadence().safety_lag + timedelta(seconds=1)
        assert len(polls) in (10, 11)
        assert {after - before for before, after in pairwise(polls[1:])} == {60}

    def test_tenants_take_turns(self) -> None:
        """A thousand tenants' polls spread over the minute instead of coming at once."""
        watermark = Watermark(NOW - DAY, NOW - timedelta(seconds=15), NOW)
        due = [
            any(new.purpose is Purpose.INCREMENTAL for new in found)
            for number in range(1000)
            for found in [
                list(
                    plan_feed(
                        Stream(f"tenant-{number}", Source.ACTIVITY),
                        NOW - DAY,
                        FeedCadence(),
                        NOW,
                        watermark,
                    )
                )
            ]
        ]
        assert 40 < sum(due) < 140  # five seconds of sixty

    def test_nine_days_down(self) -> None:
        """What the feed has forgotten is one segment; nothing is left out."""
        stopped = NOW - 9 * DAY
        watermark = Watermark(stopped - 30 * DAY, stopped, stopped - 30 * DAY)
        found = [new for new in planned(NOW, watermark) if new.purpose is not Purpose.REREAD]
        (whole,) = union(new.window for new in found)
        assert whole.start == stopped
        forgotten = [new for new in found if new.window.end <= horizon(NOW)]
        assert [new.window.start for new in forgotten] == [stopped]

    def test_closed_hours_are_listed_again(self) -> None:
        """Each age lists whole hours again, once, and never beyond the horizon."""
        rounds = tuple(NOW - age - 3 * HOUR for age in FeedCadence().relist_after)
        rounds = tuple(at.replace(minute=0, second=0, microsecond=0) for at in rounds)
        watermark = Watermark(NOW - 30 * DAY, NOW, NOW - 30 * DAY, rounds)
        found = [new for new in planned(NOW, watermark) if new.purpose is Purpose.REREAD]
        assert {new.round for new in found} == {1, 2, 3, 4}
        assert all(new.window.start >= horizon(NOW) for new in found)
        assert all(new.window.start.minute == new.window.end.minute == 0 for new in found)


def test_lag_counts_every_record() -> None:
    """Percentiles are of records, not of blobs, apart for Microsoft's share and ours."""
    early = BlobLag("Audit.General", NOW, NOW + timedelta(seconds=10), 99, 60)
    late = BlobLag("Audit.General", NOW, NOW + timedelta(seconds=500), 1, 7200)
    (found,) = lags([late, early])
    assert (found.records, found.our_p50, found.our_p99) == (100, 10.0, 10.0)
    assert (found.their_p50, found.their_p95) == (60.0, 60.0)
