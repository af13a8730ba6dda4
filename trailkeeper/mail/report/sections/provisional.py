"""Times that were read so soon that Microsoft may still add records."""

from __future__ import annotations

from trailkeeper.mail.report.blocks import Paragraph, Section
from trailkeeper.mail.report.facts import Facts

_WHAT = (
    "These times are complete, but they were read so soon that Microsoft may still add late "
    "records:"
)


def section(facts: Facts) -> Section:
    lines = facts.statement.provisional
    return Section("Provisional", tuple(map(Paragraph, (_WHAT, *lines))) if lines else ())
