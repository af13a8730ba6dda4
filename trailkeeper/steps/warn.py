"""Say in time that a certificate ends: once per threshold, however many workers look."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

import structlog

from trailkeeper.model.expiry import CertificateNote, days_left
from trailkeeper.ports.certificates import CertificateDates
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.notes import Notebook, Notes
from trailkeeper.settings import Settings

log = structlog.get_logger()

_PREFIX = "certificate/"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST = 20
"""tenants that are looked at however small the share: a small fleet is looked at as a whole"""


@dataclass(frozen=True, slots=True)
class WarnStep:
    """Looks at every configured certificate and keeps what it saw in the ledger."""

    settings: Settings
    notebook: Notebook
    certificates: CertificateDates
    clock: Clock

    def __call__(self, share: float = 1.0) -> int:
        """How many warnings were logged. Running it again logs nothing more.

        `share` of the tenants is looked at, those whose last look is oldest: opening a certificate
        takes tens of milliseconds, and nobody shall wait for a thousand of them.
        """
        now = self.clock.now()
        return sum(
            self._look(seen, now)
            for tenant in self._oldest(share)
            for seen in self.certificates.of(tenant)
        )

    def _oldest(self, share: float) -> list[str]:
        noted = self.notebook.all_noted(_PREFIX)
        seen_at = {key.split("/")[1]: noted_at for key, (_, noted_at) in noted.items()}
        tenants = sorted(self.settings.tenants, key=lambda name: seen_at.get(name, _NEVER))
        return tenants[: max(_LEAST, ceil(share * len(tenants)))]

    def _look(self, seen: CertificateNote, now: datetime) -> bool:
        due = seen.warning_due(now)
        key, text = note_key(seen.tenant, seen.slot), _text(seen, due)
        before = self.notebook.noted(key)
        self.notebook.note(key, text, now)  # also when nothing changed: it was looked at
        if before is not None and before[0] == text:
            return False
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
    return f"{_PREFIX}{tenant}/{slot}"


def noted_certificates(notebook: Notes) -> dict[tuple[str, str], CertificateNote]:
    """What was seen last, by any worker, by tenant and slot."""
    return {
        (tenant, slot): _read(tenant, slot, text)
        for key, (text, _) in notebook.all_noted(_PREFIX).items()
        for tenant, slot in [key.removeprefix(_PREFIX).split("/")]
    }


def _read(tenant: str, slot: str, text: str) -> CertificateNote:
    found = json.loads(text)
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
