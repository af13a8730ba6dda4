"""What the report claims, before anything else."""

from __future__ import annotations

from trailkeeper.mail.report.blocks import Banner, Block, Paragraph, Section
from trailkeeper.mail.report.facts import Facts

_PRELIMINARY = (
    "Preliminary: this month is not over. Its report follows by itself once it has ended and late "
    "records have had their time to arrive."
)


def section(facts: Facts) -> Section:
    statement, report = facts.statement, facts.report
    verdict, _, reason = statement.headline.partition(":")
    blocks: list[Block] = [
        Banner("good" if statement.complete else "bad", verdict, (reason.strip(),))
    ]
    if report.is_preliminary:
        blocks.append(Paragraph(_PRELIMINARY, "lead"))
    return Section(
        blocks=tuple(blocks),
        json={
            "preliminary": report.is_preliminary,
            "complete": statement.complete,
            "statement": statement.headline,
        },
    )
