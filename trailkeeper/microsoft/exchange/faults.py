"""Exchange's refusals and what to do with each: reference A, sections 2.2, 3.3, 3.4 and 4.4."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from trailkeeper.errors import Lost, TrailkeeperError
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_table import Kind, Row, by_status, fault
from trailkeeper.microsoft.http.fault_text import (
    json_object,
    member,
    plain_text,
    sentence,
    text_member,
)
from trailkeeper.microsoft.http.gateway import gateway_row, is_page, page_says

TRANSIENT_TYPES = frozenset(
    {
        "DCOverloadedException",
        "SuitabilityDirectoryException",
        "ServerInMMException",
        "ADServerSettingsChangedException",
        "StorageTransientException",
        "CmdletProxyNotAvailableFailure",
        "ServerBusyException",
        "TransientException",
        "BackendCommunicationException",
    }
)
"""Seen on a 400, though the same call succeeds later."""

APP_ROLE_REMEDY = (
    "Grant the application permission Exchange.ManageAsApp (Office 365 Exchange Online) with admin "
    "consent, then run `trailkeeper tenants check`."
)
_ROLE = (
    "Assign the app a directory role that may search the audit log (Compliance Administrator or "
    "Exchange Administrator), then run `trailkeeper tenants check`."
)
_PLACE = (
    "Check tenant_id in the tenant's file, `exchange` of its cloud and any proxy on the way; it is "
    "tried again by itself."
)
_OURS = frozenset(
    {
        "AmbiguousParameterSetException",
        "CommandNotFoundException",
        "MissingMandatoryParameterException",
        "ParameterArgumentTransformationException",
        "ParameterBindingException",
        "ParameterBindingValidationException",
    }
)
"""PowerShell's words for a call that is put together wrongly"""
_EXPIRED_PAGE = Row(Kind.RETRY, "The window is asked again from its beginning.")
_BUSY = Row(Kind.THROTTLED)

# Sentences that say more than the status; matched in lower case, first hit wins.
_BY_TEXT: tuple[tuple[str, Row], ...] = (
    ("maximum number of concurrent requests", _BUSY),
    ("expired or invalid pagination request", _EXPIRED_PAGE),
    ("isn't supported in this scenario", Row(Kind.PERSON, _ROLE)),
    ("is later than enddate", Row(Kind.BUG)),
)
_BY_STATUS = {
    401: Row(Kind.PERSON, APP_ROLE_REMEDY),
    403: Row(Kind.PERSON, _ROLE),
    404: Row(Kind.PERSON, _PLACE),
    405: Row(Kind.PERSON, _PLACE),
    429: _BUSY,
}
_TOO_OLD = re.compile(r"startdate should be after\s+(.{8,40}?)\s*(?:utc)?\.?$", re.IGNORECASE)
_TYPE = re.compile(r"^(?:Ex\w+)?\|?([A-Za-z_][\w.+`]{3,200})\|")


def exchange_error(answer: Answer) -> TrailkeeperError:
    """Our error for an answer of InvokeCommand that is not a success, or not JSON."""
    fields = json_object(answer.body)
    kind = _exception_type(fields, answer)
    text = plain_text(answer.body)
    page = not fields and is_page(text)
    said = page_says(text) if page else sentence(_best_message(fields) or text)
    identity = answer.request_id or sentence(text_member(fields, "error", "request-id"), 60)
    code = kind or f"HTTP {answer.status}"
    what = "sent a page instead of an answer, HTTP" if page else "answered HTTP"
    summary = f"Exchange {what} {answer.status}" + (f": {said}" if said else "")
    if (horizon := _horizon(said)) is not None:
        remedy = "The tenant's audit retention has passed; the time is recorded as lost."
        return Lost(summary, remedy, code, identity, horizon)
    row = _of_page(answer.status) if page else _row(answer.status, kind, said)
    wait = answer.retry_after
    if wait is None and row.kind is Kind.THROTTLED:
        wait = _seconds_in(said)
    return fault(row, summary, code, identity, wait)


def _row(status: int, kind: str, said: str) -> Row:
    lowered = said.lower()
    for phrase, row in _BY_TEXT:
        if phrase in lowered:
            return row
    if kind in TRANSIENT_TYPES or kind.endswith("TransientException"):
        return Row(Kind.RETRY)
    if kind in _OURS:
        return Row(Kind.BUG)
    if status == 400 and not kind:  # untyped ones come from gateways
        return Row(Kind.RETRY)
    if 200 <= status < 300:  # a success whose body could not be read
        return Row(Kind.RETRY)
    return _BY_STATUS.get(status) or by_status(status)


def _of_page(status: int) -> Row:
    """A gateway's, or that of the web server before Exchange."""
    known = _BY_STATUS.get(status)
    return gateway_row(status, known.remedy if known else "")


def _best_message(fields: object) -> str:
    """The most telling sentence, in the order of reference A, section 3.4."""
    inner = text_member(fields, "error", "innererror", "internalexception", "message")
    if inner:
        return inner
    for text in _details(fields):
        nested = json_object(text) if text.lstrip().startswith("{") else {}
        last = text_member(dict(nested), "Message") or text.rpartition("|")[2].strip()
        if last:
            return last
    return text_member(fields, "error", "message")


def _details(fields: object) -> list[str]:
    details = member(fields, "error", "details")
    if not isinstance(details, list):
        return []
    return [text for item in details[:20] if (text := text_member(item, "message"))]


def _exception_type(fields: object, answer: Answer) -> str:
    """The .NET exception's last name; the outermost is always ODataServiceException, so last."""
    candidates = [
        text_member(fields, "error", "innererror", "internalexception", "type"),
        *(_type_in(text) for text in _details(fields)),
        answer.headers.get("X-ExceptionType", ""),
    ]
    for name in candidates:
        last = sentence(re.split(r"[.+|]", name.strip())[-1], 80)
        if last and last != "ODataServiceException":
            return last
    return ""


def _type_in(text: str) -> str:
    if text.lstrip().startswith("{"):
        return text_member(dict(json_object(text)), "TypeName")
    match = _TYPE.match(text)
    return match[1] if match else ""


def _horizon(said: str) -> str | None:
    """The oldest instant Exchange answers for, ISO 8601; empty when it cannot be read."""
    match = _TOO_OLD.search(said)
    if not match:
        return None
    for form in ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        try:
            moment = datetime.strptime(match[1].strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return moment.isoformat().replace("+00:00", "Z")
    return _iso(match[1].strip())


def _iso(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _seconds_in(said: str) -> float | None:
    """The second-to-last word, where Exchange's throttling message carries its seconds."""
    words = said.split()
    number = words[-2] if len(words) >= 2 else ""
    return min(float(number), 86400.0) if number.isascii() and number.isdigit() else None
