"""No tenant holds more than its share of the pulling processes while others need one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.contract.ledger_words import (
    CONTOSO,
    FABRIKAM,
    HOUR,
    MANY,
    MINUTE,
    T0,
    at,
    file_of,
    land,
    new,
    plan,
)
from trailkeeper.model.fairness import Speed, speed_key
from trailkeeper.model.segment import Leased
from trailkeeper.model.stream import Source, Stream
from trailkeeper.ports.leasing import BESIDE
from trailkeeper.ports.ledger import Ledger
from trailkeeper.store.ledger import SqlLedger, open_ledger

OTHERS = [Stream(f"tenant-{number}", Source.EXCHANGE) for number in range(5)]


def lease(
    ledger: Ledger,
    stream: Stream,
    processes: int | None,
    now: datetime = T0,
    owner: str = "host:1",
) -> Leased | None:
    """One more of what is due of `stream`, as a pulling process among `processes` takes it."""
    due = ledger.due(now, 1, MANY, stream)
    return ledger.lease(due[0].id, owner, now, now + HOUR, MANY, processes) if due else None


def held(ledger: Ledger, stream: Stream, processes: int | None, now: datetime = T0) -> int:
    """How many leases of `stream` are granted, one after another."""
    count = 0
    while lease(ledger, stream, processes, now):
        count += 1
    return count


def is_known(ledger: Ledger, stream: Stream, speed: Speed) -> None:
    ledger.note(speed_key(stream), speed.value, T0)


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = open_ledger(database_url)
    yield opened
    opened.close()


@pytest.fixture
def crowded(ledger: Ledger) -> Ledger:
    """Six tenants with nine segments each, all due."""
    plan(ledger, *(new(hour, stream) for hour in range(9) for stream in (CONTOSO, *OTHERS)))
    return ledger


def test_alone_a_tenant_may_have_all(ledger: Ledger) -> None:
    """Where nobody else has work, or had any lately, no process is kept back, whatever is known."""
    plan(ledger, *(new(hour) for hour in range(9)))
    is_known(ledger, CONTOSO, Speed.LONG)
    assert held(ledger, CONTOSO, 4) == 9


@pytest.mark.parametrize(("processes", "part"), [(1, 1), (2, 1), (3, 1), (6, 1), (7, 2), (18, 3)])
def test_a_share_each(crowded: Ledger, processes: int, part: int) -> None:
    """Six tenants that wait have an equal part of the processes each, rounded up, at least one."""
    assert held(crowded, CONTOSO, processes) == part


def test_a_message_of_before_is_refused(ledger: Ledger) -> None:
    """What lies in the queue since a tenant was alone is not begun once somebody else waits, and
    is due again; when those have what they wanted, it is taken."""
    plan(ledger, *(new(hour) for hour in range(9)))
    is_known(ledger, CONTOSO, Speed.QUICK)
    queued = [segment.id for segment in ledger.due(T0, 3, MANY)]
    assert ledger.lease(queued[0], "host:1", T0, at(1), MANY, 3)
    plan(ledger, new(0, FABRIKAM), new(1, FABRIKAM))
    assert ledger.lease(queued[1], "host:2", T0, at(1), MANY, 3)
    assert ledger.lease(queued[2], "host:3", T0, at(1), MANY, 3) is None
    assert queued[2] in {segment.id for segment in ledger.due(T0, MANY, MANY)}
    for _ in range(2):
        leased = lease(ledger, FABRIKAM, 3)
        assert leased
        land(ledger, leased)
    later = at(2)
    assert ledger.lease(queued[2], "host:3", later, at(3), MANY, 3)


@pytest.mark.parametrize("speed", [None, Speed.LONG])
def test_who_is_not_known_to_be_quick_leaves_room_for_those_who_come_again(
    ledger: Ledger, speed: Speed | None
) -> None:
    """A tenant whose answers may take minutes has its share beside those that were pulled within
    the hour, though none waits at this moment; one that is quick may have all but one."""
    plan(ledger, *(new(hour) for hour in range(9)), *(new(0, stream) for stream in OTHERS))
    for stream in OTHERS:
        leased = lease(ledger, stream, 3)
        assert leased
        land(ledger, leased, file_of())
    if speed:
        is_known(ledger, CONTOSO, speed)
    assert held(ledger, CONTOSO, 3, T0 + MINUTE) == 1
    is_known(ledger, CONTOSO, Speed.QUICK)
    assert held(ledger, CONTOSO, 3, T0 + MINUTE) == 1  # beside the one that it holds


def test_long_pulls_never_take_the_last_process(crowded: Ledger) -> None:
    """However many tenants are known to be slow, one process stays for the others."""
    slow = [CONTOSO, *OTHERS[:4]]
    for stream in slow:
        is_known(crowded, stream, Speed.LONG)
    assert sum(held(crowded, stream, 3) for stream in slow) == 2
    assert lease(crowded, OTHERS[4], 3)


def test_a_slow_tenant_is_not_shut_out(crowded: Ledger) -> None:
    """With one process for all, and where nothing long is under way, a slow tenant has its turn."""
    is_known(crowded, CONTOSO, Speed.LONG)
    for stream in OTHERS:
        is_known(crowded, stream, Speed.QUICK)
        assert held(crowded, stream, 5) == 1
    assert held(crowded, CONTOSO, 1) == 1


def test_a_command_of_its_own_takes_nobodys_share(crowded: Ledger) -> None:
    """What `collect` pulls in processes of its own is bounded by nobody, and bounds nobody."""
    for number in range(4):
        assert lease(crowded, CONTOSO, None, owner=f"host:{number}{BESIDE}")
    assert held(crowded, CONTOSO, 3) == 1


def test_a_dead_workers_lease_is_no_share(crowded: Ledger) -> None:
    """A lease whose deadline passed holds no process."""
    assert held(crowded, CONTOSO, 3) == 1
    assert held(crowded, CONTOSO, 3, at(1)) == 1
