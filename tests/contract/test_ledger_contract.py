"""What every ledger does, proved over SQLite and PostgreSQL: planning, leasing, parking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from tests.contract.ledger_words import (
    CONTOSO,
    FABRIKAM,
    FEED,
    HOUR,
    MANY,
    MINUTE,
    T0,
    at,
    file_of,
    found,
    land,
    new,
    plan,
    take,
    window,
)
from trailkeeper.errors import Bug, LeaseLost
from trailkeeper.model.identity import Identity
from trailkeeper.model.planning import Watermark
from trailkeeper.model.segment import (
    Finding,
    Landed,
    Lease,
    MergeCounts,
    NewSegment,
    Purpose,
    SegmentState,
    Verdict,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, AxisMixedError, Window
from trailkeeper.ports.ledger import Ledger
from trailkeeper.ports.parking import PAUSED, Parking
from trailkeeper.store.ledger import SqlLedger, open_ledger

EMPTY = Landed(None, 0, 0, requests=3)
Planner = Callable[[Watermark | None], Iterable[NewSegment]]


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = open_ledger(database_url)
    yield opened
    opened.close()


def test_a_name_is_kept_for_the_directory_that_came_first(ledger: SqlLedger) -> None:
    """Whoever adopts a name later is told whose it is; forgetting the tenant frees the name."""
    first, second = Identity(UUID(int=1), "public"), Identity(UUID(int=1), "gcc")
    assert ledger.adopt({"contoso": first}, T0) == {"contoso": first}
    taken = ledger.adopt({"contoso": second, "fabrikam": second}, T0)
    assert taken == {"contoso": first, "fabrikam": second}
    assert (ledger.identity("contoso"), ledger.identities()) == (first, taken)
    ledger.forget_tenant("contoso")
    assert (ledger.identity("contoso"), ledger.identities()) == (None, {"fabrikam": second})
    assert ledger.adopt({}, T0) == {}


def test_it_is_a_ledger(ledger: SqlLedger) -> None:
    """The SQL ledger has every method of the port (checked by type here, by use below)."""
    port: Ledger = ledger
    assert port.watermark(CONTOSO) is None


class TestPlanning:
    def test_adds_what_the_planner_yields(self, ledger: Ledger) -> None:
        """Planned segments come back with all that was said about them."""
        assert (
            plan(ledger, new(3, round=0, due_at=at(1)), new(4, purpose=Purpose.RETRY, round=2)) == 2
        )
        first, second = ledger.segments([1, 2])
        assert (first.window, first.purpose, first.due_at) == (
            window(3, 4),
            Purpose.BACKFILL,
            at(1),
        )
        assert (second.purpose, second.round, second.due_at) == (Purpose.RETRY, 2, T0)
        assert first.state is SegmentState.PLANNED

    def test_twice_adds_nothing(self, ledger: Ledger) -> None:
        """An identity that exists is left alone, within one call too."""
        assert plan(ledger, new(0), new(0), new(1)) == 2
        assert plan(ledger, new(0), new(1), new(2)) == 1

    def test_many_at_once(self, ledger: Ledger) -> None:
        """The number of added segments is exact for a long list, some of it known already."""
        plan(ledger, *(new(hour) for hour in range(0, 900, 3)))
        assert plan(ledger, *(new(hour) for hour in range(900))) == 600

    def test_fresh_and_backfill_move_the_watermark(self, ledger: Ledger) -> None:
        """The watermark begins at the first window and widens at both ends."""
        plan(ledger, new(5, purpose=Purpose.INCREMENTAL), now=at(7))
        assert ledger.watermark(CONTOSO) == Watermark(at(5), at(6), begun_at=at(7))
        plan(ledger, new(2), new(6, purpose=Purpose.INCREMENTAL), now=at(9))
        assert ledger.watermark(CONTOSO) == Watermark(at(2), at(7), begun_at=at(7))

    def test_rereads_move_their_round(self, ledger: Ledger) -> None:
        """Each round of re-reading has its own mark, and no mark moves back."""
        plan(ledger, new(0, length=9))
        plan(ledger, new(3, purpose=Purpose.REREAD, round=2))
        plan(ledger, new(1, purpose=Purpose.REREAD, round=2))
        watermark = ledger.watermark(CONTOSO)
        assert watermark is not None
        assert watermark.reread_until == (None, at(4))
        assert (watermark.first_at, watermark.fresh_until) == (at(0), at(9))

    def test_requests_and_retries_move_nothing(self, ledger: Ledger) -> None:
        """A stream known only by an operator's request has no watermark."""
        plan(ledger, new(0, purpose=Purpose.COLLECT), new(1, purpose=Purpose.RETRY, round=1))
        assert ledger.watermark(CONTOSO) is None
        assert ledger.streams("contoso") == [CONTOSO]

    def test_the_planner_sees_the_watermark(self, ledger: Ledger) -> None:
        """A planner that goes on from the watermark leaves no hole and plans nothing twice."""

        def onwards(watermark: Watermark | None, now: int) -> Iterator[NewSegment]:
            start = watermark.fresh_until if watermark else T0
            if start < at(now):
                yield NewSegment(CONTOSO, Window(start, at(now)), Purpose.INCREMENTAL)

        for hour in (1, 2, 2, 5, 6, 6):
            ledger.plan(CONTOSO, lambda watermark, hour=hour: onwards(watermark, hour), at(hour))  # type: ignore[misc]  # bound early
        windows = sorted(segment.window for segment in ledger.due(at(6), MANY, MANY))
        assert windows == [window(0, 1), window(1, 2), window(2, 5), window(5, 6)]

    def test_many_streams_in_one_transaction(self, ledger: Ledger) -> None:
        """Each planner sees its own stream's watermark; what was added comes back, old time not."""
        plan(ledger, new(0, FABRIKAM, Purpose.INCREMENTAL))
        seen: dict[Stream, Watermark | None] = {}

        def planner(stream: Stream, *wanted: NewSegment) -> Planner:
            def yields(watermark: Watermark | None) -> list[NewSegment]:
                seen[stream] = watermark
                return list(wanted)

            return yields

        fresh = [new(n, FABRIKAM, Purpose.INCREMENTAL) for n in (0, 1)]
        planners = {
            FABRIKAM: planner(FABRIKAM, *fresh),
            CONTOSO: planner(CONTOSO, new(3, purpose=Purpose.INCREMENTAL)),
            FEED: planner(FEED),
        }
        added = ledger.plan_all(planners, at(4))
        assert sorted((each.stream, each.window) for each in added) == [
            (CONTOSO, window(3, 4)),
            (FABRIKAM, window(1, 2)),
        ]
        assert {each.state for each in added} == {SegmentState.PLANNED}
        assert seen == {CONTOSO: None, FEED: None, FABRIKAM: Watermark(at(0), at(1), T0)}
        assert ledger.watermarks(Source.EXCHANGE) == {
            CONTOSO: Watermark(at(3), at(4), at(4)),
            FABRIKAM: Watermark(at(0), at(2), T0),
        }
        assert ledger.watermarks(Source.ACTIVITY) == {}
        assert ledger.plan_all(planners, at(5)) == []
        assert ledger.plan_all({}, at(5)) == []

    def test_a_finished_request_can_be_made_again(self, ledger: Ledger) -> None:
        """COLLECT and RETRY are unique among unfinished segments only; others for ever."""
        wanted = [
            new(0, purpose=Purpose.COLLECT),
            new(0, purpose=Purpose.RETRY, round=1),
            new(0, purpose=Purpose.BACKFILL),
            new(0, purpose=Purpose.REREAD, round=1),
        ]
        assert plan(ledger, *wanted) == 4
        assert plan(ledger, *wanted) == 0
        for _ in wanted:
            land(ledger, take(ledger), EMPTY)
        assert plan(ledger, *wanted) == 2

    def test_a_request_is_left_alone_while_it_waits_for_the_merge(self, ledger: Ledger) -> None:
        """Leased and landed are unfinished; lost is finished."""
        request = new(0, purpose=Purpose.COLLECT)
        plan(ledger, request)
        leased = take(ledger)
        assert plan(ledger, request) == 0
        land(ledger, leased)
        assert plan(ledger, request) == 0
        other = new(1, purpose=Purpose.COLLECT)
        plan(ledger, other)
        lost = take(ledger)
        ledger.lose(lost.lease, [found(lost, Verdict.LOST)], T0)
        assert plan(ledger, other) == 1

    def test_planned_ids_follow_the_question(self, ledger: Ledger) -> None:
        """Ids of unfinished segments, in the order asked, without the finished and the unknown."""
        plan(ledger, new(0), new(1), new(2), new(0, FEED))
        land(ledger, take(ledger), EMPTY)  # the newest window of contoso/exchange: hour 2
        wanted = [new(0, FEED), new(2), new(9), new(1), new(0), new(1)]
        assert ledger.planned_ids(wanted) == [4, 2, 1]
        assert ledger.planned_ids([]) == []

    def test_a_window_on_the_wrong_axis_is_refused(self, ledger: Ledger) -> None:
        """The feed cannot be asked by occurrence, nor the search by availability."""
        wrong = NewSegment(FEED, Window(T0, at(1), Axis.OCCURRED), Purpose.COLLECT)
        with pytest.raises(AxisMixedError):
            ledger.plan(FEED, lambda _: [wrong], T0)
        assert ledger.streams("contoso") == []

    def test_a_planner_that_fails_leaves_no_trace(self, ledger: Ledger) -> None:
        """Planning is one transaction: an error in it undoes all of it."""

        def failing(_: Watermark | None) -> Iterator[NewSegment]:
            yield new(0)
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            ledger.plan(CONTOSO, failing, T0)
        assert ledger.due(at(1), MANY, MANY) == []

    def test_extent_spans_every_segment(self, ledger: Ledger) -> None:
        """From the earliest start to the latest end; None for a stream without segments."""
        plan(ledger, new(4), new(1, purpose=Purpose.COLLECT))
        assert ledger.extent(CONTOSO) == window(1, 5)
        assert ledger.extent(FABRIKAM) is None


