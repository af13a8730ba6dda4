"""Entra's error codes (AADSTS…) and what to do with each: reference A, section 1.3.

Branch on the code, never on prose: the vendor reserves the right to change the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.http.fault_table import UNKNOWN, Kind, Row, by_status, fault
from trailkeeper.microsoft.http.fault_text import json_object, plain_text, sentence, text_member
from trailkeeper.microsoft.http.gateway import gateway_row, is_page, page_says

RELOAD_CERTIFICATE = frozenset({700027, 700024, 7000214, 1000502, 7000274, 7000277})
"""After these the certificate is read from its source once more, then a person is needed: the list
of Microsoft.Identity.Web, by its tests."""

_CONSENT = (
    "Let an administrator of the tenant consent to the app, then run `trailkeeper tenants check`."
)
_UPLOAD = (
    "Upload the public part (.cer) of this certificate to the app registration, or configure the "
    "one that is registered; a fresh upload takes a few minutes to work."
)
_ROTATE = (
    "Make a new certificate with `trailkeeper certificate create`, upload its .cer to the app "
    "registration and configure it."
)
_CLOCK = "Check this machine's clock: the login is refused when it is minutes off."
_CLOUD = "The tenant lives in another national cloud: set `cloud` in its file."
_LICENCE = "Check that the tenant has an Exchange Online licence and the service is enabled."
_NOT_SNI = "Upload the certificate itself to the app registration, not only its issuer and subject."
_PUBLIC_CLIENT = "In the app registration set 'Allow public client flows' to No."
_TENANT = "Correct tenant_id in the tenant's file."
_APP = "Correct client_id in the tenant's file: it has to be the app that has this certificate."
_AUDIENCE = "Correct exchange_audience or management_audience under the tenant's [clouds.NAME]."
_DISABLED = "Enable the service's entry in the tenant's Enterprise applications."
_ACCESS = "Exclude the app from the Conditional Access policy for workloads."
_NOT_OURS = (
    "Look at what stands between this machine and Entra: no login of ours can be refused like that."
)

AADSTS: Mapping[int, Row] = {
    700016: Row(Kind.PERSON, _CONSENT),
    90002: Row(Kind.PERSON, _TENANT),
    900023: Row(Kind.PERSON, _TENANT),
    700027: Row(Kind.PERSON, _UPLOAD),
    700024: Row(Kind.PERSON, _CLOCK),
    1000502: Row(Kind.PERSON, _ROTATE),
    7000214: Row(Kind.PERSON, _ROTATE),
    7000277: Row(Kind.PERSON, _ROTATE),
    7000274: Row(Kind.PERSON, _UPLOAD),
    50027: Row(Kind.PERSON, _ROTATE),
    50012: Row(Kind.PERSON, _NOT_SNI),
    700030: Row(Kind.PERSON, _NOT_SNI),
    7000215: Row(Kind.PERSON, _NOT_OURS),
    7000222: Row(Kind.PERSON, _NOT_OURS),
    7000218: Row(Kind.PERSON, _NOT_OURS),
    700025: Row(Kind.PERSON, _PUBLIC_CLIENT),
    7000112: Row(Kind.PERSON, "Enable the app again in the tenant's Enterprise applications."),
    7000229: Row(Kind.PERSON, _CONSENT),
    70011: Row(Kind.PERSON, _AUDIENCE),
    500011: Row(Kind.PERSON, _LICENCE),
    650051: Row(Kind.PERSON, _LICENCE),
    650052: Row(Kind.PERSON, _LICENCE),
    650056: Row(Kind.PERSON, _CONSENT),
    53003: Row(Kind.PERSON, _ACCESS),
    90038: Row(Kind.PERSON, _CLOUD),
    900382: Row(Kind.PERSON, _CLOUD),
    900432: Row(Kind.PERSON, _CLOUD),
    90099: Row(Kind.PERSON, _CONSENT),
    5000224: Row(Kind.PERSON, "The tenant is gone: take it out with `trailkeeper tenants remove`."),
    90033: Row(Kind.RETRY),
    90006: Row(Kind.RETRY),
    90024: Row(Kind.RETRY),
    90090: Row(Kind.RETRY),
    90055: Row(Kind.THROTTLED, wait=300.0),
    50196: Row(Kind.THROTTLED, wait=300.0),  # the same login too often in a short time
    500014: Row(Kind.PERSON, _DISABLED),
    50059: Row(Kind.PERSON, _TENANT),
    700021: Row(Kind.PERSON, _APP),
    700022: Row(Kind.PERSON, _AUDIENCE),
    700023: Row(Kind.PERSON, "Correct `login` under the tenant's [clouds.NAME]."),
    # Delegated and device flows only.
    65001: Row(Kind.PERSON, _CONSENT),
    50034: Row(Kind.PERSON, _NOT_OURS),
    70016: Row(Kind.PERSON, _NOT_OURS),
    70018: Row(Kind.PERSON, _NOT_OURS),
    70019: Row(Kind.PERSON, _NOT_OURS),
}

_FAMILIES: tuple[tuple[str, str], ...] = (
    ("53", _ACCESS),
    ("65", _CONSENT),
    ("70002", _UPLOAD),
    ("10005", _ROTATE),
    ("9004", _CLOUD),
)
"""beginnings of numbers: what those that the table does not name are about (Microsoft's list of
login errors is sorted so), and the remedy that is right for most"""

_CODE = re.compile(r"AADSTS(\d{4,9})")
_TRAILER = re.compile(r"\s*(?:Trace ID|Correlation ID|Timestamp):", re.IGNORECASE)
_WELL_KNOWN = re.compile(r"^AADSTS\d+:\s*")


def token_error(
    body: Mapping[str, object] | bytes | str, status: int, retry_after: float | None = None
) -> TrailkeeperError:
    """Our error for a refused token request: `body` as received or already parsed.

    `request_id` keeps Entra's trace id, correlation id and timestamp: support asks for all three.
    Never a `Bug`: a code that is not in the table parks with Entra's own sentence.
    """
    fields = body if isinstance(body, Mapping) else json_object(body)
    text = text_member(dict(fields), "error_description") or _as_text(body)
    number, trace = _number(fields, text), _trace(fields)
    row = AADSTS.get(number) or _unlisted(fields, status, number, trace)
    said = _said(fields, text)
    code = f"AADSTS{number}" if number else f"HTTP {status}"
    summary = f"Entra refused the login: {said}" if said else f"Entra answered with HTTP {status}"
    return fault(row, summary, code, trace, retry_after)


def _said(fields: Mapping[str, object], text: str) -> str:
    if is_page(text):
        return f"a page of a gateway or proxy on the way: {page_says(text)}"
    said = sentence(_WELL_KNOWN.sub("", _TRAILER.split(text, maxsplit=1)[0]))
    return said or sentence(fields.get("error"), 80)


def code_number(error: TrailkeeperError) -> int:
    """700027 for an error with the code AADSTS700027; 0 for one without such a code."""
    match = _CODE.fullmatch(error.code)
    return int(match[1]) if match else 0


def _as_text(body: Mapping[str, object] | bytes | str) -> str:
    return "" if isinstance(body, Mapping) else plain_text(body)


def _number(fields: Mapping[str, object], text: str) -> int:
    codes = fields.get("error_codes")
    if isinstance(codes, list) and codes and type(codes[0]) is int and 0 < codes[0] < 10**9:
        return int(codes[0])
    match = _CODE.search(text[:2000])
    return int(match[1]) if match else 0


def _unlisted(fields: Mapping[str, object], status: int, number: int, trace: str) -> Row:
    if not fields and not number:  # Entra answers in JSON: this is somebody else
        return gateway_row(status)
    if fields.get("error") in ("temporarily_unavailable", "server_error", "slow_down"):
        return Row(Kind.RETRY)
    row = by_status(status)
    if row.kind is not Kind.PERSON:
        return row
    text = str(number)
    remedy = next((remedy for begins, remedy in _FAMILIES if text.startswith(begins)), UNKNOWN)
    return Row(Kind.PERSON, f"{remedy} Microsoft's support asks for {trace}." if trace else remedy)


def _trace(fields: Mapping[str, object]) -> str:
    names = (("trace", "trace_id"), ("correlation", "correlation_id"), ("at", "timestamp"))
    found = ((short, sentence(fields.get(name), 60)) for short, name in names)
    return " ".join(f"{short}={value}" for short, value in found if value)
