"""What each source was asked, and what it answered."""

from __future__ import annotations

from trailkeeper.mail.report.blocks import Block, Cell, Column, Paragraph, Row, Section, Table
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.statement import SourceRow
from trailkeeper.mail.wording import counted, number
from trailkeeper.model.report import Figures

_NOTE = (
    "Received counts every row that was answered, re-readings included; stored counts those that "
    "were new. A duplicate was there already with the same content; a conflict shares its Id with "
    "other content, and both are kept. The month is read in pieces, and each "
    "counts whole: those that reach beyond its ends count with what they brought of the days "
    "before and after, so that these numbers can exceed the records above."
)
_COLUMNS = tuple(
    Column(name, True, "25%") for name in ("Received", "Stored", "Duplicates", "Conflicts")
)


def section(facts: Facts) -> Section:
    rows = tuple(map(_row, facts.statement.sources))
    blocks: list[Block] = [Table(_COLUMNS, rows, "Nothing.")]
    if rows:
        blocks.append(Paragraph(_NOTE, "note"))
    blocks.append(Paragraph(_strange(facts.report.figures), "note"))
    return Section("What was read", tuple(blocks))


def _strange(figures: Figures) -> str:
    """What is odd about stored records; nothing is dropped for it."""
    malformed = counted(figures.malformed, "record")
    keyless, conflicting = number(figures.keyless), number(figures.conflicting)
    return (
        f"Of the records above, {malformed} could not be read as JSON, {keyless} had no Id, and "
        f"{conflicting} shared an Id with others. All are kept as received."
    )


def _row(row: SourceRow) -> Row:
    counts = row.counts
    received, stored, duplicates, conflicts = map(
        number, (counts.received, counts.stored, counts.duplicates, counts.conflicts)
    )
    return Row(
        cells=tuple(map(Cell, (received, stored, duplicates, conflicts))),
        head=Cell(f"{row.source}:", under=row.proven),
        text=f"{row.source}: {row.proven}\n    received {received}, stored {stored}, "
        f"duplicates {duplicates}, conflicts {conflicts}",
    )