class TestDue:
    def test_purpose_then_newest_window(self, ledger: Ledger) -> None:
        """Within a stream: fresh, asked for, retried, re-read, old; and the newest window first."""
        plan(
            ledger,
            new(1),
            new(2),
            new(3, purpose=Purpose.REREAD, round=1),
            new(4, purpose=Purpose.RETRY, round=1),
            new(5, purpose=Purpose.COLLECT),
            new(6, purpose=Purpose.INCREMENTAL),
        )
        due = ledger.due(T0, MANY, MANY)
        assert [s.window.start for s in due] == [at(h) for h in (6, 5, 4, 3, 2, 1)]

    def test_streams_take_turns(self, ledger: Ledger) -> None:
        """A stream with a thousand segments does not go before one with two."""
        plan(ledger, *(new(hour) for hour in range(1000)))
        plan(ledger, new(0, FABRIKAM), new(1, FABRIKAM))
        tenants = [s.stream.tenant for s in ledger.due(T0, 5, MANY)]
        assert tenants == ["contoso", "fabrikam", "contoso", "fabrikam", "contoso"]

    def test_fresh_time_goes_before_old_of_other_streams(self, ledger: Ledger) -> None:
        """A fresh window does not wait behind the back-fill of the fleet."""
        plan(ledger, new(0), new(1), new(5, FABRIKAM, Purpose.INCREMENTAL))
        assert ledger.due(T0, 1, MANY)[0].stream == FABRIKAM

    def test_who_waited_longest_goes_first(self, ledger: Ledger) -> None:
        """With one worker, streams alternate although one was planned long before the other."""
        plan(ledger, *(new(hour) for hour in range(3)))
        plan(ledger, *(new(hour, FABRIKAM) for hour in range(3)))
        served = []
        for minute in range(6):
            leased = take(ledger, T0 + minute * MINUTE)
            served.append(leased.segment.stream.tenant)
            land(ledger, leased, EMPTY)
        assert served == ["contoso", "fabrikam"] * 3

    def test_live_leases_count_against_the_stream(self, ledger: Ledger) -> None:
        """`per_stream` minus the live leases; a lease past its deadline is due itself."""
        plan(ledger, *(new(hour) for hour in range(5)))
        first = take(ledger)
        assert len(ledger.due(T0, MANY, 2)) == 1
        assert ledger.due(T0, MANY, 1) == []
        late = first.lease.deadline_at
        assert next(s.id for s in ledger.due(late, MANY, 2)) == first.segment.id

    def test_not_before_its_time(self, ledger: Ledger) -> None:
        """A segment is due at `due_at`, not a microsecond before."""
        plan(ledger, new(0, due_at=at(2)))
        assert ledger.due(at(2) - timedelta(microseconds=1), MANY, MANY) == []
        assert len(ledger.due(at(2), MANY, MANY)) == 1

    def test_limit(self, ledger: Ledger) -> None:
        """Never more than `limit`."""
        plan(ledger, *(new(hour) for hour in range(9)))
        assert len(ledger.due(T0, 4, MANY)) == 4

    def test_of_one_stream(self, ledger: Ledger) -> None:
        """Asked for one stream, the same order and limits hold, and nobody else's is shown."""
        plan(ledger, *(new(hour, stream) for hour in range(3) for stream in (CONTOSO, FABRIKAM)))
        take(ledger)
        places = [len(ledger.due(T0, MANY, 2, stream)) for stream in (CONTOSO, FABRIKAM)]
        assert sorted(places) == [1, 2]
        assert {s.stream for s in ledger.due(T0, MANY, MANY, FABRIKAM)} == {FABRIKAM}
        assert ledger.due(T0, 1, MANY, CONTOSO)[0].stream == CONTOSO
        assert ledger.due(T0, MANY, MANY, FEED) == []

    def test_a_postponed_stream_rests(self, ledger: Ledger) -> None:
        """Throttling holds one stream back until its time and never moves it earlier."""
        plan(ledger, new(0), new(0, FABRIKAM))
        ledger.postpone(CONTOSO, at(2))
        ledger.postpone(CONTOSO, at(1))
        segment = ledger.segments([1])[0]
        assert [s.stream for s in ledger.due(at(1), MANY, MANY)] == [FABRIKAM]
        assert ledger.lease(segment.id, "w", at(1), at(3), MANY) is None
        assert len(ledger.due(at(2), MANY, MANY)) == 2
        assert ledger.lease(segment.id, "w", at(2), at(3), MANY) is not None


