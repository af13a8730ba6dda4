"""What every lake promises: each record once, in the text received first, and in a fixed order.

The suite runs over a lake that is left alone and over one that is compacted after every merge: an
operator must not be able to tell them apart.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tests.store.lake_words import (
    DAY,
    T0,
    TENANT,
    World,
    columns,
    counted,
    lines,
    october,
    record,
)
from trailkeeper.model.report import Figures
from trailkeeper.model.segment import LandedSegment, Merge, MergeCounts
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Axis, AxisMixedError, Window
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.landing import Landing
from trailkeeper.store.lake import DeltaLake

BERLIN = ZoneInfo("Europe/Berlin")


class CompactedLake(DeltaLake):
    def merge(
        self, merge: Merge, files: Sequence[tuple[LandedSegment, Path]]
    ) -> dict[int, MergeCounts]:
        counts = super().merge(merge, files)
        self.compact(merge.tenant, timedelta(0))
        return counts


class MakesLake(Protocol):
    def __call__(self, url: str) -> DeltaLake: ...


@pytest.fixture(params=[DeltaLake, CompactedLake], ids=["left-alone", "compacted"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    kind: MakesLake = request.param
    return World(tmp_path, kind(str(tmp_path / "lake")))


def test_the_port_is_met(world: World) -> None:
    """The adapters carry every method of their ports."""
    lake: Lake = world.lake
    landing: Landing = world.landing
    assert lake
    assert landing


STRANGE = [
    record("ünï-😀", Operation="", UserId=""),
    '{"Id":"a","CreationTime":"2026-10-01T08:00:00","x":"\\ud800 \\u0000 \\/ \\r\\n"}',
    '{"Id":"A","CreationTime":"2026-10-01T08:00:00","n":1e400,"n":-0.0,"n":' + "9" * 5000 + "}",
    record("big", Text="x" * 2_000_000),
    record("Z" * 5000, "2026-10-01T09:00:00.123456"),
    record("", "2026-10-01T08:00:00Z"),
    record("early", "1601-01-01T00:00:00"),
    record("late", "9999-12-31T23:59:59"),
    '{"Id":"row","CreationTime":"2026-10-01T08:00:00","AuditDataText":"{\\"cut\\": "}',
]


def test_texts_come_back_to_the_byte(world: World) -> None:
    """Strange records are exported exactly as received."""
    assert world.store(*STRANGE) == counted(len(STRANGE), len(STRANGE))
    assert sorted(world.lines()) == sorted(STRANGE)


def test_line_breaks_between_tokens_are_dropped(world: World) -> None:
    """A record spread over lines is exported on one, its strings untouched."""
    world.store('{\r\n  "Id": "a",\n"CreationTime":"2026-10-01T08:00:00", "x":"\\n \\"\\n" }')
    expected = '{  "Id": "a","CreationTime":"2026-10-01T08:00:00", "x":"\\n \\"\\n" }'
    assert world.lines() == [expected]


def test_a_record_is_stored_once_within_a_page(world: World) -> None:
    """Repeats on one page are duplicates."""
    text = record("a")
    assert world.store(text, record("b"), text, text) == counted(4, 2)
    assert world.lines() == [text, record("b")]


def test_a_record_is_stored_once_across_merges_and_sources(world: World) -> None:
    """What one source delivered is a duplicate when another delivers it."""
    text = record("a")
    assert world.store(text) == counted(1, 1)
    assert world.store(text, source=Source.ACTIVITY) == counted(1, 0)
    assert world.store(text, record("b")) == counted(2, 1)
    assert world.lines() == [text, record("b")]


ONE_VALUE = [
    '{"Id":"a","CreationTime":"2026-10-01T08:00:00","n":1.0,"s":"é/"}',
    '{ "n": 1, "s": "\\u00e9\\/", "CreationTime":"2026-10-01T08:00:00", "Id":"a" }',
    '{"Id":"\\u0061","CreationTime":"2026-10-01T08:00:00","n":10e-1,"s":"é/"}',
]


def test_equal_json_in_other_bytes_is_a_duplicate(world: World) -> None:
    """Key order, spacing, escapes and number spelling make no new record; the first text stays."""
    assert world.store(*ONE_VALUE[:2]) == counted(2, 1)
    assert world.store(ONE_VALUE[2], source=Source.ACTIVITY) == counted(1, 0)
    assert world.lines() == ONE_VALUE[:1]


def test_other_content_under_the_same_id_is_kept_and_counted(world: World) -> None:
    """Each variant is stored once; every one after the first is a conflict."""
    variants = [record("a", n=n) for n in (1, True, "1", None)]
    assert world.store(variants[0], variants[1], variants[0]) == counted(3, 2, conflicts=1)
    assert world.store(*variants, *variants) == counted(8, 2, conflicts=2)
    assert sorted(world.lines()) == sorted(variants)


def test_the_case_of_an_id_matters(world: World) -> None:
    """Ids that differ in case are different records, and no conflict."""
    assert world.store(record("abc"), record("ABC")) == counted(2, 2)


def test_records_without_id_are_kept_once_per_content(world: World) -> None:
    """Without Id the content is the key; spacing makes no new record."""
    one, other = record(None, n=1), record(None, n=2)
    assert world.store(one, other, one) == counted(3, 2)
    assert world.store(one.replace(" ", "")) == counted(1, 0)
    assert sorted(world.lines()) == sorted([one, other])


def test_an_id_that_looks_like_a_content_hash_is_no_keyless_record(world: World) -> None:
    """A record whose Id is the key of a keyless one is another record, and no conflict."""
    keyless = record(None, n=1)
    named = record(columns(keyless).id[0])
    assert world.store(keyless, named) == counted(2, 2)


@pytest.mark.parametrize("text", [record("a", None), record(None, "soon", n=1)])
def test_a_record_without_time_is_recognised_on_another_day(world: World, text: str) -> None:
    """A record placed by when it was first seen is the same record when seen again days later."""
    assert world.store(text, seen=T0) == counted(1, 1)
    assert world.store(text, text.replace(" ", ""), seen=T0 + 9 * DAY) == counted(2, 0)
    assert world.store(record("b"), text, seen=T0 - DAY) == counted(2, 1)
    assert world.lines(october(0, 1)) == [text, record("b")]


def test_the_text_received_first_stays(world: World) -> None:
    """Of two landings in one merge the earlier one counts, whatever the order of the entries."""
    late = world.land(columns(ONE_VALUE[0]), at=T0 + 2 * DAY)
    early = world.land(columns(ONE_VALUE[1]), at=T0 + DAY)
    counts = world.fold(world.claim(late, early))
    assert counts == {late.segment_id: counted(1, 0), early.segment_id: counted(1, 1)}
    assert world.lines() == [ONE_VALUE[1]]


def test_a_merge_can_be_repeated(world: World) -> None:
    """The second call changes nothing and returns the first one's counts, later merges or not."""
    first = world.claim(world.land(columns(record("a"), record("a"))), world.land(columns()))
    again = world.claim(world.land(columns(record("a"))))
    before = [world.fold(first), world.fold(again)]
    stored = world.lines()
    for _ in range(2):
        assert [world.fold(first), world.fold(again)] == before
        assert world.lines() == stored
        world.store(record("b"))
        stored = world.lines()
    assert before == [{1: counted(2, 1), 2: counted(0, 0)}, {3: counted(1, 0)}]


