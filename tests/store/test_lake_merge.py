"""The merge under rivals and chance: fenced, repeatable, and equal to a simple model."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.table import TableOptimizer
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.store.lake_words import DAY, T0, TENANT, World, columns, counted, record, summed
from trailkeeper.errors import Transient, Unavailable
from trailkeeper.model.canonical import content_digest
from trailkeeper.model.segment import LandedSegment, MergeCounts
from trailkeeper.store import lake as lake_module
from trailkeeper.store.lake_merge import fold


def interrupt(monkeypatch: pytest.MonkeyPatch, between: Callable[[], object]) -> None:
    """Let `between` happen once, after the next merge has read the table and before it commits."""
    pending = [between]

    def read_then_interrupt(*arguments: object) -> object:
        folded = fold(*arguments)  # type: ignore[arg-type]  # passed on unchanged
        if pending:
            pending.pop()()
        return folded

    monkeypatch.setattr(lake_module, "fold", read_then_interrupt)


def test_of_two_workers_with_one_merge_one_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zombie that wakes after its successor committed is refused, and then gets the counts."""
    world = World(tmp_path)
    world.store(record("before"))
    merge = world.claim(world.land(columns(record("a"), record("b"))))
    interrupt(monkeypatch, lambda: world.fold(merge))
    with pytest.raises(Transient, match="another writer"):
        world.fold(merge)
    assert world.fold(merge) == {2: counted(2, 2)}
    assert sorted(world.lines()) == [record("a"), record("b"), record("before")]


def test_a_zombie_of_an_older_merge_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits of later merges fence an older one that was compared with an older table."""
    world = World(tmp_path)
    old = world.claim(world.land(columns(record("a"), record("old"))))
    interrupt(monkeypatch, lambda: world.store(record("a")))
    with pytest.raises(Transient):
        world.fold(old)
    assert world.fold(old) == {1: counted(2, 1)}
    assert sorted(world.lines()) == sorted([record("a"), record("old")])


def test_two_first_merges_of_a_tenant_make_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers that both find no table agree on one."""
    world = World(tmp_path)
    tables = world.lake._tables
    monkeypatch.setattr(type(tables), "find", _blind_once(type(tables).find))
    world.store(record("a"))
    monkeypatch.setattr(type(tables), "find", _blind_once(type(tables).find))
    world.store(record("a"), record("b"))
    assert world.lines() == [record("a"), record("b")]


def _blind_once(find: Callable[..., object]) -> Callable[..., object]:
    seen: list[bool] = []

    def blind_then_seeing(self: object, tenant: str) -> object:
        return find(self, tenant) if seen else seen.append(True)

    return blind_then_seeing


def test_compaction_in_mid_merge_costs_one_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge overtaken by compaction is refused cleanly and succeeds when called again."""
    world = World(tmp_path)
    world.store(record("a"))
    world.store(record("b"))
    merge = world.claim(world.land(columns(record("a"), record("c"))))
    interrupt(monkeypatch, lambda: world.lake.compact(TENANT, DAY))
    with pytest.raises(Transient):
        world.fold(merge)
    assert world.fold(merge) == {3: counted(2, 1)}
    assert len(world.lines()) == 3


def test_a_merge_in_mid_compaction_survives(tmp_path: Path) -> None:
    """A table handle from before a merge compacts without losing what the merge brought."""
    world = World(tmp_path)
    world.store(record("a"))
    world.store(record("b"))
    behind = DeltaTable(str(tmp_path / "lake" / TENANT))
    world.store(record("c"))
    behind.optimize.compact()
    assert world.lines() == [record("a"), record("b"), record("c")]


def test_compaction_joins_files_and_deletes_what_is_old(tmp_path: Path) -> None:
    """Ten merges of one day become one file, and the ten are deleted once none may need them."""
    world = World(tmp_path)
    for number in range(10):
        world.store(record(f"{number}"))
    before = world.lines()
    files = [*(tmp_path / "lake").rglob("*.parquet")]
    assert len(files) == 10
    world.lake.compact(TENANT, DAY)
    assert set(files) < {*(tmp_path / "lake").rglob("*.parquet")}
    world.lake.compact(TENANT, timedelta(0))
    assert len([*(tmp_path / "lake").rglob("*.parquet")]) == 1
    assert world.lines() == before


def test_many_small_merges_leave_few_files(tmp_path: Path) -> None:
    """A day that gets a commit a minute is joined on the way; duplicates are still found in it."""
    world = World(tmp_path)
    for number in range(70):
        world.store(record(f"{number}"), record(f"{number - 40}"))
    assert len(DeltaTable(str(tmp_path / "lake" / TENANT)).file_uris()) < 32
    assert sorted(world.lines()) == sorted(record(f"{number}") for number in range(-40, 70))


def test_a_join_that_fails_costs_the_merge_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are committed before; it is said in the log and tried again later."""
    world = World(tmp_path)

    def refuse(*_: object, **__: object) -> object:
        raise DeltaError("made up")

    monkeypatch.setattr(TableOptimizer, "compact", refuse)
    with capture_logs() as events:
        for number in range(33):
            world.store(record(f"{number}"))
    assert [event["event"] for event in events] == ["compaction_failed"]
    assert len(world.lines()) == 33