class TestLeasing:
    def test_one_owner(self, ledger: Ledger) -> None:
        """A leased segment is nobody else's until the deadline."""
        plan(ledger, new(0))
        leased = take(ledger, owner="first")
        assert leased.lease == Lease(leased.segment.id, "first", 1, at(1))
        assert leased.segment.state is SegmentState.LEASED
        assert ledger.lease(leased.segment.id, "second", T0, at(1), MANY) is None
        assert ledger.due(T0, MANY, MANY) == []

    def test_taken_over_after_the_deadline(self, ledger: Ledger) -> None:
        """The next owner has a higher epoch; everything the late one says is refused."""
        plan(ledger, new(0))
        late = take(ledger, owner="late")
        taken = take(ledger, now=at(1), owner="next")
        assert taken.lease.epoch == late.lease.epoch + 1
        assert taken.segment.attempts == 1
        for call in (
            lambda: ledger.renew(late.lease, at(9)),
            lambda: land(ledger, late),
            lambda: ledger.release(late.lease, T0, "", counts_as_attempt=True),
            lambda: ledger.lose(late.lease, [], T0),
        ):
            with pytest.raises(LeaseLost, match="late no longer owns"):
                call()
        land(ledger, taken)
        assert ledger.segments([taken.segment.id])[0].state is SegmentState.LANDED

    def test_renewed(self, ledger: Ledger) -> None:
        """A renewed lease lives longer, under the same epoch, even renewed a little late."""
        plan(ledger, new(0))
        leased = take(ledger)
        renewed = ledger.renew(leased.lease, at(5))
        assert renewed == Lease(leased.lease.segment_id, "worker", 1, at(5))
        assert ledger.due(at(4), MANY, MANY) == []
        assert len(ledger.due(at(5), MANY, MANY)) == 1
        assert ledger.renew(renewed, at(8)).deadline_at == at(8)

    def test_full_stream(self, ledger: Ledger) -> None:
        """No more than `per_stream` live leases, whoever asks for which segment."""
        plan(ledger, new(0), new(1), new(0, FABRIKAM))
        assert ledger.lease(1, "a", T0, at(1), 1) is not None
        assert ledger.lease(2, "b", T0, at(1), 1) is None
        assert ledger.lease(3, "b", T0, at(1), 1) is not None
        assert ledger.lease(2, "b", at(1), at(2), 1) is not None

    def test_released(self, ledger: Ledger) -> None:
        """Back to planned at the said time; only a real failure counts as an attempt."""
        plan(ledger, new(0))
        leased = take(ledger)
        ledger.release(leased.lease, at(2), "503 \x00\ud800", counts_as_attempt=True)
        segment = ledger.segments([leased.segment.id])[0]
        assert (segment.state, segment.attempts, segment.due_at) == (SegmentState.PLANNED, 1, at(2))
        assert segment.error.startswith("503 \ufffd")
        again = take(ledger, at(2))
        ledger.release(again.lease, at(3), "429", counts_as_attempt=False)
        assert ledger.segments([leased.segment.id])[0].attempts == 1
        with pytest.raises(LeaseLost):
            ledger.renew(again.lease, at(4))

    def test_unknown_segment(self, ledger: Ledger) -> None:
        """Leasing what is not there gives None."""
        assert ledger.lease(12345, "w", T0, at(1), MANY) is None
        assert ledger.segments([12345]) == []

    def test_landing_without_records_is_merged_at_once(self, ledger: Ledger) -> None:
        """Nothing to merge, so its findings count straight away."""
        plan(ledger, new(0))
        leased = take(ledger)
        land(ledger, leased, EMPTY)
        assert ledger.segments([leased.segment.id])[0].state is SegmentState.MERGED
        assert ledger.findings(CONTOSO, window(0, 1)) == [found(leased)]
        assert ledger.tenants_to_merge() == []
        assert ledger.known_files() == set()

    def test_landing_twice_changes_nothing(self, ledger: Ledger) -> None:
        """A landing whose answer was lost is repeated without a second set of findings."""
        plan(ledger, new(0))
        leased = take(ledger)
        for _ in range(2):
            land(ledger, leased, EMPTY, follow_ups=[new(0, purpose=Purpose.RETRY, round=1)])
        assert len(ledger.findings(CONTOSO, window(0, 1))) == 1
        assert len(ledger.due(T0, MANY, MANY)) == 1
        with pytest.raises(LeaseLost):
            land(ledger, leased, file_of())

    def test_landing_plans_what_was_not_proven(self, ledger: Ledger) -> None:
        """Follow-ups are planned in the same transaction, due when they say."""
        plan(ledger, new(0))
        leased = take(ledger)
        retry = new(0, purpose=Purpose.RETRY, round=1, due_at=at(3))
        land(ledger, leased, follow_ups=[retry])
        assert [s.round for s in ledger.due(at(3), MANY, MANY)] == [1]
        assert ledger.due(at(2), MANY, MANY) == []

    def test_shared(self, ledger: Ledger) -> None:
        """A leased segment is narrowed and the rest planned, both or neither."""
        plan(ledger, new(0, length=4))
        leased = take(ledger)
        rest = [new(0), new(1)]
        assert ledger.share(leased.lease, window(2, 4), rest, T0)
        assert [s.window for s in ledger.due(T0, MANY, MANY)] == [window(1, 2), window(0, 1)]
        assert ledger.segments([leased.segment.id])[0].window == window(2, 4)
        ledger.renew(leased.lease, at(2))
        again = take(ledger, at(2))
        with pytest.raises(LeaseLost):
            ledger.share(leased.lease, window(3, 4), [new(2)], T0)
        assert ledger.segments([again.segment.id])[0].window == window(2, 4)

    @pytest.mark.parametrize("taken", [0, 2])
    def test_not_shared_when_a_part_stands_already(self, ledger: Ledger, taken: float) -> None:
        """A part that has a segment of its kind, whatever became of it, leaves all as it was."""
        plan(ledger, new(taken, length=2))
        land(ledger, take(ledger), EMPTY)
        plan(ledger, new(0, length=4))
        leased = take(ledger)
        assert not ledger.share(leased.lease, window(2, 4), [new(0, length=2)], T0)
        assert ledger.segments([leased.segment.id])[0].window == window(0, 4)
        assert ledger.due(T0, MANY, MANY) == []

    def test_what_was_collected_before_is_shared_again(self, ledger: Ledger) -> None:
        """An operator may ask for the same range again, and its parts are shared again."""
        collect = Purpose.COLLECT
        for _ in range(2):
            plan(ledger, new(0, length=4, purpose=collect))
            leased = take(ledger)
            rest = [new(0, length=2, purpose=collect)]
            assert ledger.share(leased.lease, window(2, 4), rest, T0)
            land(ledger, leased, EMPTY)
            land(ledger, take(ledger), EMPTY)

    def test_lost(self, ledger: Ledger) -> None:
        """What the provider no longer has is finished, with its findings."""
        plan(ledger, new(0))
        leased = take(ledger)
        lost = found(leased, Verdict.LOST)
        ledger.lose(leased.lease, [lost], T0)
        ledger.lose(leased.lease, [lost], T0)
        assert ledger.findings(CONTOSO, window(0, 1)) == [lost]
        assert ledger.due(at(9), MANY, MANY) == []

    def test_unfinished_looks_along_its_own_axis(self, ledger: Ledger) -> None:
        """Planned, leased and landed segments that overlap, on the axis of the question."""
        plan(ledger, new(0), new(1), new(2), new(3), new(1, FEED), new(1, FABRIKAM))
        land(ledger, take(ledger), EMPTY)
        occurred = ledger.unfinished("contoso", window(1, 3))
        available = ledger.unfinished("contoso", window(1, 3, FEED))
        assert [s.window for s in occurred] == [window(1, 2), window(2, 3)]
        assert [s.stream for s in available] == [FEED]
        assert ledger.unfinished("contoso", window(3, 4)) == []