def test_a_repeated_merge_needs_no_files(world: World) -> None:
    """The counts of a committed merge are known when its landing files are gone already."""
    merge = world.claim(world.land(columns(record("a"))))
    counts = world.fold(merge)
    for entry in merge.entries:
        world.landing.remove(TENANT, entry.landed.file or "")
    assert world.fold(merge) == counts


def test_a_ledger_that_counts_anew_loses_nothing(world: World) -> None:
    """A merge with a number that the table has seen for other segments is made, not skipped."""
    for number in (1, 2, 3):
        world.fold(world.claim(world.land(columns(record(f"old{number}"))), number=number))
    world.segments = 0
    anew = world.claim(
        world.land(columns(record("new"), record("old1")), at=T0 + 99 * DAY), number=1
    )
    assert world.fold(anew) == {1: counted(2, 1)}
    assert len(world.lines()) == 4


def test_windows_are_half_open(world: World) -> None:
    """A record on the start is in, one on the end is out, and adjoining windows share none."""
    times = ["2026-10-01T23:59:59", "2026-10-02T00:00:00", "2026-10-02T12:00:00.5"]
    texts = [record(f"{n}", at) for n, at in enumerate(times)]
    world.store(*texts)
    assert world.lines(october(0, 1)) == texts[:1]
    assert world.lines(october(1, 1.5)) == texts[1:2]
    assert world.lines(october(1.5, 2)) == texts[2:]
    assert world.lines(october(2, 3)) == []


