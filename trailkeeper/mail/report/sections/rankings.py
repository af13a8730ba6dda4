"""The most frequent workloads, operations and users."""

from __future__ import annotations

from collections.abc import Iterable

from trailkeeper.mail import chart
from trailkeeper.mail.report.blocks import Cell, Column, Row, Section, Table
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.wording import number, share, shown
from trailkeeper.model.report import Count

RANKING_ROWS = 10


def workloads(facts: Facts) -> Section:
    """The rows of the chart, in its order, with the same "other"."""
    layers = chart.stack(facts.report.figures, facts.report.month)
    rows = [Count(layer.name, sum(layer.counts)) for layer in layers]
    return Section("Workloads", (_ranking(facts, "Workload", rows),))


def operations(facts: Facts) -> Section:
    rows = facts.report.figures.by_operation
    return Section("Most frequent operations", (_ranking(facts, "Operation", rows),))


def users(facts: Facts) -> Section:
    return Section("Most active users", (_ranking(facts, "User", facts.report.figures.by_user),))


def _ranking(facts: Facts, noun: str, rows: Iterable[Count]) -> Table:
    whole = facts.report.figures.records
    columns = (Column(noun), Column("Records", True, "70"), Column("Share", True, "50"))
    return Table(columns, tuple(_row(row, whole) for row in [*rows][:RANKING_ROWS]), "None.")


def _row(row: Count, whole: int) -> Row:
    name, records, part = shown(row.name), number(row.records), share(row.records, whole)
    cells = (Cell(name), Cell(records), Cell(part, quiet=True))
    return Row(cells, f"{records:>14}  {part:>7}  {name}")
