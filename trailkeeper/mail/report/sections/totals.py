"""The month in six figures."""

from __future__ import annotations

from dataclasses import asdict

from trailkeeper.mail.report.blocks import Block, Paragraph, Section, Tiles
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.wording import counted, number


def section(facts: Facts) -> Section:
    figures = facts.report.figures
    blocks: list[Block] = [
        Tiles(
            (
                ("records", number(figures.records)),
                ("failed sign-ins", number(figures.sign_ins_failed)),
                ("services and applications", number(figures.machines)),
                ("users", number(figures.users)),
                ("of them guests", number(figures.guests)),
                ("of them partners' technicians", number(figures.partners)),
            )
        )
    ]
    if facts.archive.records != figures.records:  # the lake grew between the figures and the CSV
        text = (
            f"The CSV file holds {counted(facts.archive.records, 'record')}: records were merged "
            "while this report was being made."
        )
        blocks.append(Paragraph(text, "note"))
    return Section("Totals", tuple(blocks), {"figures": asdict(figures)})
