"""Many real processes over one ledger, on SQLite and PostgreSQL; none of them trusts the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select

from tests.contract import ledger_racers as racers
from tests.contract.ledger_words import (
    CONTOSO,
    FEED,
    MANY,
    T0,
    at,
    file_of,
    land,
    new,
    plan,
    take,
    window,
)
from tests.servers.postgres import Postgres
from trailkeeper.errors import LeaseLost
from trailkeeper.model.feed.blob import Blob, BlobMark, BlobState
from trailkeeper.model.segment import Leased, SegmentState
from trailkeeper.store.database import open_database
from trailkeeper.store.engines import writing
from trailkeeper.store.ledger import SqlLedger, open_ledger
from trailkeeper.store.ledger.planning import add_segments
from trailkeeper.store.schema import streams


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = open_ledger(database_url)
    yield opened
    opened.close()


def test_no_segment_is_leased_twice(ledger: SqlLedger, database_url: str) -> None:
    """Eight workers share two hundred segments: each segment goes to exactly one."""
    plan(ledger, *(new(hour) for hour in range(200)))
    ids = [id_ for got in racers.race(racers.lease_all, database_url) for id_ in got]
    assert sorted(ids) == list(range(1, 201))


def test_a_stream_is_never_overfull(ledger: SqlLedger, database_url: str) -> None:
    """Eight workers try for all of one stream's segments: exactly three get in."""
    plan(ledger, *(new(hour) for hour in range(8)))
    got = racers.race(racers.lease_three, database_url)
    assert sum(map(len, got)) == 3


def test_planning_at_once_adds_no_duplicates(ledger: SqlLedger, database_url: str) -> None:
    """Two ticks delivered at the same instant plan the month once."""
    assert sum(racers.race(racers.plan_a_month, database_url, racers=2)) == 720
    assert len(ledger.due(T0, MANY, MANY)) == 720


def test_no_look_leans_on_what_is_set_aside_meanwhile(ledger: SqlLedger, database_url: str) -> None:
    """Seven looks land while the file of their blob is found damaged: each comes before the gap,
    which takes back its proof, or begins anew."""
    first_seen = Blob("Audit.Exchange", "a", "https://x/a", at(1), at(169))
    ledger.list_blobs("contoso", [first_seen], window(0, 9, FEED), T0)
    plan(ledger, new(0, FEED, length=9))
    its = take(ledger)
    ledger.land(its.lease, file_of(), [], [], T0, [BlobMark("a", BlobState.DONE)])
    plan(ledger, *(new(hour, FEED) for hour in range(7)))
    landed = racers.race(racers.set_aside_or_prove, database_url)
    told = ledger.findings(FEED, window(0, 9, FEED))
    (gap,) = (finding.observed_at for finding in told if not finding.verdict.proven)
    proofs = [finding.observed_at for finding in told if finding.verdict.proven]
    assert len(proofs) == sum(landed[1:])
    assert all(proof < gap for proof in proofs)
    assert len(ledger.due(at(1), MANY, MANY)) == 7 - len(proofs)


def test_a_part_that_is_planned_meanwhile_is_not_given_away(
    ledger: SqlLedger, database_url: str
) -> None:
    """A walk that shares while its own rest is being planned waits, sees it, and keeps all."""
    plan(ledger, new(0, length=4))
    leased = take(ledger)
    engine = open_database(database_url)
    shared: list[bool] = []
    sharer = Thread(
        target=lambda: shared.append(ledger.share(leased.lease, window(2, 4), [new(0)], T0))
    )
    with writing(engine) as connection:
        connection.execute(select(streams).with_for_update(key_share=True))  # as planning does
        add_segments(connection, [new(2, length=2)], T0)
        sharer.start()
        sharer.join(0.5)
    sharer.join()
    engine.dispose()
    assert shared == [False]


