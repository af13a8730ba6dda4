"""Processes that race for the same database: each opens it for itself and waits for the others.

They come from a fork server that has loaded the libraries and opened nothing, as a worker's
children do: ten times faster than starting eight interpreters on two cores.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Barrier
from typing import Any

from tests.contract.ledger_words import CONTOSO, FEED, MANY, T0, at, new, window
from trailkeeper.errors import LeaseLost
from trailkeeper.model.planning import Watermark
from trailkeeper.model.report import Month, Rendered
from trailkeeper.model.segment import MISSING, Finding, Landed, NewSegment, Verdict
from trailkeeper.ports.ledger import Ledger
from trailkeeper.store.database import open_database
from trailkeeper.store.ledger import open_ledger
from trailkeeper.store.outbox import SqlOutbox

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["trailkeeper.store.ledger", "trailkeeper.store.outbox", "alembic.command", "psycopg"]
)
Act = Callable[[str, int, Barrier], Any]


def race(act: Act, url: str, racers: int = 8) -> list[Any]:
    """Run `act(url, number, barrier)` in that many processes; what each returned."""
    barrier = _server.Barrier(racers)
    running = [_start(act, url, number, barrier) for number in range(racers)]
    answers = [ours.recv() for ours, _ in running]
    for _, process in running:
        process.join()
    failed = [text for passed, text in answers if not passed]
    assert not failed, failed[0]
    return [answer for _, answer in answers]


def start_and_wait(act: Callable[[str, Connection], None], url: str) -> tuple[Any, Any]:
    """Run `act` in a process until it sends something; that, and the process, still alive."""
    ours, theirs = _server.Pipe()
    process = _server.Process(target=act, args=(url, theirs))
    process.start()
    return ours.recv(), process


def _start(act: Act, url: str, number: int, barrier: Any) -> tuple[Connection, Any]:
    ours, theirs = _server.Pipe()
    process = _server.Process(target=_run, args=(act, url, number, barrier, theirs))
    process.start()
    return ours, process


def _run(act: Act, url: str, number: int, barrier: Barrier, answer: Connection) -> None:
    try:
        answer.send((True, act(url, number, barrier)))
    except Exception:
        answer.send((False, traceback.format_exc()))


def open_at_once(url: str, number: int, barrier: Barrier) -> None:
    barrier.wait()
    open_database(url).dispose()


def lease_all(url: str, number: int, barrier: Barrier) -> list[int]:
    """Lease whatever is due until nothing is; the ids we got."""
    ledger = open_ledger(url)
    barrier.wait()
    ours: list[int] = []
    while due := ledger.due(T0, 10, MANY):
        ours += _lease_each(ledger, [segment.id for segment in due], f"worker-{number}", MANY)
    return ours


def lease_three(url: str, number: int, barrier: Barrier) -> list[int]:
    """Try every segment of a stream that takes three at a time; the ids we got."""
    ledger = open_ledger(url)
    ids = [segment.id for segment in ledger.due(T0, MANY, MANY)]
    barrier.wait()
    return _lease_each(ledger, ids, f"worker-{number}", 3)


def _lease_each(ledger: Ledger, ids: list[int], owner: str, per_stream: int) -> list[int]:
    return [id_ for id_ in ids if ledger.lease(id_, owner, T0, at(1), per_stream)]


def plan_a_month(url: str, number: int, barrier: Barrier) -> int:
    ledger = open_ledger(url)
    barrier.wait()
    return ledger.plan(CONTOSO, lambda _: [new(hour) for hour in range(720)], T0)


def open_the_merge(url: str, number: int, barrier: Barrier) -> int | None:
    ledger = open_ledger(url)
    barrier.wait()
    merge = ledger.open_merge("contoso", f"worker-{number}", T0, at(1), MANY)
    return merge.epoch if merge else None


def reclaim_the_merge(url: str, number: int, barrier: Barrier) -> int | None:
    ledger = open_ledger(url)
    barrier.wait()
    merge = ledger.open_merge("contoso", f"worker-{number}", at(1), at(2), MANY)
    return merge.epoch if merge else None


def set_aside_or_prove(url: str, number: int, barrier: Barrier) -> bool:
    """The first sets the landed segment aside; each other one lands a look at its time. Did it?"""
    ledger = open_ledger(url)
    if number == 0:
        merge = ledger.open_merge("contoso", "merger", T0, at(1), MANY)
        assert merge is not None
        gap = Finding(window(0, 9, FEED), Verdict.GAP, T0, "damaged", {MISSING: True})
        barrier.wait()
        ledger.set_aside(merge, gap, merge.entries[0].segment_id, at(2))
        return True
    looking = ledger.lease(number + 1, "puller", T0, at(1), MANY)
    assert looking is not None
    proven = Finding(looking.segment.window, Verdict.COMPLETE, at(number))
    barrier.wait()
    try:
        ledger.land(looking.lease, Landed(None, 0, 0, requests=1), [proven], [], at(number))
    except LeaseLost:
        return False
    return True


def queue_again(url: str, number: int, barrier: Barrier) -> tuple[int | None, int | None]:
    """Queue a month once and once more as a new revision."""
    outbox = SqlOutbox(open_database(url))
    rendered = Rendered("/r", "s", "h", "t")
    words = ("contoso", Month(2026, 10), f"<{number}@x>", ["a@b.example"], rendered, T0)
    barrier.wait()
    return outbox.enqueue(*words), outbox.enqueue(*words, again=True)


def take_the_delivery(url: str, number: int, barrier: Barrier) -> int | None:
    outbox = SqlOutbox(open_database(url))
    barrier.wait()
    taken = outbox.take(1, T0, at(1))
    return taken.attempt if taken else None


def hold_a_lease(url: str, tell: Connection) -> None:
    """Lease the first segment, say so, and hang."""
    leased = open_ledger(url).lease(1, "killed", T0, at(1), MANY)
    tell.send(leased)
    time.sleep(600)


def hang_in_a_transaction(url: str, tell: Connection) -> None:
    """Plan half of what was wanted and hang before the commit."""

    def planner(_: Watermark | None) -> list[NewSegment]:
        tell.send("inside")
        time.sleep(600)
        return []

    ledger = open_ledger(url)
    ledger.note("before", "the crash", T0)
    ledger.plan(CONTOSO, planner, T0)
