"""The Activity feed's codes (AF…) and what to do with each: reference B, section 1.7."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_table import UNKNOWN, Kind, Row, by_status, fault
from trailkeeper.microsoft.http.fault_text import json_object, plain_text, sentence, text_member
from trailkeeper.microsoft.http.gateway import gateway_row, is_page, page_says

ALREADY_ENABLED = "AF20024"
"""Starting a subscription that runs: the normal steady state, a success for the caller to catch."""
NO_SUBSCRIPTION = "AF20022"
"""The caller starts one, then asks again."""

_CONSENT = (
    "Grant the application permission ActivityFeed.Read (Office 365 Management APIs) with admin "
    "consent, then run `trailkeeper tenants check`."
)
_AUDITING = (
    "Switch auditing on in the tenant (Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled "
    "$true); it takes up to an hour to reach the feed."
)
_TENANT = "Check tenant_id in the tenant's file, or take the tenant out if it no longer exists."
_GONE = "The feed keeps content for days only; the time is recorded as lost."
_SERVICE = "Enable the service principal of the Office 365 Management APIs in the tenant."

ACTIVITY: Mapping[str, Row] = {
    "AF10001": Row(Kind.PERSON, _CONSENT),
    "AF20001": Row(Kind.BUG),
    "AF20002": Row(Kind.BUG),
    "AF20003": Row(Kind.BUG),
    "AF20010": Row(Kind.PERSON, _TENANT),
    "AF20011": Row(Kind.PERSON, _TENANT),
    "AF20012": Row(Kind.PERSON, _AUDITING),
    "AF20013": Row(Kind.BUG),
    "AF20020": Row(Kind.BUG),
    "AF20021": Row(Kind.BUG),
    NO_SUBSCRIPTION: Row(Kind.RETRY, "The subscription is started, then asked again."),
    "AF20023": Row(Kind.PERSON, "Let the tenant's administrator enable the subscription again."),
    ALREADY_ENABLED: Row(Kind.BUG),
    "AF20030": Row(Kind.BUG, "Check this machine's clock; if it is right, report this."),
    "AF20031": Row(Kind.RETRY, "The listing is asked again from its beginning."),
    "AF20050": Row(Kind.LOST, _GONE),
    "AF20051": Row(Kind.LOST, _GONE),
    "AF20052": Row(Kind.BUG),
    "AF20053": Row(Kind.BUG),
    "AF20054": Row(Kind.BUG),
    "AF20055": Row(Kind.BUG, "Check this machine's clock; if it is right, report this."),
    "AF429": Row(Kind.THROTTLED),
    "AF50000": Row(Kind.RETRY),
    "AF50005": Row(Kind.RETRY),
    "AF50006": Row(Kind.RETRY),
}

# Failures that put a sentence where the code belongs.
_BY_TEXT: tuple[tuple[str, Row], ...] = (
    ("service principal for resource", Row(Kind.PERSON, _SERVICE)),
    ("dataserviceexception", Row(Kind.PERSON, _AUDITING)),
    ("does not exist", Row(Kind.PERSON, _AUDITING)),
)
_BY_STATUS = {
    401: Row(Kind.PERSON, _CONSENT),
    403: Row(Kind.PERSON, _CONSENT),
    404: Row(Kind.RETRY),
}
_CODE = re.compile(r"\bAF\d{3,6}\b")


def activity_error(answer: Answer) -> TrailkeeperError:
    """Our error for an answer of the feed that is not a success. `code` holds the AF code."""
    fields = json_object(answer.body)
    text = plain_text(answer.body)
    code = _code(fields, text)
    page = not code and is_page(text)
    said = page_says(text) if page else sentence(_message(fields) or text)
    what = "sent a page instead of an answer, HTTP" if page else "answered HTTP"
    summary = f"The activity feed {what} {answer.status}" + (f": {said}" if said else "")
    row = ACTIVITY.get(code) or _unlisted(answer.status, code, text)
    if page and row.kind is not Kind.LOST:
        row = gateway_row(answer.status, row.remedy if row.kind is Kind.PERSON else "")
    name = code or f"HTTP {answer.status}"
    return fault(row, summary, name, answer.request_id, answer.retry_after)


def _message(fields: object) -> str:
    return text_member(fields, "error", "message") or text_member(fields, "Message")


def _code(fields: object, text: str) -> str:
    """The code from its place, else from anywhere: some bodies have single quotes (no JSON)."""
    match = _CODE.fullmatch(text_member(fields, "error", "code")) or _CODE.search(text[:4000])
    return match[0] if match else ""


def _unlisted(status: int, code: str, text: str) -> Row:
    if code.startswith("AF5") or 200 <= status < 300:
        return Row(Kind.RETRY)
    if code.startswith("AF429"):
        return Row(Kind.THROTTLED)
    if code.startswith("AF1"):  # of the token's permissions
        return Row(Kind.PERSON, f"{_CONSENT} {UNKNOWN}")
    if status in (400, 401, 403):
        lowered = text[:4000].lower()
        for phrase, row in _BY_TEXT:
            if phrase in lowered:
                return row
    if code and 400 <= status < 500 and status != 429:  # the feed's own word, and not its status
        return Row(Kind.PERSON, UNKNOWN)
    return _BY_STATUS.get(status) or by_status(status)
