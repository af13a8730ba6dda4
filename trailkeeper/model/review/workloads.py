"""Which content types of the Activity feed hold the records that decide a control.

Facts: management-api-and-graph.md, section 2: General holds what no other type does.
"""

from __future__ import annotations

from trailkeeper.model.review.control import (
    ENTRA,
    EXCHANGE,
    ONEDRIVE,
    SHAREPOINT,
    Control,
)

_HOLDS = {
    "Audit.Exchange": frozenset({EXCHANGE}),
    "Audit.AzureActiveDirectory": frozenset({ENTRA}),
    "Audit.SharePoint": frozenset({SHAREPOINT, ONEDRIVE}),
}
_APART = "DLP.All"
"""records of its own kind, which decide no control"""


def concerns(content_type: str, control: Control) -> bool:
    """Whether a stream's records may decide the control; one without content types holds all."""
    if not content_type or not control.workloads:
        return content_type != _APART
    if content_type == _APART:
        return False
    others = frozenset(control.workloads).difference(*_HOLDS.values())
    return bool(_HOLDS.get(content_type, others) & control.workloads)
