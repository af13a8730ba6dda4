"""Where the records themselves are."""

from __future__ import annotations

from trailkeeper.mail.report.blocks import Paragraph, Section
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.wording import counted, shown, size

_PATH_LIMIT = 400


def section(facts: Facts) -> Section:
    archive = facts.archive
    return Section(
        "The records themselves",
        (Paragraph(_where(facts)), Paragraph(f"SHA-256 {archive.sha256}", "small")),
        {
            "csv": {
                "file": archive.path.name,
                "attached": facts.attached,
                "records": archive.records,
                "bytes": archive.size,
                "sha256": archive.sha256,
            }
        },
    )


def _where(facts: Facts) -> str:
    archive = facts.archive
    what = f"{archive.path.name} ({counted(archive.records, 'record')}, {size(archive.size)})"
    if facts.attached:
        return f"Attached: {what}, one row for each record, as CSV in UTF-8."
    return (
        f"Not attached: {what} is larger than the {size(facts.attach_up_to)} that go by mail. It "
        f"lies on the collecting machine at {shown(archive.path, _PATH_LIMIT)}; ask whoever runs "
        "it for a copy."
    )
