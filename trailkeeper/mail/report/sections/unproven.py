"""Times of which records may be missing, and why."""

from __future__ import annotations

from trailkeeper.mail.report.blocks import Block, Cell, Column, Paragraph, Row, Section, Table
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.statement import StretchRow
from trailkeeper.mail.wording import counted, shown

_AVAILABILITY = (
    "The Management Activity feed is asked by the time at which records became available, which is "
    "mostly an hour or two after they happened."
)


def section(facts: Facts) -> Section:
    coverage = [
        {**c.as_json(), "content_type": c.stream.content_type} for c in facts.report.coverage
    ]
    blocks = tuple(_blocks(facts)) if facts.statement.stretches else ()
    return Section("What is not proven", blocks, {"coverage": coverage})


def _blocks(facts: Facts) -> list[Block]:
    statement = facts.statement
    columns = (
        Column(f"When ({shown(facts.report.timezone)})", width="42%"),
        Column("Why, and in which source"),
    )
    blocks: list[Block] = [Table(columns, tuple(map(_row, statement.stretches)))]
    if statement.by_availability:
        blocks.append(Paragraph(_AVAILABILITY, "note"))
    if statement.more:
        more = counted(statement.more, "more stretch", "more stretches")
        text = f"and {more}; report.json, beside this report on the collecting machine, lists them"
        blocks.append(Paragraph(f"{text} all.", "note"))
    return blocks


def _row(row: StretchRow) -> Row:
    kind = row.kind.value.capitalize()
    return Row(
        cells=(
            Cell(row.when, under=row.length),
            Cell(row.reason, strong=f"{kind}:", under=row.source),
        ),
        text=f"{row.when} ({row.length})\n    {kind}, {row.source}\n    {row.reason}",
    )