def test_uncommitted_files_of_a_running_merge_are_spared(tmp_path: Path) -> None:
    """Clean-up deletes what killed merges left once it is old, and never a young stranger."""
    world = World(tmp_path)
    world.store(record("a"))
    folder = tmp_path / "lake" / TENANT / "event_date=2026-10-01"
    young = folder / "young.parquet"
    young.write_bytes(b"being written")
    world.lake.compact(TENANT, timedelta(0))
    world.lake.compact(TENANT, 7 * DAY)
    assert young.exists()


def test_a_landing_file_shorter_than_the_ledger_says_is_damaged(tmp_path: Path) -> None:
    """Rows missing from a file that still reads well are noticed, and nothing is merged."""
    world = World(tmp_path)
    one, two = world.land(columns(record("a"))), world.land(columns(record("a"), record("b")))
    short = LandedSegment(two.segment_id, two.stream, two.landed, two.landed_at)
    path = world.landing.path(TENANT, one.landed.file or "")
    with pytest.raises(Unavailable, match="damaged"):
        world.lake.merge(world.claim(short), [(short, path)])
    assert world.lines() == []


def test_no_record_text_reaches_the_log_of_the_table(tmp_path: Path) -> None:
    """The table's log holds counts and times, no text and no Id of a record."""
    world = World(tmp_path)
    world.store(record("id-canary", UserId="user-canary"))
    for path in (tmp_path / "lake").rglob("*.json"):
        assert "canary" not in path.read_text()


# --- against a model -------------------------------------------------------------------------

IDS = st.sampled_from(["a", "A", "b", None])
TIMES = st.sampled_from(["2026-10-01T23:59:59", "2026-10-02T00:00:00", "never", None])
VALUES = st.sampled_from(["1", "1.0", "true", '"1"', '{"x":1,"y":2}', '{"y":2,"x":1.0}'])
SPACES = st.sampled_from(["", " "])
PAGES = st.lists(
    st.builds(
        lambda key, at, value, space: (
            "{"
            + (f'"Id":{space}"{key}",' if key else "")
            + (f'"CreationTime":"{at}",' if at else "")
            + f'"V":{space}{value}}}'
        ),
        IDS,
        TIMES,
        VALUES,
        SPACES,
    ),
    max_size=8,
)
MERGES = st.lists(
    st.lists(st.tuples(PAGES, st.integers(0, 3)), min_size=1, max_size=3), min_size=1, max_size=4
)


class Model:
    """The rule of identity, the slow and obvious way."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.days: Counter[tuple[str, bool, object]] = Counter()
        self.values: set[tuple[str, bool, bytes]] = set()

    def add(self, text: str, seen: datetime) -> MergeCounts:
        page = columns(text, seen=seen)
        key = page.id[0], page.keyless[0]
        if (*key, content_digest(text)) in self.values:
            return counted(1, 0)
        self.values.add((*key, content_digest(text)))
        self.texts.append(text)
        return counted(1, 1)


@settings(max_examples=60, deadline=None)
@given(MERGES)
def test_every_value_is_stored_once_in_the_text_received_first(
    merges: list[list[tuple[list[str], int]]],
) -> None:
    """Whatever pages, in whatever merges: the table holds what the simple model holds."""
    with tempfile.TemporaryDirectory() as root:
        world, model = World(Path(root)), Model()
        for pages in merges:
            expected, landed = {}, []
            for texts, day in pages:
                seen = T0 + day * DAY
                entry = world.land(columns(*texts, seen=seen))
                landed.append(entry)
                expected[entry.segment_id] = summed([model.add(text, seen) for text in texts])
            merge = world.claim(*landed)
            counts = world.fold(merge)
            assert {k: _without_conflicts(c) for k, c in counts.items()} == expected
            assert world.fold(merge) == counts
        assert sorted(world.lines()) == sorted(model.texts)


def _without_conflicts(counts: MergeCounts) -> MergeCounts:
    """Conflicts are counted within a day only; the contract suite counts them."""
    assert counts.conflicts <= counts.stored
    return MergeCounts(counts.received, counts.stored, counts.duplicates)
