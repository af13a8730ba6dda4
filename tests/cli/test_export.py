"""`trailkeeper export`: to a pipe, to a file, whole or not at all."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import DAYS, RECORDS, Line


@pytest.fixture
def collected(seeded: Line) -> Line:
    assert seeded.collect().code == 0
    return seeded


def test_every_form_gives_the_same_records(collected: Line, tmp_path: Path) -> None:
    """jsonl, csv and parquet name the same records, in files that are whole."""
    said = {}
    for form in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"out.{form}"
        said[form] = collected.run(
            "export", "--tenant", collected.tenant, "--format", form, "-o", str(path)
        )
        assert said[form].code == 0, said[form].err
        assert f"exported {RECORDS} records" in said[form].err
        assert said[form].out == ""
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert lines == table["raw"].to_list()
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        # A cell escapes what a spreadsheet would run, and is cut where that keeps no more.
        assert "… [cut: " in row["raw"] or json.loads(row["raw"]) == json.loads(line)
    assert not list(tmp_path.glob(".*"))


def test_the_same_state_gives_the_same_bytes(collected: Line) -> None:
    """Two exports of one state are equal, and standard output holds nothing but records."""
    words = ("export", "--tenant", collected.tenant)
    first, second = collected.run(*words), collected.run(*words)
    assert first.out == second.out
    assert len(first.out.splitlines()) == RECORDS


def test_a_range_selects_by_time(collected: Line) -> None:
    """[from, to) leaves out what lies outside; a day without records is an empty export."""
    words = ("export", "--tenant", collected.tenant)
    inside = collected.run(*words, "--from", DAYS[0], "--to", DAYS[1])
    assert len(inside.out.splitlines()) == RECORDS
    outside = collected.run(*words, "--from", DAYS[1])
    assert (outside.code, outside.out) == (0, "")


def test_a_reader_that_goes_away_is_no_error_to_talk_about(collected: Line) -> None:
    """`export | head` ends quietly, as if by SIGPIPE: no error, yet not called done."""
    process = collected.start("export", "--tenant", collected.tenant)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    err = process.stderr.read()
    assert process.wait(60) == 141
    assert "trailkeeper:" not in err
    assert "Traceback" not in err
    assert "Broken pipe" not in err


def test_head_sees_whole_lines(collected: Line) -> None:
    """The first line of a pipe is a whole record."""
    process = collected.start("export", "--tenant", collected.tenant)
    assert process.stdout
    with process.stdout as pipe:
        head = subprocess.run(
            ["head", "-n1"], stdin=pipe, capture_output=True, text=True, check=True
        )
    process.wait(60)
    assert head.stdout.startswith("{")
    assert head.stdout.endswith("}\n")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--format", "parquet"), "-o PATH"),
        (("-o", "/nowhere/at/all/x.jsonl"), "no folder"),
        (("-o", "/proc/x.jsonl"), "/proc/x.jsonl"),
        (("-o", "."), "is a folder"),
        (("--from", "2026-10-02", "--to", "2026-10-01"), "is not before"),
        (("--format", "xml"), "xml"),
    ],
)
def test_what_cannot_be_written(line: Line, words: tuple[str, ...], part: str) -> None:
    """A form or place that cannot be is refused with exit code 2."""
    said = line.run("export", "--tenant", line.tenant, *words)
    assert said.code == 2, said.err
    assert part in said.last_words
