"""How soon a certificate ends, and when to say so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

WARN_DAYS = (60, 30, 14, 7, 1)
"""A warning is due once at each of these, days before the end."""


@dataclass(frozen=True, slots=True)
class CertificateNote:
    """What is known of one of a tenant's certificates, usable or not; nothing of it is secret."""

    tenant: str
    slot: str
    """`certificate` or `next_certificate`, as in the tenant's file"""
    thumbprint: str = ""
    """SHA-1 in upper-case hex; empty when the certificate cannot be used"""
    expires_at: datetime | None = None
    """None when the certificate cannot be used"""
    trouble: str = ""
    """why it cannot be used, with the remedy"""

    def warning_due(self, now: datetime) -> int | None:
        """As the function below; None also for one that cannot be used."""
        return warning_due(self.expires_at, now) if self.expires_at else None


def days_left(expires_at: datetime, now: datetime) -> int:
    """Whole days until then; negative once it has passed."""
    return (expires_at - now).days


def warning_due(expires_at: datetime, now: datetime) -> int | None:
    """The smallest of `WARN_DAYS` that is reached, None while the end is further off.

    The caller says it once per threshold: it remembers the last value it has said.
    """
    left = (expires_at - now).total_seconds() / 86400
    return min((days for days in WARN_DAYS if left <= days), default=None)
