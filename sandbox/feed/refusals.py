"""The AF codes with their sentences and statuses (reference B 1.7)."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

_SENTENCES: dict[str, tuple[int, str]] = {
    "AF10001": (
        401,
        "The permission set ({granted}) sent in the request did not include the expected "
        "permission ActivityFeed.Read.",
    ),
    "AF20001": (400, "Missing parameter: {name}."),
    "AF20002": (400, "Invalid parameter type: {name}. Expected type: {expected}"),
    "AF20003": (400, "Expiration {value} provided is set to past date and time."),
    "AF20010": (
        400,
        "The tenant ID passed in the URL {url} does not match the tenant ID passed in the access "
        "token {token}.",
    ),
    "AF20011": (
        400,
        "Specified tenant ID {tenant} does not exist in the system or has been deleted.",
    ),
    "AF20012": (400, "Specified tenant ID {tenant} is incorrectly configured in the system."),
    "AF20013": (400, "The tenant ID passed in the URL {tenant} is not a valid GUID."),
    "AF20020": (400, "The specified content type is not valid."),
    "AF20021": (400, "The webhook endpoint {address} could not be validated. {reason}"),
    "AF20022": (400, "No subscription found for the specified content type."),
    "AF20023": (400, "The subscription was disabled by {who}."),
    "AF20024": (400, "The subscription is already enabled. No property change."),
    "AF20030": (
        400,
        "Start time and end time must both be specified (or both omitted) and must be less than or "
        "equal to 24 hours apart, with the start time no more than 7 days in the past.",
    ),
    "AF20031": (400, "Invalid nextPage Input: {value}."),
    "AF20050": (404, "The specified content ({id}) does not exist."),
    "AF20051": (
        400,
        "Content requested with the key {id} has already expired. Content older than 7 days cannot "
        "be retrieved.",
    ),
    "AF20052": (400, "Content ID {id} in the URL is invalid."),
    "AF20053": (400, "Only one language may be present in the Accept-Language header."),
    "AF20054": (400, "Invalid syntax in Accept-Language header."),
    "AF20055": (
        400,
        "Start time and end time must both be specified (or both omitted) and must be less than or "
        "equal to 24 hours apart, with the start time prior to end time and start time no more "
        "than 7 days in the past.",
    ),
    "AF429": (403, "Too many requests. Method={method}, PublisherId={publisher}"),
    "AF50000": (500, "An internal error occurred. Retry the request."),
    "AF50005": (500, "An internal error occurred. Retry the request."),
    "AF50006": (500, "An internal error occurred. Retry the request."),
}
FORMS = frozenset({"json", "single_quoted", "empty"})


class FeedRefused(Exception):
    """A call that the feed turns down; `status` and `message` override the usual ones."""

    def __init__(self, code: str, *, status: int = 0, message: str = "", **words: object) -> None:
        usual, sentence = _SENTENCES.get(code, (400, ""))
        super().__init__(code)
        self.code = code
        self.form = ""  # of this one body, where a fault dictates it
        self.status = status or usual
        self.message = message or sentence.format_map(_Words(words))


class _Words(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""


def tenant_missing(tenant: str, content_type: str, client: str, publisher: str) -> FeedRefused:
    """Auditing is off or the tenant was never provisioned: a sentence stands in `code`."""
    code = (
        f"StartSubscription [TenantId={tenant},ContentType={content_type},"
        f"ApplicationId={client},PublisherId={publisher}] failed. Exception"
    )
    message = (
        f"Microsoft.Office.Compliance.Audit.DataServiceException: Tenant {tenant} does not exist.\r"
        "\n   at Sandbox.StartSubscription()"
    )
    return FeedRefused(code, status=400, message=message)


def response(refused: FeedRefused, form: str = "json") -> web.Response:
    """As JSON, with single quotes (which is no JSON, but was seen), or without a body."""
    error: dict[str, Any] = {"error": {"code": refused.code, "message": refused.message}}
    if form == "empty":
        return web.Response(status=refused.status)
    if form == "single_quoted":
        text = f"{{'error':{{'code':'{refused.code}','message':'{refused.message}'}}}}"
        return web.Response(status=refused.status, text=text, content_type="application/json")
    return web.Response(
        status=refused.status, text=json.dumps(error), content_type="application/json"
    )


def unauthorized(form: str = "json") -> web.Response:
    """A bad token: 401 without an AF code."""
    headers = {"WWW-Authenticate": "Bearer"}
    if form == "empty":
        return web.Response(status=401, headers=headers)
    body = {"Message": "Authorization has been denied for this request."}
    return web.json_response(body, status=401, headers=headers)