def test_a_window_of_availability_is_refused(world: World) -> None:
    """The lake cannot be asked by when content became available."""
    window = Window(T0, T0 + DAY, Axis.AVAILABLE)
    world.store(record("a"))
    with pytest.raises(AxisMixedError):
        world.lines(window)
    with pytest.raises(AxisMixedError):
        world.lake.figures(TENANT, window, BERLIN)


def test_the_order_is_time_then_id_then_text(world: World) -> None:
    """Whatever the order of arrival, the export is in one order."""
    ordered = [
        record("z", "2026-09-30T00:00:00"),
        record("A", n=9),
        record("a", n=1),
        record("a", n=2),
        record("b"),
        record("a", "2026-10-01T08:00:01"),
    ]
    for text in reversed(ordered):
        world.store(text)
    assert world.lines() == ordered


def test_a_tenant_without_a_table_exports_nothing(world: World, tmp_path: Path) -> None:
    """Nothing merged yet: no lines, no figures, and empty tables with their header."""
    assert lines(world.lake) == []
    out = io.BytesIO()
    assert world.lake.export_csv(TENANT, None, out) == 0
    assert out.getvalue().startswith(b"id,created_at,")
    assert world.lake.export_parquet(TENANT, None, tmp_path / "x.parquet") == 0
    assert pl.read_parquet(tmp_path / "x.parquet").is_empty()
    assert world.lake.figures(TENANT, october(0, 31), BERLIN) == Figures(records=0)
    world.lake.compact(TENANT, DAY)
    world.lake.remove(TENANT)


def test_removing_a_tenant_leaves_the_others(world: World) -> None:
    """After `remove` the tenant's records are gone, and it can be collected again."""
    other = Merge(1, "fabrikam", "test", 1, (entry := world.land(columns(record("b"))),))
    world.lake.merge(other, [(entry, world.landing.path(TENANT, entry.landed.file or ""))])
    world.store(record("a"))
    world.lake.remove(TENANT)
    assert world.lines() == []
    assert lines(world.lake, tenant="fabrikam") == [record("b")]
    assert world.store(record("a")) == counted(1, 1)


def test_the_three_exports_give_the_same_records(world: World, tmp_path: Path) -> None:
    """JSON lines, CSV and Parquet hold the same texts in the same order."""
    world.store(*(record(f"{n % 7}", n=n) for n in range(50)))
    csv, path = io.BytesIO(), tmp_path / "x.parquet"
    assert world.lake.export_csv(TENANT, None, csv) == 50
    assert world.lake.export_parquet(TENANT, None, path) == 50
    assert pl.read_csv(csv.getvalue())["raw"].to_list() == world.lines()
    assert pl.read_parquet(path)["raw"].to_list() == world.lines()


def test_a_lake_that_can_be_written_passes_its_check(world: World) -> None:
    """`check` on a folder that does not exist yet creates it and says nothing."""
    world.lake.check()