class TestMerging:
    def _landed(self, ledger: Ledger, *sizes: int, stream: Stream = CONTOSO) -> None:
        for index, size in enumerate(sizes):
            plan(ledger, new(index, stream))
            land(ledger, take(ledger), file_of(size), now=at(index))

    def test_oldest_first_up_to_the_limit(self, ledger: Ledger) -> None:
        """Landed segments are claimed in the order they landed, at least one, within the bytes."""
        self._landed(ledger, 60, 60, 60)
        merge = ledger.open_merge("contoso", "m", at(5), at(6), 120)
        assert merge is not None
        assert [e.landed_at for e in merge.entries] == [at(0), at(1)]
        assert merge.entries[0].landed == file_of(60)
        ledger.close_merge(
            merge, {e.segment_id: MergeCounts(10, 9, 1) for e in merge.entries}, at(5)
        )
        last = ledger.open_merge("contoso", "m", at(5), at(6), 1)
        assert last is not None
        assert [e.landed_at for e in last.entries] == [at(2)]

    def test_one_at_a_time_per_tenant(self, ledger: Ledger) -> None:
        """While a live worker merges a tenant nobody else does; other tenants are free."""
        self._landed(ledger, 1, 1)
        self._landed(ledger, 1, stream=FABRIKAM)
        assert ledger.open_merge("contoso", "a", at(5), at(6), 1) is not None
        assert ledger.open_merge("contoso", "b", at(5), at(6), 1) is None
        assert ledger.open_merge("fabrikam", "b", at(5), at(6), 1) is not None

    def test_reclaimed_unchanged(self, ledger: Ledger) -> None:
        """A merge left open comes back with the same id and entries and a new epoch."""
        self._landed(ledger, 1, 1)
        left = ledger.open_merge("contoso", "dead", at(5), at(6), 1)
        again = ledger.open_merge("contoso", "next", at(6), at(7), MANY)
        assert left is not None
        assert again is not None
        assert (again.id, again.entries) == (left.id, left.entries)
        assert (again.owner, again.epoch) == ("next", left.epoch + 1)
        counts = {e.segment_id: MergeCounts() for e in left.entries}
        with pytest.raises(LeaseLost):
            ledger.renew_merge(left, at(9))
        with pytest.raises(LeaseLost):
            ledger.close_merge(left, counts, at(6))
        ledger.close_merge(again, counts, at(6))

    def test_renewed(self, ledger: Ledger) -> None:
        """A renewed merge is not handed out at its first deadline."""
        self._landed(ledger, 1)
        merge = ledger.open_merge("contoso", "a", at(5), at(6), 1)
        assert merge is not None
        ledger.renew_merge(merge, at(8))
        assert ledger.open_merge("contoso", "b", at(7), at(9), 1) is None
        assert ledger.open_merge("contoso", "b", at(8), at(9), 1) is not None

    def test_released(self, ledger: Ledger) -> None:
        """A merge given back is handed out at once, unchanged; by one that lost it, nothing is."""
        self._landed(ledger, 1)
        merge = ledger.open_merge("contoso", "a", at(5), at(9), 1)
        assert merge is not None
        ledger.release_merge(merge, at(6))
        again = ledger.open_merge("contoso", "b", at(6), at(9), 1)
        assert again is not None
        assert (again.id, again.entries) == (merge.id, merge.entries)
        ledger.release_merge(merge, at(6))
        assert ledger.open_merge("contoso", "c", at(7), at(9), 1) is None

    def test_ids_grow_for_ever(self, ledger: Ledger) -> None:
        """A later merge has a larger id, whatever the clock says and whatever was forgotten."""
        ids = []
        for index, now in enumerate((at(5), at(5), at(4))):
            plan(ledger, new(index))
            land(ledger, take(ledger))
            merge = ledger.open_merge("contoso", "a", now, now + HOUR, 1)
            assert merge is not None
            ledger.close_merge(merge, {merge.entries[0].segment_id: MergeCounts()}, now)
            ids.append(merge.id)
        ledger.forget_tenant("contoso")
        self._landed(ledger, 1)
        after = ledger.open_merge("contoso", "a", at(6), at(7), 1)
        assert after is not None
        assert [*ids, after.id] == sorted({*ids, after.id})

    def test_closed_with_counts(self, ledger: Ledger) -> None:
        """Entries become merged with their counts; closing twice changes nothing."""
        self._landed(ledger, 1, 1)
        merge = ledger.open_merge("contoso", "a", at(5), at(6), MANY)
        assert merge is not None
        counts = {e.segment_id: MergeCounts(10, 8, 2, 1) for e in merge.entries}
        ledger.close_merge(merge, counts, at(5))
        ledger.close_merge(merge, counts, at(5))
        assert ledger.counts(CONTOSO, window(0, 9)) == MergeCounts(20, 16, 4, 2)
        assert ledger.counts(CONTOSO, window(1.5, 9)) == MergeCounts(10, 8, 2, 1)
        assert ledger.counts(FABRIKAM, window(0, 9)) == MergeCounts()
        assert ledger.tenants_to_merge() == []
        assert ledger.open_merge("contoso", "a", at(5), at(6), MANY) is None

    def test_an_entry_without_counts_is_a_bug(self, ledger: Ledger) -> None:
        """A lake that forgets an entry must not lose it: nothing is marked."""
        self._landed(ledger, 1, 1)
        merge = ledger.open_merge("contoso", "a", at(5), at(6), MANY)
        assert merge is not None
        with pytest.raises(Bug):
            ledger.close_merge(merge, {merge.entries[0].segment_id: MergeCounts()}, at(5))
        assert len(ledger.known_files()) == 1
        assert ledger.open_merge("contoso", "b", at(6), at(7), MANY) is not None

    def test_landed_is_not_yet_proven(self, ledger: Ledger) -> None:
        """Findings of a landed segment count only once it is merged."""
        self._landed(ledger, 1)
        assert ledger.findings(CONTOSO, window(0, 9)) == []
        merge = ledger.open_merge("contoso", "a", at(5), at(6), MANY)
        assert merge is not None
        ledger.close_merge(merge, {merge.entries[0].segment_id: MergeCounts()}, at(5))
        assert [f.evidence for f in ledger.findings(CONTOSO, window(0, 9))] == [
            {"calls": 3, "warnings": []}
        ]
        assert ledger.findings(CONTOSO, window(1, 9)) == []
        with pytest.raises(AxisMixedError):
            ledger.findings(CONTOSO, window(0, 9, FEED))

    def test_what_a_damaged_file_held_is_asked_for_again(self, ledger: Ledger) -> None:
        """The merge goes on without it; its time is a gap, and a retry of its own is planned."""
        self._landed(ledger, 1, 1)
        retry = new(0, purpose=Purpose.RETRY, round=1)
        plan(ledger, retry)  # it may lean on what turns out damaged
        merge = ledger.open_merge("contoso", "a", at(5), at(6), MANY)
        assert merge is not None
        damaged, whole = merge.entries
        gap = Finding(window(0, 1), Verdict.GAP, at(5), "damaged")
        left = ledger.set_aside(merge, gap, damaged.segment_id, at(7))
        assert left.entries == (whole,)
        ledger.close_merge(left, {whole.segment_id: MergeCounts(10, 10)}, at(5))
        assert ledger.counts(CONTOSO, window(0, 9)) == MergeCounts(10, 10)
        assert [f.verdict for f in ledger.findings(CONTOSO, window(0, 9))] == [
            Verdict.GAP,
            Verdict.COMPLETE,
        ]
        assert ledger.known_files() == set()
        due = ledger.due(at(7), MANY, MANY)
        assert {(s.window, s.purpose, s.round) for s in due} == {
            (window(0, 1), Purpose.RETRY, 1),
            (window(0, 1), Purpose.RETRY, 2),
        }

    def test_a_late_merge_sets_nothing_aside(self, ledger: Ledger) -> None:
        """Who lost the merge changes nothing, and a merge handed out again lacks what was."""
        self._landed(ledger, 1, 1)
        late = ledger.open_merge("contoso", "a", at(5), at(6), MANY)
        merge = ledger.open_merge("contoso", "b", at(6), at(7), MANY)
        assert late is not None
        assert merge is not None
        gap = Finding(window(0, 1), Verdict.GAP, at(6), "damaged")
        first = merge.entries[0].segment_id
        with pytest.raises(LeaseLost):
            ledger.set_aside(late, gap, first, at(7))
        left = ledger.set_aside(merge, gap, first, at(7))
        again = ledger.open_merge("contoso", "c", at(7), at(8), MANY)
        assert again is not None
        assert again.entries == left.entries

    def test_files_until_they_are_forgotten(self, ledger: Ledger) -> None:
        """Landed files are known, merged files are listed once old enough, forgotten ones never."""
        self._landed(ledger, 1)
        assert ledger.known_files() == {("contoso", "segment.arrow")}
        merge = ledger.open_merge("contoso", "a", at(5), at(6), MANY)
        assert merge is not None
        ledger.close_merge(merge, {merge.entries[0].segment_id: MergeCounts(10, 10)}, at(5))
        assert ledger.known_files() == set()
        assert ledger.merged_files(at(5)) == []
        assert [e.landed.file for e in ledger.merged_files(at(6))] == ["segment.arrow"]
        ledger.forget_files([merge.entries[0].segment_id])
        assert ledger.merged_files(at(6)) == []

    def test_the_longest_waiting_tenant_first(self, ledger: Ledger) -> None:
        """Tenants to merge come by their oldest landed segment, one still being merged included."""
        self._landed(ledger, 1, stream=FABRIKAM)
        plan(ledger, new(9))
        land(ledger, take(ledger), now=at(-1))
        assert ledger.tenants_to_merge() == ["contoso", "fabrikam"]


