"""A landing file that is damaged stops nobody: its time is a gap, and is asked for again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.clocks import HandClock
from tests.contract.ledger_words import CONTOSO, HOUR, MANY, T0, found, new, plan, take, window
from tests.store.lake_words import TENANT, columns, lines, record
from trailkeeper.errors import Transient, Unavailable
from trailkeeper.model.segment import Landed, MergeCounts, Purpose, Verdict
from trailkeeper.steps.merge import MergeStep
from trailkeeper.steps.reap import ReapStep
from trailkeeper.store.lake import DeltaLake
from trailkeeper.store.landing import FileLanding
from trailkeeper.store.ledger import SqlLedger

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "emptied": lambda _: b"",
    "zeroed": lambda whole: bytes(len(whole)),
    "flipped": lambda whole: bytes([*whole[:-40], whole[-40] ^ 1, *whole[-39:]]),
}


class Kept:
    """One tenant's ledger, landing and lake, and the steps over them."""

    def __init__(self, ledger: SqlLedger, root: Path) -> None:
        self.ledger = ledger
        self.landing = FileLanding(root / "landing")
        self.lake = DeltaLake(str(root / "lake"))
        self.clock = HandClock(T0)
        self.merge = MergeStep(ledger, self.landing, self.lake, self.clock, HOUR)
        self.reap = ReapStep(ledger, self.landing, self.clock)

    def pull(self, *texts: str) -> str:
        """Land the first due segment; its file."""
        leased = take(self.ledger, self.clock.now())
        with self.landing.open(leased.lease, TENANT) as writer:
            writer.add(columns(*texts))
            file = writer.seal()
            landed = Landed(file, writer.received, writer.size, requests=1)
        proven = [found(leased, now=self.clock.now())]
        self.ledger.land(leased.lease, landed, proven, [], self.clock.now())
        assert file is not None
        return file

    def damage(self, file: str, how: Callable[[bytes], bytes]) -> None:
        path = self.landing.path(TENANT, file)
        path.write_bytes(how(path.read_bytes()))

    def verdicts(self) -> list[Verdict]:
        return [f.verdict for f in self.ledger.findings(CONTOSO, window(0, 2))]


@pytest.fixture
def kept(ledger: SqlLedger, tmp_path: Path) -> Kept:
    plan(ledger, new(0), new(1))
    return Kept(ledger, tmp_path)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_set_aside_and_pulled_again(kept: Kept, how: str) -> None:
    """The others are merged, it is told, and once pulled again every record is there once."""
    later = [record("b", "2026-10-01T01:30:00"), record("c", "2026-10-01T01:40:00")]
    earlier = record("a", "2026-10-01T00:30:00")
    file = kept.pull(*later)
    kept.pull(earlier)
    kept.damage(file, DAMAGES[how])
    with capture_logs() as events:
        assert kept.merge(TENANT, "m") == MergeCounts(1, 1)
    (told,) = (event for event in events if event["event"] == "landing_damaged")
    assert (told["file"], told["window"]) == (file, str(window(1, 2)))
    assert lines(kept.lake) == [earlier]
    assert kept.verdicts() == [Verdict.COMPLETE, Verdict.GAP]
    assert kept.merge(TENANT, "m") == MergeCounts()
    kept.clock.time += timedelta(minutes=1)
    (again,) = kept.ledger.due(kept.clock.now(), MANY, MANY)
    assert (again.window, again.purpose) == (window(1, 2), Purpose.RETRY)
    kept.pull(*later)
    assert kept.merge(TENANT, "m") == MergeCounts(2, 2)
    assert lines(kept.lake) == [earlier, *later]
    assert kept.ledger.counts(CONTOSO, window(0, 2)) == MergeCounts(3, 3)
    assert kept.verdicts()[-1] is Verdict.COMPLETE
    assert kept.ledger.unfinished(TENANT, window(0, 2)) == []


def test_a_file_set_aside_is_left_to_a_person(kept: Kept) -> None:
    """Merged files go after a day; what a damaged one still holds is nobody's to delete."""
    file = kept.pull(record("b"))
    kept.pull(record("a"))
    kept.damage(file, DAMAGES["truncated"])
    kept.merge(TENANT, "m")
    kept.clock.time += timedelta(days=3000)
    kept.reap()
    assert kept.landing.files(TENANT) == [f"{file}.damaged"]


def test_all_files_damaged_are_all_set_aside(kept: Kept) -> None:
    """A merge of which nothing is left is closed, and the next one is open to all."""
    for text in (record("b"), record("a")):
        kept.damage(kept.pull(text), DAMAGES["emptied"])
    assert kept.merge(TENANT, "m") == MergeCounts()
    assert kept.verdicts() == [Verdict.GAP, Verdict.GAP]
    kept.clock.time += timedelta(minutes=1)
    kept.pull(record("a"))
    assert kept.merge(TENANT, "m") == MergeCounts(1, 1)


