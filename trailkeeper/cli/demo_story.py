"""What happens in the demo's month at Litware: somebody takes over a mailbox, in one night.

The records have the shapes of the unified audit log, the addresses are of networks kept for
documentation, and the same month gives the same records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

TENANT = "litware"
_AT = timedelta(days=10, hours=2, minutes=12)
"""after the month's first midnight where the tenant lives"""
_THIEF = "198.51.100.23"
_DEVICE_CODE_APP = "29d9ed98-a469-4536-ade2-f981bc1d605e"
_DOWNLOADS = 143
_GUESSES = 24
_OTHERS = (
    "jana",
    "tomas",
    "ines",
    "pavel",
    "ruth",
    "olaf",
    "greta",
    "nils",
    "vera",
    "emil",
    "kaja",
)


def lines(begin: datetime, tenant_id: str, domain: str) -> list[str]:
    """One record a line; `begin`: the month's first instant."""
    who = f"mira.holm@{domain}"
    common = {"OrganizationId": tenant_id, "UserType": 0, "Version": 1, "ClientIP": _THIEF}
    made = []
    for number, (after, fields) in enumerate(_night(who, domain)):
        at = (begin + _AT + timedelta(seconds=after)).astimezone(UTC)
        record = {
            "Id": str(uuid5(NAMESPACE_DNS, f"{domain}/{at:%Y-%m}/{number}")),
            "CreationTime": f"{at:%Y-%m-%dT%H:%M:%S}",
            **common,
            "UserId": who,
            "UserKey": who,
            **fields,
        }
        made.append(json.dumps(record))
    return made


def _night(who: str, domain: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Seconds after the beginning, and what each record says: guesses, a way in, and its use."""
    for number, name in enumerate(_OTHERS):
        other = f"{name}.lindt@{domain}"
        yield number * 7, _sign_in(False) | {"UserId": other, "UserKey": other}
    for number in range(_GUESSES):
        yield 300 + number * 40, _sign_in(False)
    yield 2_400, _sign_in(True)
    yield 2_780, _forwarding()
    yield 3_190, _consent()
    for number in range(_DOWNLOADS):
        yield 3_600 + number * 11, _download(number, who)


def _sign_in(succeeded: bool) -> dict[str, Any]:
    request = "Cmsi:Cmsi" if succeeded else "OAuth2:Token"
    return {
        "Operation": "UserLoggedIn" if succeeded else "UserLoginFailed",
        "RecordType": 15,
        "Workload": "AzureActiveDirectory",
        "ResultStatus": "Success",
        "ApplicationId": _DEVICE_CODE_APP,
        "ErrorNumber": "0" if succeeded else "50126",
        "ExtendedProperties": [
            {"Name": "UserAgent", "Value": "python-requests/2.31"},
            {"Name": "RequestType", "Value": request},
        ],
    } | ({} if succeeded else {"LogonError": "InvalidUserNameOrPassword"})


def _forwarding() -> dict[str, Any]:
    parameters = {
        "Name": ".",
        "ForwardTo": "accounts@litware-billing.example",
        "SubjectOrBodyContainsWords": "invoice;payment",
        "DeleteMessage": "True",
    }
    return {
        "Operation": "New-InboxRule",
        "RecordType": 1,
        "Workload": "Exchange",
        "ResultStatus": "True",
        "Parameters": [{"Name": name, "Value": value} for name, value in parameters.items()],
    }


def _consent() -> dict[str, Any]:
    changed = {
        "ConsentContext.IsAdminConsent": "False",
        "ConsentAction.Permissions": "Scope: Mail.ReadWrite offline_access",
        "ServicePrincipal.DisplayName": "Mail Backup Pro",
    }
    return {
        "Operation": "Consent to application.",
        "RecordType": 8,
        "Workload": "AzureActiveDirectory",
        "ResultStatus": "Success",
        "ObjectId": "Mail Backup Pro",
        "ModifiedProperties": [
            {"Name": name, "OldValue": "", "NewValue": value} for name, value in changed.items()
        ],
    }


def _download(number: int, who: str) -> dict[str, Any]:
    folder = who.translate(str.maketrans("@.", "__"))
    path = f"Documents/Contracts/Contract {number + 1:03d}.docx"
    return {
        "Operation": "FileDownloaded",
        "RecordType": 6,
        "Workload": "OneDrive",
        "ItemType": "File",
        "SourceRelativeUrl": path,
        "ObjectId": f"https://litware-my.sharepoint.example/personal/{folder}/{path}",
    }
