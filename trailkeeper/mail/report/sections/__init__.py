"""The report's sections, in its order.

A section is a file here with a function `section(facts) -> Section`, and a line in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trailkeeper.mail.report.blocks import Section
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.report.sections import (
    arrivals,
    certificates,
    chart,
    missed,
    provisional,
    rankings,
    reading,
    records,
    review,
    totals,
    unproven,
    verdict,
)

SECTIONS: tuple[Callable[[Facts], Section], ...] = (
    verdict.section,
    review.section,
    certificates.section,
    unproven.section,
    provisional.section,
    totals.section,
    chart.section,
    rankings.workloads,
    rankings.operations,
    rankings.users,
    reading.section,
    missed.section,
    arrivals.section,
    records.section,
)


def of(facts: Facts) -> Iterator[Section]:
    """Every section of a report."""
    for section in SECTIONS:
        yield section(facts)
