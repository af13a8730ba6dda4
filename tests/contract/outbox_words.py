"""A month and its rendered report, for whoever queues one."""

from __future__ import annotations

from trailkeeper.model.report import Attachment, Month, Rendered

OCTOBER = Month(2026, 10)
RENDERED = Rendered(
    folder="/data/reports/contoso/2026-10",
    subject="Audit report “October”",
    html="<p>ü</p>",
    text="ü",
    images=(Attachment("/data/reports/contoso/2026-10/days.png", "image/png"),),
    attachments=(Attachment("/data/reports/contoso/2026-10/records.zip", "application/zip"),),
)
