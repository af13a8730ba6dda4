"""What each of two sources missed that the other one had."""

from __future__ import annotations

from trailkeeper.mail.measured import (
    TIMES_NOTE,
    MatchRow,
    WorkloadRow,
    match_rows,
    match_text,
    workload_rows,
)
from trailkeeper.mail.report.blocks import Cell, Column, Paragraph, Row, Section, Table
from trailkeeper.mail.report.facts import Facts

_COLUMNS = (
    Column("Source"),
    Column("Missed", right=True),
    Column("Share", right=True),
    Column("Seen after", right=True),
)


def section(facts: Facts) -> Section:
    text = match_text(facts.report)
    if not text:
        return Section()
    rows = [*map(_source, match_rows(facts.report)), *map(_workload, workload_rows(facts.report))]
    return Section(
        "What each source missed",
        (Paragraph(text), Table(_COLUMNS, tuple(rows)), Paragraph(TIMES_NOTE, "note")),
    )


def _source(row: MatchRow) -> Row:
    text = f"{row.source}: missed {row.missed} ({row.share}), seen after {row.seen}"
    return Row(tuple(map(Cell, (row.source, row.missed, row.share, row.seen))), text)


def _workload(row: WorkloadRow) -> Row:
    text = f"{row.workload}: {row.missed} of {row.records} missed by the {row.source}"
    return Row((Cell(text, quiet=True, span=len(_COLUMNS)),), f"    {text}")
