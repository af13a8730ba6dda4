"""Every AADSTS refusal of the reference (1.3), with its exact JSON shape."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Code:
    """HTTP status, `error` word and text. Where the reference has "4xx", 400 stands."""

    status: int
    error: str
    text: str


CODES: dict[int, Code] = {
    700016: Code(
        400,
        "unauthorized_client",
        "Application with identifier '{client}' was not found in the directory '{tenant}'. "
        "This can happen if the application has not been installed by the administrator of "
        "the tenant or consented to by any user in the tenant.",
    ),
    90002: Code(
        400,
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and "
        "are signing into the correct cloud.",
    ),
    900023: Code(
        400,
        "invalid_request",
        "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid "
        "external domain.",
    ),
    50059: Code(
        400,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any "
        "provided credentials.",
    ),
    700021: Code(
        401,
        "invalid_client",
        "Client assertion application identifier doesn't match 'client_id' parameter.",
    ),
    700023: Code(
        401,
        "invalid_client",
        "Client assertion audience claim does not match Realm issuer.",
    ),
    700027: Code(
        401,
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered "
        "on application. [Reason - {reason}]",
    ),
    700024: Code(401, "invalid_client", "Client assertion is not within its valid time range."),
    1000502: Code(
        401,
        "invalid_client",
        "The provided certificate is not within its specified validity period.",
    ),
    7000214: Code(401, "invalid_client", "Certificate has been revoked."),
    7000277: Code(
        401,
        "invalid_client",
        "The certificate chain of the client assertion was revoked.",
    ),
    7000274: Code(
        401,
        "invalid_client",
        "The client assertion contains an invalid signature. [Reason - {reason}]",
    ),
    50027: Code(400, "invalid_request", "JWT token is invalid or malformed."),
    50012: Code(401, "invalid_client", "Authentication failed: subject name is not authorized."),
    700030: Code(
        401,
        "invalid_client",
        "Invalid certificate - subject name in certificate is not authorized.",
    ),
    7000215: Code(401, "invalid_client", "Invalid client secret provided."),
    7000222: Code(
        401,
        "invalid_client",
        "The provided client secret keys for app '{client}' are expired.",
    ),
    7000218: Code(
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or "
        "'client_secret'.",
    ),
    700025: Code(
        401,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    7000112: Code(400, "unauthorized_client", "Application '{client}' is disabled."),
    7000229: Code(
        400,
        "unauthorized_client",
        "The client application '{client}' is missing service principal in the tenant {tenant}.",
    ),
    70011: Code(
        400,
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for "
        "the input parameter 'scope' is not valid.",
    ),
    700022: Code(
        400,
        "invalid_request",
        "The provided value for the input parameter scope is not valid because it contains "
        "more than one resource.",
    ),
    500011: Code(
        400,
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}.",
    ),
    650051: Code(
        400,
        "invalid_resource",
        "Using application is not supported for your organization: a service principal name "
        "is already present.",
    ),
    650052: Code(
        400,
        "invalid_client",
        "The app is trying to access a service that your organization lacks a service "
        "principal for.",
    ),
    650056: Code(
        400,
        "invalid_client",
        "Misconfigured application. The client has not listed any permissions for the resource.",
    ),
    53003: Code(
        400,
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not "
        "allow token issuance.",
    ),
    90038: Code(
        400,
        "invalid_request",
        "Confidential client is not supported in cross cloud request: the tenant lives in "
        "another national cloud.",
    ),
    900382: Code(
        400,
        "invalid_request",
        "Confidential Client is not supported in Cross Cloud request.",
    ),
    900432: Code(
        400,
        "invalid_request",
        "Confidential Client is not supported in Cross Cloud request.",
    ),
    90099: Code(
        400,
        "invalid_request",
        "The application '{client}' has not been authorized in the tenant '{tenant}'. "
        "Applications must be authorized to access the customer tenant before partner "
        "delegated administrators can use them.",
    ),
    5000224: Code(
        400,
        "invalid_request",
        "This resource is not available: the tenant no longer exists.",
    ),
    90033: Code(
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    90006: Code(503, "server_error", "The service is temporarily unavailable. Please retry later."),
    90024: Code(
        503,
        "temporarily_unavailable",
        "Request budget exceeded: a transient error has occurred. Please try again.",
    ),
    90090: Code(503, "server_error", "Graph returned an unexpected result. Please retry."),
    90055: Code(
        429,
        "temporarily_unavailable",
        "The server has terminated the request because it exceeded its limit: tenant throttled.",
    ),
    65001: Code(
        400,
        "invalid_grant",
        "The user or administrator has not consented to use the application.",
    ),
    50034: Code(400, "invalid_grant", "The user account does not exist in the directory."),
    70016: Code(400, "authorization_pending", "Pending end-user authorization."),
    70018: Code(400, "bad_verification_code", "Invalid verification code."),
    70019: Code(400, "expired_token", "Verification code expired."),
    70003: Code(400, "unsupported_grant_type", "The app requested an unsupported grant type."),
    900144: Code(
        400,
        "invalid_request",
        "The request body must contain the following parameter: '{parameter}'.",
    ),
}
KEY_NOT_FOUND = "The key was not found., Thumbprint of key used by client: '{thumbprint}'"
BAD_SIGNATURE = (
    "The signature value did not match., Thumbprint of key used by client: '{thumbprint}'"
)
KEY_EXPIRED = "The key used is expired., Thumbprint of key used by client: '{thumbprint}'"


class LoginRefused(Exception):
    """A login that Entra turns down, by AADSTS number; `words` fill the text."""

    def __init__(self, code: int, *, error: str = "", **words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.error = error
        self.words = words


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def refusal_body(refused: LoginRefused, login_url: str) -> dict[str, Any]:
    """The error object: description with trace, correlation and timestamp joined by CRLF."""
    known = CODES.get(refused.code, Code(400, "invalid_request", "Refused."))
    text = known.text.format_map(_Words(refused.words))
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"
    return {
        "error": refused.error or known.error,
        "error_description": f"AADSTS{refused.code}: {text}\r\nTrace ID: {trace}\r\n"
        f"Correlation ID: {correlation}\r\nTimestamp: {stamp}",
        "error_codes": [refused.code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"{login_url}/error?code={refused.code}",
    }


def refusal(refused: LoginRefused, login_url: str, status: int = 0) -> web.Response:
    """The HTTP answer for a refused login."""
    known = CODES.get(refused.code, Code(400, "invalid_request", ""))
    body = refusal_body(refused, login_url)
    return web.json_response(body, status=status or known.status, headers=NO_STORE)


NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
