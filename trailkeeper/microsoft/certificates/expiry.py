"""How soon the certificates in use end: `trailkeeper.model.expiry` over what is configured."""

from __future__ import annotations

from datetime import datetime

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.certificates.certificate import Certificate
from trailkeeper.microsoft.certificates.loading import Certificates, Slot
from trailkeeper.model import expiry
from trailkeeper.model.expiry import CertificateNote
from trailkeeper.settings import Settings, TenantSettings


def days_left(certificate: Certificate, now: datetime) -> int:
    """Whole days until `not_after`; negative once it has passed."""
    return expiry.days_left(certificate.not_after, now)


def warning_due(certificate: Certificate, now: datetime) -> int | None:
    """The smallest of `WARN_DAYS` that is reached, None while the end is further off."""
    return expiry.warning_due(certificate.not_after, now)


class ConfiguredCertificates:
    """Implements `ports.CertificateDates` over the certificates that this process holds."""

    def __init__(self, settings: Settings, certificates: Certificates) -> None:
        self._settings = settings
        self._certificates = certificates

    def of(self, tenant: str) -> list[CertificateNote]:
        """Reads files, and asks vaults; one that cannot be used is noted with its reason."""
        settings = self._settings.tenant(tenant)
        return [self._note(settings, slot) for slot in self._certificates.slots(settings)]

    def _note(self, tenant: TenantSettings, slot: Slot) -> CertificateNote:
        try:
            found = self._certificates.current(tenant, slot)
        except TrailkeeperError as error:
            return CertificateNote(tenant.name, slot.value, trouble=str(error))
        return CertificateNote(tenant.name, slot.value, found.thumbprint_sha1, found.not_after)
