"""Records per day by workload; the picture itself is drawn by `mail.chart`."""

from __future__ import annotations

from trailkeeper.mail import chart
from trailkeeper.mail.report.blocks import Picture, Section
from trailkeeper.mail.report.facts import Facts


def section(facts: Facts) -> Section:
    report = facts.report
    text = chart.described(report.figures, report.month, facts.statement.unproven_days)
    return Section("Records per day", (Picture(chart.FILE, text, chart.WIDTH),))
