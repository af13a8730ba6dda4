"""Who did it: people apart from machines.

Facts: audit-record-schema.md, section 2 for the numbers, section 1 for the names of Microsoft's
own services.
"""

from __future__ import annotations

import re
from enum import StrEnum

_SYSTEM_TYPES = frozenset({3, 4})
"""DCAdmin and System"""
_MACHINE_TYPES = _SYSTEM_TYPES | {5, 6, 7, 8}
"""with Application, ServicePrincipal and the two kinds of policy"""
_PARTNER, _GUEST = 9, 10
_SYSTEM_NAMES = re.compile(
    r"NT AUTHORITY\\|SHAREPOINT\\|S-1-5-|ServicePrincipal_|SecurityComplianceAlerts$|Certificate$"
    r"|app@sharepoint$|NOT-FOUND$|Not Available$|Unknown$|Application$|Service Account$",
    re.IGNORECASE,
)
_OF_ANOTHER_TENANT = "#ext#"


class Kind(StrEnum):
    MEMBER = "member"
    GUEST = "guest"
    PARTNER = "partner"
    """a technician of a partner"""
    MACHINE = "machine"

    @property
    def is_person(self) -> bool:
        return self is not Kind.MACHINE


def is_system(user_id: str, user_type: int | None) -> bool:
    """Whether one of Microsoft's own services did it, and no person."""
    return user_type in _SYSTEM_TYPES or bool(_SYSTEM_NAMES.match(user_id))


def kind_of(user_id: str, user_type: int | None) -> Kind:
    """What a record's UserId and UserType say of who did it."""
    if user_type in _MACHINE_TYPES or is_system(user_id, user_type):
        return Kind.MACHINE
    if user_type == _PARTNER:
        return Kind.PARTNER
    is_guest = user_type == _GUEST or _OF_ANOTHER_TENANT in user_id.lower()
    return Kind.GUEST if is_guest else Kind.MEMBER
