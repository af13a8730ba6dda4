"""The words of the review, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trailkeeper.mail.wording import clock, day
from trailkeeper.model.review.control import Control, State


@dataclass(frozen=True, slots=True)
class Words:
    title: str
    control: str
    outcome: str
    count: str
    before: str
    when: str
    what: str
    look_first: str
    chain: str
    """an account, when it began, and the controls"""
    more: str
    only_counted: str
    """of a control whose events find no room in the mail"""
    unknown_note: str
    states: Mapping[State, str]
    controls: Mapping[Control, str]
    german: bool = False

    def instant(self, local: datetime) -> str:
        """`14 Oct 2026 09:20 CEST`, `14.10.2026 09:20 CEST`."""
        date = f"{local:%d.%m.%Y}" if self.german else day(local)
        return f"{date} {clock(local)} {local.tzname()}"


_ENGLISH = Words(
    title="Reviewed for you",
    control="Control",
    outcome="Outcome",
    count="Found",
    before="Month before",
    when="When, and from where",
    what="Who did what",
    look_first="Look here first",
    chain="{} shows several of these within a day, from {}: {}.",
    more="and {} more; report.json, beside this report on the collecting machine, lists them.",
    only_counted="{control}: {}; report.json beside this report has them.",
    unknown_note=(
        "A question mark stands where nothing was found, and records may be missing: nobody can "
        "say that nothing happened."
    ),
    states={
        State.FOUND: "Please look",
        State.NOTHING: "Nothing, proven",
        State.UNKNOWN: "Not proven",
    },
    controls={
        Control.EMERGENCY_ACCOUNTS: "Use of emergency accounts",
        Control.ACCOUNTS: "Accounts and guests",
        Control.ROLES: "Administrator roles given",
        Control.SIGN_IN_SECURITY: "Second factor and security information",
        Control.MAIL_FORWARDING: "Mail that is forwarded or hidden",
        Control.MAILBOX_RIGHTS: "Rights to other mailboxes",
        Control.APPLICATIONS: "Applications and their permissions",
        Control.TENANT_DOORS: "Access policies, domains, sharing policies",
        Control.AUDIT_TAMPERING: "Audit log switched off or shortened",
        Control.SIGN_INS: "Suspicious sign-ins",
        Control.FILES: "Files shared, downloaded or deleted",
        Control.MICROSOFT_ALERTS: "Alerts that Microsoft raised",
        Control.PARTNER_ACCESS: "Work of partners' technicians",
    },
)
_GERMAN = Words(
    german=True,
    title="Für Sie geprüft",
    control="Prüfpunkt",
    outcome="Ergebnis",
    count="Anzahl",
    before="Vormonat",
    when="Wann und von wo",
    what="Wer hat was getan",
    look_first="Bitte zuerst ansehen",
    chain="{} zeigt mehreres davon innerhalb eines Tages, ab {}: {}.",
    more="und {} weitere; report.json neben diesem Bericht auf dem sammelnden Rechner nennt sie.",
    only_counted="{control}: {}; report.json neben diesem Bericht nennt sie.",
    unknown_note=(
        "Ein Fragezeichen steht, wo nichts gefunden wurde und Einträge fehlen können: Niemand kann "
        "sagen, dass nichts geschehen ist."
    ),
    states={
        State.FOUND: "Bitte ansehen",
        State.NOTHING: "Nichts, bewiesen",
        State.UNKNOWN: "Nicht bewiesen",
    },
    controls={
        Control.EMERGENCY_ACCOUNTS: "Nutzung von Notfallkonten",
        Control.ACCOUNTS: "Konten und Gäste",
        Control.ROLES: "Erteilte Administratorrollen",
        Control.SIGN_IN_SECURITY: "Zweiter Faktor und Sicherheitsangaben",
        Control.MAIL_FORWARDING: "Weitergeleitete oder versteckte Mails",
        Control.MAILBOX_RIGHTS: "Rechte an anderen Postfächern",
        Control.APPLICATIONS: "Anwendungen und ihre Berechtigungen",
        Control.TENANT_DOORS: "Zugriffsrichtlinien, Domänen, Freigaberegeln",
        Control.AUDIT_TAMPERING: "Überwachungsprotokoll abgeschaltet oder gekürzt",
        Control.SIGN_INS: "Auffällige Anmeldungen",
        Control.FILES: "Dateien geteilt, heruntergeladen oder gelöscht",
        Control.MICROSOFT_ALERTS: "Warnungen von Microsoft",
        Control.PARTNER_ACCESS: "Arbeiten von Technikern des Partners",
    },
)


def words_in(language: str) -> Words:
    return _GERMAN if language == "de" else _ENGLISH
