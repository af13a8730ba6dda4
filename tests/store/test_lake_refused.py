"""A row that a library refuses keeps nobody out: it is found, stored plainly, and told."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from structlog.testing import capture_logs

from tests.store.lake_words import T0, TENANT, World, columns, record
from trailkeeper.model.record import PlacedBy, RecordColumns
from trailkeeper.model.segment import MergeCounts
from trailkeeper.store.lake_refused import may_blame_content

BEYOND = {
    "before the year 1": -62_135_596_800_000_001,
    "after the year 9999": 253_402_300_800_000_000,
    "beyond what a day can be counted": 2**62,
}


def refused(text: str, created_at: int) -> RecordColumns:
    """As a version landed it that let every time pass the door."""
    page = columns(text)
    page.created_at = [created_at]
    return page


@pytest.mark.parametrize("created_at", BEYOND.values(), ids=BEYOND)
def test_a_refused_row_is_stored_plainly_and_the_rest_goes_on(
    tmp_path: Path, created_at: int
) -> None:
    """Its text and Id stay, its header goes, it lies when it was first seen; the log names it."""
    world = World(tmp_path)
    good = [record(f"{n}", f"2026-10-0{n + 1}T08:00:00") for n in range(5)]
    bad = record("bad", "9999-12-31T23:59:59-14:00", Operation="UserLoggedIn")
    pages = [columns(*good[:3]), refused(bad, created_at), columns(*good[3:])]
    merge = world.claim(world.land(*pages))
    with capture_logs() as events:
        assert world.fold(merge) == {1: MergeCounts(6, 6)}
    (told,) = (event for event in events if event["event"] == "records_refused")
    assert (told["records"], told["digests"]) == (1, [columns(bad).digest[0].hex()])
    assert sorted(world.lines()) == sorted([*good, bad])
    world.lake.export_parquet(TENANT, None, tmp_path / "x.parquet")
    stored = pl.read_parquet(tmp_path / "x.parquet").filter(pl.col("id") == "bad")
    (row,) = stored.to_dicts()
    assert row["placed_by"] == PlacedBy.REFUSED
    assert row["operation"] is None
    assert row["created_at"] == row["first_seen_at"] > T0


def test_a_refused_row_seen_again_is_a_duplicate(tmp_path: Path) -> None:
    """It is looked for among its like on all days, as every record without a time of its own."""
    world = World(tmp_path)
    bad = refused(record("bad", "x"), BEYOND["after the year 9999"])
    world.fold(world.claim(world.land(bad)))
    assert world.fold(world.claim(world.land(bad))) == {2: MergeCounts(1, 0, 1)}
    assert [json.loads(line)["Id"] for line in world.lines()] == ["bad"]


def test_a_disk_or_another_writer_is_no_fault_of_the_rows() -> None:
    """Signals, storage and other writers are not searched for among the records."""
    panic = type("PanicException", (BaseException,), {})
    assert may_blame_content(panic("out of range"))
    assert not may_blame_content(KeyboardInterrupt())
    assert not may_blame_content(OSError(28, "No space left on device"))