def test_a_deleted_file_is_a_gap_that_is_asked_for_again(kept: Kept) -> None:
    """Nobody can mend what somebody removed: it is told like damage, and the others go on."""
    file = kept.pull(record("b"))
    kept.pull(record("a"))
    kept.landing.path(TENANT, file).unlink()
    with capture_logs() as events:
        assert kept.merge(TENANT, "m") == MergeCounts(1, 1)
    (told,) = (event for event in events if event["event"] == "landing_damaged")
    assert "deleted" in told["reason"]
    assert kept.verdicts() == [Verdict.COMPLETE, Verdict.GAP]
    kept.clock.time += timedelta(minutes=1)
    kept.pull(record("b"))
    assert kept.merge(TENANT, "m") == MergeCounts(1, 1)
    assert kept.verdicts()[-1] is Verdict.COMPLETE


def test_a_folder_of_a_tenant_that_was_deleted_is_a_gap_too(kept: Kept) -> None:
    """All of its files are gone at once; other tenants' stay."""
    shutil.rmtree(kept.landing.path(TENANT, kept.pull(record("b"))).parent)
    assert kept.merge(TENANT, "m") == MergeCounts()
    assert kept.verdicts() == [Verdict.GAP]


def test_a_landing_folder_that_is_away_is_waited_for(kept: Kept) -> None:
    """Its disk is not mounted, say: nothing is given up, and it is merged once it is back."""
    root = kept.landing.path(TENANT, kept.pull(record("b"))).parent.parent
    root.rename(root.with_name("away"))
    with pytest.raises(Unavailable, match="no such file"):
        kept.merge(TENANT, "m")
    root.with_name("away").rename(root)
    assert kept.merge(TENANT, "m") == MergeCounts(1, 1)


def test_a_merge_that_failed_is_free_at_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's panic is no exception of Python's: the lease is given back all the same."""

    class PanicException(BaseException):
        """As pyo3 makes one in each of its libraries."""

    def panics(*_: object) -> None:
        raise PanicException

    kept.pull(record("a"))
    with monkeypatch.context() as patched:
        patched.setattr(DeltaLake, "merge", panics)
        with pytest.raises(PanicException):
            kept.merge(TENANT, "m")
    assert kept.merge(TENANT, "another") == MergeCounts(1, 1)


def test_killed_between_the_ledger_and_the_file(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been told; the next merge does without the file, which is an orphan then."""

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    file = kept.pull(record("b"))
    kept.pull(record("a"))
    kept.damage(file, DAMAGES["truncated"])
    with monkeypatch.context() as patched:
        patched.setattr(FileLanding, "set_aside", killed)
        with capture_logs() as events, pytest.raises(KilledError):
            kept.merge(TENANT, "m")
    assert [event["event"] for event in events] == ["landing_damaged"]
    kept.clock.time += 2 * HOUR
    assert kept.merge(TENANT, "m") == MergeCounts(1, 1)
    assert kept.verdicts() == [Verdict.COMPLETE, Verdict.GAP]
    kept.clock.time += timedelta(days=3000)
    kept.reap()
    assert kept.landing.files(TENANT) == []


def test_a_commit_that_was_not_marked_needs_no_file(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the lake already is not asked for again, whatever became of its file since."""
    file = kept.pull(record("b"))
    stored = DeltaLake.merge

    def cut_off(lake: DeltaLake, *given: object) -> None:
        stored(lake, *given)  # type: ignore[arg-type]  # passed on unchanged
        raise Unavailable("the ledger went away")

    with monkeypatch.context() as patched:
        patched.setattr(DeltaLake, "merge", cut_off)
        with pytest.raises(Unavailable):
            kept.merge(TENANT, "m")
    kept.damage(file, DAMAGES["truncated"])
    kept.clock.time += 2 * HOUR
    assert kept.merge(TENANT, "m") == MergeCounts(1, 1)
    assert kept.verdicts() == [Verdict.COMPLETE]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_commit_lost_to_another_writer_is_tried_once_more(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """A compaction that came first is over by then. Who loses twice lets go and says so."""
    merge, tries = DeltaLake.merge, []

    def contended(*args: Any) -> dict[int, MergeCounts]:
        tries.append(args)
        if len(tries) <= lost:
            raise Transient("another writer won the commit")
        return merge(*args)

    kept.pull(record("a"))
    monkeypatch.setattr(DeltaLake, "merge", contended)
    if lost == 1:
        assert kept.merge(TENANT, "m") == MergeCounts(1, 1)
    else:
        with pytest.raises(Transient, match="another writer"):
            kept.merge(TENANT, "m")
        assert kept.merge(TENANT, "another") == MergeCounts(1, 1)
    assert len(tries) == lost + 1
