"""What fair shares stand on: the processes of all hosts, and how long pulls take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clocks import HandClock
from trailkeeper.model.fairness import LONG_PULL, Crowd, Speed, share, speed_key
from trailkeeper.model.stream import Source, Stream
from trailkeeper.ports.ledger import Ledger
from trailkeeper.steps.fairness import Fairness
from trailkeeper.store.ledger import SqlLedger, open_ledger

NOW = datetime(2026, 10, 1, tzinfo=UTC)
STREAM = Stream("contoso", Source.EXCHANGE)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def test_processes_of_all_hosts_count(ledger: Ledger) -> None:
    """Each host tells how many processes it has; one that fell silent counts no more."""
    clock = HandClock(NOW)
    one, other = (Fairness(ledger, clock, host, 4) for host in ("one", "other"))
    assert one.processes() == 4
    assert other.processes() == 8
    clock.time += timedelta(seconds=61)
    assert one.processes() == 8
    clock.time += timedelta(hours=1)
    assert one.processes() == 4


def test_a_host_that_noted_itself_in_time_to_come_counts_nothing(ledger: Ledger) -> None:
    """It vanished while its clock ran ahead, and would count for as long as it was ahead."""
    assert Fairness(ledger, HandClock(NOW + timedelta(days=3)), "gone", 8).processes() == 8
    assert Fairness(ledger, HandClock(NOW), "here", 2).processes() == 2
    assert ledger.noted("pullers/gone") is None


def test_a_note_that_is_no_number_counts_nothing(ledger: Ledger) -> None:
    """What somebody else wrote into the ledger stops no pull."""
    ledger.note("pullers/elsewhere", "many", NOW)
    assert Fairness(ledger, HandClock(NOW), "here", 2).processes() == 2


@pytest.mark.parametrize(
    ("took", "landed", "then"),
    [
        (timedelta(seconds=1), True, Speed.QUICK),
        (timedelta(seconds=1), False, Speed.LONG),
        (LONG_PULL, True, Speed.LONG),
        (LONG_PULL, False, Speed.LONG),
    ],
)
def test_a_long_pull_is_remembered(
    ledger: Ledger, took: timedelta, landed: bool, then: Speed
) -> None:
    """A stream that held its process long is quick again once it has landed something quickly, not
    when it failed quickly."""
    clock = HandClock(NOW)
    fairness = Fairness(ledger, clock, "here", 2)
    clock.time += LONG_PULL
    fairness.held(STREAM, NOW, landed=False)
    since = clock.now()
    clock.time += took
    fairness.held(STREAM, since, landed=landed)
    noted = ledger.noted(speed_key(STREAM))
    assert noted
    assert noted[0] == then.value


@pytest.mark.parametrize("processes", range(1, 20))
@pytest.mark.parametrize("others", [1, 2, 5, 300])
def test_a_share_is_never_all(processes: int, others: int) -> None:
    """Beside others a share is one process at least, an equal part at most, and never the last."""
    part = share(processes, others)
    assert part >= 1
    assert part == 1 or part <= processes - 1
    assert (part - 1) * (others + 1) < processes


def test_who_is_alone_shares_with_nobody() -> None:
    """No bound without others."""
    assert Crowd(2, held=9, not_quick=9, waiting=0, active=0).allows(Speed.LONG)
