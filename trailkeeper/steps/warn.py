"""Say in time that a certificate ends: once per threshold, however many workers look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog

from trailkeeper.model.expiry import CertificateNote, days_left
from trailkeeper.ports import CertificateDates, Clock, Notebook
from trailkeeper.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WarnStep:
    """Looks at every configured certificate and keeps what it saw in the ledger."""

    settings: Settings
    notebook: Notebook
    certificates: CertificateDates
    clock: Clock

    def __call__(self) -> int:
        """How many warnings were logged. Running it again logs nothing more."""
        now = self.clock.now()
        return sum(self._look(seen, now) for seen in self._all())

    def _all(self) -> Iterator[CertificateNote]:
        for tenant in self.settings.tenants:
            yield from self.certificates.of(tenant)

    def _look(self, seen: CertificateNote, now: datetime) -> bool:
        due = seen.warning_due(now)
        key, text = note_key(seen.tenant, seen.slot), _text(seen, due)
        before = self.notebook.noted(key)
        if before is not None and before[0] == text:
            return False
        self.notebook.note(key, text, now)
        return _say(seen, due, now)


def _say(seen: CertificateNote, due: int | None, now: datetime) -> bool:
    if seen.expires_at is None:
        log.error("certificate_refused", tenant=seen.tenant, slot=seen.slot, reason=seen.trouble)
        return True
    if due is None:
        return False
    log.warning(
        "certificate_expiry_reached",
        tenant=seen.tenant,
        slot=seen.slot,
        thumbprint=seen.thumbprint,
        expires_at=seen.expires_at.isoformat(),
        days_left=days_left(seen.expires_at, now),
    )
    return True


def note_key(tenant: str, slot: str) -> str:
    """Where the ledger keeps what was seen of a certificate last."""
    return f"certificate/{tenant}/{slot}"


def noted_certificate(notebook: Notebook, tenant: str, slot: str) -> CertificateNote | None:
    """What was seen last, by any worker; None before the first look."""
    noted = notebook.noted(note_key(tenant, slot))
    if noted is None:
        return None
    found = json.loads(noted[0])
    ends = datetime.fromisoformat(found["expires_at"]) if found["expires_at"] else None
    return CertificateNote(tenant, slot, found["thumbprint"], ends, found["trouble"])


def _text(seen: CertificateNote, due: int | None) -> str:
    """What makes two looks differ: another certificate, another threshold, another trouble."""
    return json.dumps(
        {
            "thumbprint": seen.thumbprint,
            "expires_at": seen.expires_at.isoformat() if seen.expires_at else "",
            "trouble": seen.trouble,
            "warned_days": due,
        }
    )
