"""The controls that a provider reviews for its customer every month, in the report's order.

Source of the list: CIS Microsoft 365 Foundations (items that ask for review of activity), CISA
SCuBA 5.1 and 5.2, and what responders to compromised mailboxes look for
(report-and-detections.md, section 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

EXCHANGE, ENTRA, SHAREPOINT, ONEDRIVE, TEAMS, SECURITY = (
    "Exchange",
    "AzureActiveDirectory",
    "SharePoint",
    "OneDrive",
    "MicrosoftTeams",
    "SecurityComplianceCenter",
)


class Control(StrEnum):
    """The value is the name that report.json and rule files carry."""

    EMERGENCY_ACCOUNTS = "emergency-accounts"
    ACCOUNTS = "accounts"
    ROLES = "roles"
    SIGN_IN_SECURITY = "sign-in-security"
    MAIL_FORWARDING = "mail-forwarding"
    MAILBOX_RIGHTS = "mailbox-rights"
    APPLICATIONS = "applications"
    TENANT_DOORS = "tenant-doors"
    AUDIT_TAMPERING = "audit-tampering"
    SIGN_INS = "sign-ins"
    FILES = "files"
    MICROSOFT_ALERTS = "microsoft-alerts"
    PARTNER_ACCESS = "partner-access"

    @property
    def workloads(self) -> frozenset[str]:
        """The workloads whose records decide this control; empty: all of them."""
        return _WORKLOADS[self]


_DIRECTORY = frozenset({ENTRA})
_MAIL = frozenset({EXCHANGE})
_WORKLOADS: dict[Control, frozenset[str]] = {
    Control.EMERGENCY_ACCOUNTS: frozenset(),
    Control.ACCOUNTS: _DIRECTORY | {TEAMS},
    Control.ROLES: _DIRECTORY | _MAIL | {SECURITY, SHAREPOINT},
    Control.SIGN_IN_SECURITY: _DIRECTORY,
    Control.MAIL_FORWARDING: _MAIL,
    Control.MAILBOX_RIGHTS: _MAIL,
    Control.APPLICATIONS: _DIRECTORY,
    Control.TENANT_DOORS: _DIRECTORY | _MAIL | {SHAREPOINT, TEAMS},
    Control.AUDIT_TAMPERING: _MAIL | {SECURITY},
    Control.SIGN_INS: _DIRECTORY,
    Control.FILES: frozenset({SHAREPOINT, ONEDRIVE}),
    Control.MICROSOFT_ALERTS: frozenset({SECURITY}),
    Control.PARTNER_ACCESS: frozenset(),
}


class State(StrEnum):
    """What the report may say of a control."""

    FOUND = "found"
    NOTHING = "nothing"
    """nothing was found, and the month is proven complete for the control's workloads"""
    UNKNOWN = "unknown"
    """nothing was found, and records may be missing"""


@dataclass(frozen=True, slots=True)
class Notable:
    """One event, or one group of like events, that a reviewer should see.

    All texts come from records: whoever shows them makes them harmless first.
    """

    id: str
    """the record's Id; of a group, that of its first record"""
    at: int
    """microseconds since 1970-01-01 UTC"""
    operation: str
    actor: str
    target: str
    detail: str
    client_ip: str
    rule: str = ""
    """id of the rule that found it"""
    records: int = 1
    """how many records the group holds"""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What came of one control over a month."""

    control: Control
    state: State
    count: int
    """notable events; of an aggregating rule, its groups"""
    previous: int
    """the count of the month before, by the same rules"""
    previous_state: State
    notable: tuple[Notable, ...] = ()
    """oldest first; at most `MOST_NOTABLE`"""


MOST_NOTABLE = 1_000


@dataclass(slots=True)
class Found:
    """What one rule found in a window."""

    count: int = 0
    notable: list[Notable] = field(default_factory=list)
    """oldest first, of groups the largest first; at most `MOST_NOTABLE`"""


@dataclass(frozen=True, slots=True)
class About:
    """What rules may know of the tenant whose records they read. All texts in lower case."""

    client_ids: frozenset[str] = frozenset()
    """of the applications with which the log is read: what they do is ours"""
    emergency_accounts: frozenset[str] = frozenset()
