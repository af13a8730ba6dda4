"""The smallest section of a report: one file, of which one line has to be told."""

from __future__ import annotations

from trailkeeper.mail.report.blocks import Cell, Column, Paragraph, Row, Section, Table
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.wording import number


def section(facts: Facts) -> Section:
    words = number(facts.report.figures.records)
    table = Table((Column("What"), Column("How many", right=True)), (_row(words),))
    return Section("Toys", (Paragraph("Said by a toy <b>."), table), {"toys": {"records": words}})


def _row(words: str) -> Row:
    return Row((Cell("records"), Cell(words)), f"records: {words}")
