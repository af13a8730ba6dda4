"""The five content types, and which of them a record belongs to (reference B 1.2)."""

from __future__ import annotations

CONTENT_TYPES = (
    "Audit.AzureActiveDirectory",
    "Audit.Exchange",
    "Audit.SharePoint",
    "Audit.General",
    "DLP.All",
)
GENERAL, DLP = 3, 4
NOWHERE = 255  # a text that is no JSON object cannot stand in a blob
_BY_WORKLOAD = {"azureactivedirectory": 0, "exchange": 1, "sharepoint": 2, "onedrive": 2}
# ComplianceDLPSharePoint, ComplianceDLPExchange, the classification records, DLPEndpoint.
_DLP_TYPES = frozenset({11, 13, 33, 63})


def content_type_of(workload: object, record_type: object) -> int:
    """The place in CONTENT_TYPES; a workload that nobody lists is General."""
    if record_type in _DLP_TYPES:
        return DLP
    return _BY_WORKLOAD.get(str(workload).lower(), GENERAL)


def number_of(name: str) -> int | None:
    """By name in any case; None for one that does not exist."""
    wanted = name.lower()
    return next((n for n, each in enumerate(CONTENT_TYPES) if each.lower() == wanted), None)