class TestStandstill:
    def _parking(self, code: str = "AADSTS7000215", **changes: object) -> Parking:
        values = {
            "tenant": "contoso",
            "source": None,
            "parked_at": T0,
            "code": code,
            "summary": "the key is wrong",
            "remedy": "Upload the certificate.",
            "retry_at": None,
        }
        return Parking(**{**values, **changes})  # type: ignore[arg-type]  # only fields of Parking

    def test_a_parked_tenant_stands_still(self, ledger: Ledger) -> None:
        """None of its segments is due or leased; they themselves stay as they are."""
        plan(ledger, new(0), new(0, FEED), new(0, FABRIKAM))
        ledger.park(self._parking())
        assert [s.stream for s in ledger.due(T0, MANY, MANY)] == [FABRIKAM]
        assert ledger.lease(1, "w", T0, at(1), MANY) is None
        assert ledger.segments([1])[0].state is SegmentState.PLANNED
        assert ledger.parkings() == ledger.parkings("contoso") == [self._parking()]
        assert ledger.parkings("fabrikam") == []

    def test_a_parked_source_leaves_the_other_alone(self, ledger: Ledger) -> None:
        """Parking one source of a tenant does not stop its other source."""
        plan(ledger, new(0), new(0, FEED))
        ledger.park(self._parking(source=Source.EXCHANGE))
        assert [s.stream for s in ledger.due(T0, MANY, MANY)] == [FEED]

    def test_work_in_hand_may_finish(self, ledger: Ledger) -> None:
        """Parking takes no lease away."""
        plan(ledger, new(0))
        leased = take(ledger)
        ledger.park(self._parking())
        land(ledger, leased)

    def test_tried_again_by_itself(self, ledger: Ledger) -> None:
        """Once `retry_at` is reached the tenant's segments are due again."""
        plan(ledger, new(0))
        ledger.park(self._parking(retry_at=at(2)))
        assert ledger.due(at(1), MANY, MANY) == []
        assert len(ledger.due(at(2), MANY, MANY)) == 1
        leased = ledger.lease(1, "w", at(2), at(3), MANY)
        assert leased is not None
        assert leased.parked

    def test_lifted(self, ledger: Ledger) -> None:
        """One source's parking, or all of the tenant's; says whether there was one."""
        for source in (None, Source.EXCHANGE, Source.ACTIVITY):
            ledger.park(self._parking(source=source))
        assert ledger.unpark("contoso", Source.ACTIVITY) is True
        assert ledger.unpark("contoso", Source.ACTIVITY) is False
        assert [p.source for p in ledger.parkings()] == [None, Source.EXCHANGE]
        assert ledger.unpark("contoso") is True
        assert ledger.unpark("contoso") is False

    def test_a_refused_content_type_stops_nothing(self, ledger: Ledger) -> None:
        """It stands beside the parking of the whole source, and its stream goes on."""
        plan(ledger, new(0, FEED))
        refused = [
            self._parking(source=Source.ACTIVITY, content_type=name, retry_at=at(24))
            for name in ("Audit.Exchange", "Audit.General")
        ]
        for parking in refused:
            ledger.park(parking)
        assert ledger.parkings("contoso") == refused
        assert not any(parking.stops(Source.ACTIVITY) for parking in refused)
        assert [s.stream for s in ledger.due(T0, MANY, MANY)] == [FEED]
        assert take(ledger).segment.stream == FEED

    def test_a_refused_content_type_goes_when_it_answers(self, ledger: Ledger) -> None:
        """Lifting its tenant or source has it tried at once; only its answer takes it away."""
        refused = self._parking(
            source=Source.ACTIVITY, content_type="Audit.Exchange", retry_at=at(24)
        )
        ledger.park(refused)
        assert ledger.unpark("contoso", Source.EXCHANGE) is False
        assert ledger.unpark("contoso") is True
        assert ledger.parkings() == [replace(refused, retry_at=T0)]
        ledger.content_answered("contoso", Source.ACTIVITY, "Audit.General")
        ledger.content_answered("contoso", Source.ACTIVITY, "Audit.Exchange")
        assert ledger.parkings() == []

    def test_the_newest_reason_is_shown(self, ledger: Ledger) -> None:
        """Parking again replaces reason and time."""
        ledger.park(self._parking())
        ledger.park(self._parking("other", parked_at=at(1), retry_at=at(2)))
        assert ledger.parkings() == [self._parking("other", parked_at=at(1), retry_at=at(2))]

    def test_a_pause_outlives_a_late_failure(self, ledger: Ledger) -> None:
        """An operator's pause is not undone by a worker that still fails and would retry."""
        ledger.park(self._parking("other", retry_at=at(1)))
        ledger.park(self._parking(PAUSED))
        ledger.park(self._parking("other", retry_at=at(1)))
        assert [p.code for p in ledger.parkings()] == [PAUSED]

    def test_notes(self, ledger: Ledger) -> None:
        """A small fact is kept with its time; the newest wins."""
        assert ledger.noted("tick") is None
        ledger.note("tick", "one", T0)
        ledger.note("tick", "two", at(1))
        ledger.note("tick_tock", "three", T0)
        ledger.note("tuck", "four", T0)
        assert ledger.noted("tick") == ("two", at(1))
        assert ledger.all_noted("tick") == {"tick": ("two", at(1)), "tick_tock": ("three", T0)}
        assert ledger.all_noted("t_") == {}

    def test_a_forgotten_tenant_leaves_no_row(self, ledger: Ledger) -> None:
        """All of one tenant goes, nothing of another; a late worker meets LeaseLost."""
        for stream in (CONTOSO, FABRIKAM):
            plan(ledger, new(0, stream), new(1, stream), new(2, stream))
        for hour in range(4):
            land(ledger, take(ledger, at(hour)))
        assert ledger.open_merge("contoso", "m", T0, at(1), MANY) is not None
        late = next(
            leased for _ in "ab" if (leased := take(ledger, at(5))).segment.stream == CONTOSO
        )
        ledger.park(self._parking())
        for tenant in ("contoso", "contoso2"):
            ledger.note(f"topic/{tenant}", "", T0)
            ledger.note(f"topic/{tenant}/part", "", T0)
        ledger.note("topic/fabrikam/contoso", "", T0)
        ledger.forget_tenant("contoso")
        assert list(ledger.all_noted("topic/")) == [
            "topic/contoso2",
            "topic/contoso2/part",
            "topic/fabrikam/contoso",
        ]
        assert ledger.streams("contoso") == []
        assert ledger.parkings() == []
        assert ledger.tenants_to_merge() == ["fabrikam"]
        assert ledger.unfinished("contoso", window(0, 9)) == []
        assert ledger.watermark(FABRIKAM) is not None
        with pytest.raises(LeaseLost):
            land(ledger, late)
