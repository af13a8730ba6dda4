"""What a report says of the certificates that open its tenant: nothing until they are about to end.

Whoever reads the report may own the app registration, and does not read the service's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from trailkeeper.mail.wording import counted, instant, shown
from trailkeeper.model.expiry import CertificateNote, days_left
from trailkeeper.model.report import MonthReport
from trailkeeper.model.window import iso


def expiry_sentences(report: MonthReport) -> list[str]:
    """One for each certificate whose warning is due; safe to show, not escaped."""
    return list(_sentences(report))


def _sentences(report: MonthReport) -> Iterator[str]:
    zone, now = ZoneInfo(report.timezone), report.rendered_at
    for note in report.certificates:
        if note.expires_at is None:
            yield (
                f"{_name(note)} could not be used when this report was made. Whoever runs the "
                f"collection sees why with the command trailkeeper certificate list."
            )
        elif note.warning_due(now) is not None:
            left = days_left(note.expires_at, now)
            when = f"in {counted(left, 'day')}" if left > 0 else "within a day"
            yield (
                f"{_name(note)} ends {when}, on {instant(note.expires_at, zone)}. Without a "
                f"successor, uploaded to the app registration before that, collecting stops."
            )


def _name(note: CertificateNote) -> str:
    thumbprint = f" {shown(note.thumbprint)}" if note.thumbprint else ""
    if note.slot == "next_certificate":
        return f"The certificate{thumbprint} that is to be the next one for this tenant"
    return f"The certificate{thumbprint} with which this tenant's audit log is read"


def expiry_json(report: MonthReport) -> list[dict[str, Any]]:
    """All of them, due or not, as report.json has them."""
    return [
        {
            "slot": note.slot,
            "thumbprint_sha1": note.thumbprint or None,
            "not_after": iso(note.expires_at) if note.expires_at else None,
            "warning_days": note.warning_due(report.rendered_at),
        }
        for note in report.certificates
    ]
