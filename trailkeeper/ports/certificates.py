"""When the certificates of a tenant end."""

from __future__ import annotations

from typing import Protocol

from trailkeeper.model.expiry import CertificateNote


class CertificateDates(Protocol):
    """When the certificates of a tenant end."""

    def of(self, tenant: str) -> list[CertificateNote]:
        """Every configured one, the present one first; never raises for one of no use."""
        ...
