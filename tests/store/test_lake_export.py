"""Exports: one order, bounded slices, safe in a spreadsheet, complete or absent."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.lake_words import TENANT, World, columns, lines, october, record
from trailkeeper.errors import Unavailable
from trailkeeper.store import lake_export
from trailkeeper.store.lake_export import one_line


def many(count: int) -> list[str]:
    chance = random.Random(1)
    return [
        record(
            f"{chance.getrandbits(40):x}",
            f"2026-10-{chance.randrange(1, 4):02d}T{chance.randrange(24):02d}:00:00",
            Text="x" * chance.randrange(200),
        )
        for _ in range(count)
    ]


def test_two_exports_of_one_state_are_the_same_bytes(tmp_path: Path) -> None:
    """Two lakes that received the same records in another order export the same bytes."""
    texts = many(500)
    first, second = World(tmp_path / "first"), World(tmp_path / "second")
    first.store(*texts)
    for start in range(0, 500, 100):
        second.store(*reversed(texts[start : start + 100]))
    assert first.lines() == second.lines()
    for world in (first, second):
        world.lake.export_parquet(TENANT, None, world.root / "x.parquet")
    texts_of = [pl.read_parquet(w.root / "x.parquet")["raw"].to_list() for w in (first, second)]
    assert texts_of[0] == texts_of[1] == first.lines()


@pytest.mark.parametrize("size", [1, 1_000, 30_000])
def test_the_size_of_the_slices_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """However small the slices of a day, every record appears once and in order."""
    world = World(tmp_path)
    world.store(*many(300))
    whole = world.lines()
    monkeypatch.setattr(lake_export, "SLICE", size)
    assert world.lines() == whole
    assert world.lines(october(0.5, 1.5)) == [
        text
        for text in whole
        if "2026-10-01T12" <= json.loads(text)["CreationTime"] < "2026-10-02T12"
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 0, 1, "\r\n", "\t\r"]))
def test_one_line_keeps_the_value(value: dict[str, object], indent: int | str | None) -> None:
    """Only line breaks between tokens go: the value stays and strings keep their spelling."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    line = one_line(text)
    assert "\n" not in line
    assert "\r" not in line
    assert json.loads(line) == value
    assert line == text.replace("\n", "").replace("\r", "")


def rows(world: World) -> list[dict[str, str]]:
    out = io.BytesIO()
    world.lake.export_csv(TENANT, None, out)
    return list(csv.DictReader(io.StringIO(out.getvalue().decode(), newline=""), strict=True))


NASTY = ['a "b", c', "line\r\nbreak", "", "ünï 😀", "'x", "a=b"]
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]


def test_csv_is_read_back_by_an_ordinary_reader(tmp_path: Path) -> None:
    """Quotes, commas, line breaks and other scripts survive; lines end as RFC 4180 says."""
    world = World(tmp_path)
    texts = [record(f"{n}", UserId=user, RecordType=n) for n, user in enumerate(NASTY)]
    world.store(*texts)
    table = rows(world)
    assert [row["user_id"] for row in table] == NASTY
    assert [row["raw"] for row in table] == texts
    assert [row["record_type"] for row in table] == [str(n) for n in range(len(NASTY))]
    assert {row["created_at"] for row in table} == {"2026-10-01T08:00:00Z"}
    assert {row["source"] for row in table} == {"exchange"}
    out = io.BytesIO()
    world.lake.export_csv(TENANT, None, out)
    assert out.getvalue().endswith(b"\r\n")
    assert not out.getvalue().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("field", ["Operation", "Workload", "UserId", "ClientIP", "ResultStatus"])
def test_csv_disarms_formulas(tmp_path: Path, field: str) -> None:
    """A value that a spreadsheet would run is shown with an apostrophe; the text is untouched."""
    world = World(tmp_path)
    texts = [record(f"{n}", **{field: formula}) for n, formula in enumerate(FORMULAS)]
    world.store(*texts, record("=id"))
    table = rows(world)
    shown = [v for row in table for v in row.values() if v.replace("'", "") in FORMULAS]
    assert [v.replace("'", "") for v in shown] == FORMULAS
    assert all(value.startswith("'") for value in shown)
    assert [row["raw"] for row in table] == [*texts, record("=id")]
    assert table[-1]["id"] == "'=id"


def test_a_cell_is_no_longer_than_a_spreadsheet_keeps(tmp_path: Path) -> None:
    """Excel keeps 32,767 UTF-16 units of a cell: a longer one is cut and says so; the lines of
    JSON stay whole."""
    world = World(tmp_path)
    texts = [record("a", x="😀" * 20_000), record("b", UserId="u" * 40_000), record("c")]
    world.store(*texts)
    table = rows(world)
    for row in table:
        assert all(len(cell.encode("utf-16-le")) <= 2 * 32_767 for cell in row.values())
    assert texts[0].startswith(table[0]["raw"].partition(" … [cut: ")[0])
    assert "[cut: the cell has 40,000 characters" in table[1]["user_id"]
    assert table[2]["raw"] == texts[2]
    assert world.lines() == texts


def test_csv_tells_fractions_of_a_second_only_where_there_are_any(tmp_path: Path) -> None:
    """Times are ISO 8601 in UTC."""
    world = World(tmp_path)
    world.store(record("a"), record("b", "2026-10-01T08:00:00.25"))
    assert [row["created_at"] for row in rows(world)] == [
        "2026-10-01T08:00:00Z",
        "2026-10-01T08:00:00.250Z",
    ]


def test_a_parquet_export_that_fails_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error on the way leaves neither the file nor its partial form, and keeps an older one."""
    world = World(tmp_path)
    world.store(record("a"))
    out = tmp_path / "x.parquet"
    out.write_bytes(b"older")

    def fail(*_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lake_export, "_ordered", fail)
    with pytest.raises(Unavailable, match="Free space"):
        world.lake.export_parquet(TENANT, None, out)
    assert out.read_bytes() == b"older"
    assert not (tmp_path / "x.parquet.partial").exists()


def test_a_parquet_export_into_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A folder that does not exist is `Unavailable`, not a panic."""
    world = World(tmp_path)
    world.store(record("a"))
    with pytest.raises(Unavailable):
        world.lake.export_parquet(TENANT, None, tmp_path / "none" / "x.parquet")


def test_every_column_of_the_table_is_exported(tmp_path: Path) -> None:
    """Parquet carries the header as it was read, with source and first sight."""
    world = World(tmp_path)
    text = record("a", RecordType=15, UserType=0, Operation="UserLoggedIn")
    world.store(text)
    world.lake.export_parquet(TENANT, None, tmp_path / "x.parquet")
    (row,) = pl.read_parquet(tmp_path / "x.parquet").to_dicts()
    page = columns(text)
    assert row["digest"] == page.digest[0]
    assert (row["record_type"], row["user_type"], row["operation"]) == (15, 0, "UserLoggedIn")
    assert (row["source"], row["raw_size"], row["placed_by"]) == ("exchange", len(text), 0)
    assert row["first_seen_at"] > row["created_at"]
    assert lines(world.lake) == [text]