def test_what_a_pull_did_not_prove_is_planned_in_turn(ledger: SqlLedger, database_url: str) -> None:
    """A landing that leaves something over waits for whoever shares or plans in its stream: it
    could plan in the same moment what the other gives away."""
    plan(ledger, new(0, length=4))
    leased = take(ledger)
    engine = open_database(database_url)
    landing = Thread(target=lambda: land(ledger, leased, follow_ups=[new(2, length=2)]))
    with writing(engine) as connection:
        connection.execute(select(streams).with_for_update(key_share=True))  # as sharing does
        landing.start()
        landing.join(1)
        assert landing.is_alive()
    landing.join()
    engine.dispose()
    assert [segment.window for segment in ledger.due(T0, MANY, MANY)] == [window(2, 4)]


def test_a_tenant_is_forgotten_while_it_is_planned(ledger: SqlLedger, database_url: str) -> None:
    """Whoever adds segments in that moment is waited for, and what was added goes too."""
    plan(ledger, new(0))
    engine = open_database(database_url)
    forgetting = Thread(target=lambda: ledger.forget_tenant(CONTOSO.tenant))
    with writing(engine) as connection:
        connection.execute(select(streams).with_for_update(key_share=True))  # as planning does
        forgetting.start()
        forgetting.join(1)
        add_segments(connection, [new(2)], T0)
    forgetting.join()
    engine.dispose()
    assert ledger.streams(CONTOSO.tenant) == []
    assert ledger.due(T0, MANY, MANY) == []


def test_one_merge_at_a_time(ledger: SqlLedger, database_url: str) -> None:
    """One of eight opens the merge; after its deadline one of eight takes it over."""
    plan(ledger, new(0))
    land(ledger, take(ledger), file_of())
    opened = racers.race(racers.open_the_merge, database_url)
    assert [epoch for epoch in opened if epoch] == [1]
    taken = racers.race(racers.reclaim_the_merge, database_url)
    assert [epoch for epoch in taken if epoch] == [2]


def test_a_month_is_queued_once(ledger: SqlLedger, database_url: str) -> None:
    """One of eight queues the month; each asked-for revision is a delivery of its own."""
    got = racers.race(racers.queue_again, database_url)
    ids = [id_ for pair in got for id_ in pair if id_]
    assert sum(first is not None for first, _ in got) == 1
    assert len(set(ids)) == 9


def test_a_delivery_has_one_sender(ledger: SqlLedger, database_url: str) -> None:
    """One of eight takes the delivery."""
    racers.race(racers.queue_again, database_url, racers=1)
    taken = racers.race(racers.take_the_delivery, database_url)
    assert [attempt for attempt in taken if attempt] == [1]


def test_a_killed_workers_segment_is_taken_over(ledger: SqlLedger, database_url: str) -> None:
    """kill -9 of the owner: taken over after the deadline, and the dead one's word is refused."""
    plan(ledger, new(0))
    held, process = racers.start_and_wait(racers.hold_a_lease, database_url)
    process.kill()
    process.join()
    assert isinstance(held, Leased)
    assert ledger.due(T0, MANY, MANY) == []
    taken = take(ledger, at(1))
    assert taken.lease.epoch == held.lease.epoch + 1
    with pytest.raises(LeaseLost):
        land(ledger, held, now=at(1))
    land(ledger, taken, now=at(1))
    assert ledger.segments([1])[0].state is SegmentState.LANDED


def test_killed_in_mid_transaction(ledger: SqlLedger, database_url: str) -> None:
    """kill -9 between BEGIN and COMMIT leaves what was committed, and no lock."""
    told, process = racers.start_and_wait(racers.hang_in_a_transaction, database_url)
    process.kill()
    process.join()
    assert told == "inside"
    assert ledger.noted("before") == ("the crash", T0)
    assert plan(ledger, new(0)) == 1
    assert ledger.watermark(CONTOSO) is not None


def test_starting_at_once_on_a_new_file(tmp_path: Path) -> None:
    """Eight processes that start on a folder with no ledger make one ledger."""
    url = f"sqlite:///{tmp_path}/new/ledger.db"
    racers.race(racers.open_at_once, url)
    assert plan(open_ledger(url, create=False), new(0)) == 1


def test_starting_at_once_on_a_new_database(postgres: Postgres) -> None:
    """Eight processes that start on an empty PostgreSQL database make one ledger."""
    url = postgres.url(postgres.new_database())
    racers.race(racers.open_at_once, url)
    assert plan(open_ledger(url, create=False), new(0)) == 1
