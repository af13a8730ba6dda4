"""How long the feed's records were on their way."""

from __future__ import annotations

from trailkeeper.mail.measured import LAG_NOTE, LagRow, lag_rows
from trailkeeper.mail.report.blocks import Cell, Column, Paragraph, Row, Section, Table
from trailkeeper.mail.report.facts import Facts

_COLUMNS = (
    Column("Content type"),
    Column("Records", right=True),
    Column("Available after", right=True),
    Column("Stored after that", right=True),
)


def section(facts: Facts) -> Section:
    rows = tuple(map(_row, lag_rows(facts.report)))
    blocks = (Table(_COLUMNS, rows), Paragraph(LAG_NOTE, "note")) if rows else ()
    return Section("How long records were on their way", blocks)


def _row(row: LagRow) -> Row:
    return Row(
        tuple(map(Cell, (row.content_type, row.records, row.available, row.stored))),
        f"{row.content_type}: {row.records} records\n"
        f"    available after {row.available}, stored {row.stored} later",
    )
