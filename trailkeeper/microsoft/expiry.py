"""How soon a certificate ends, and when to say so."""

from __future__ import annotations

from datetime import datetime

from trailkeeper.microsoft.certificate import Certificate

WARN_DAYS = (60, 30, 14, 7, 1)
"""A warning is due once at each of these, days before the end."""


def days_left(certificate: Certificate, now: datetime) -> int:
    """Whole days until `not_after`; negative once it has passed."""
    return (certificate.not_after - now).days


def warning_due(certificate: Certificate, now: datetime) -> int | None:
    """The smallest of `WARN_DAYS` that is reached, None while the end is further off.

    The caller says it once per threshold: it remembers the last value it has said.
    """
    left = (certificate.not_after - now).total_seconds() / 86400
    return min((days for days in WARN_DAYS if left <= days), default=None)
