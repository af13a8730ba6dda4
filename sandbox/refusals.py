"""Exchange's refusals in the shapes of the reference (3.4)."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

PAGE_EXPIRED = "Expired or Invalid pagination request. Default Expiry time is 00:30:00"
SERVER_BUSY = "Microsoft.Exchange.Data.Storage.ServerBusyException"


class CmdletRefused(Exception):
    """A cmdlet call that the service turns down: .NET exception type and its sentence."""

    def __init__(self, exception: str, message: str, status: int = 400) -> None:
        super().__init__(exception, message, status)
        self.exception = exception
        self.message = message
        self.status = status


def refusal_body(refused: CmdletRefused) -> dict[str, Any]:
    """The nested error object: the sentence sits deep inside."""
    detail = f"Ex{uuid.uuid4().hex[:6].upper()}|{refused.exception}|{refused.message}"
    return {
        "error": {
            "code": "NotFound" if refused.status == 404 else "BadRequest",
            "message": "Error executing cmdlet",
            "details": [{"code": "Context", "target": "", "message": detail}],
            "innererror": {
                "message": "Error executing cmdlet",
                "type": "Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
                "stacktrace": "   at Sandbox.Invoke()",
                "internalexception": {
                    "message": refused.message,
                    "type": refused.exception,
                    "stacktrace": "   at Sandbox.Cmdlet()",
                },
            },
        }
    }


def refusal(refused: CmdletRefused) -> web.Response:
    headers = {"X-ExceptionType": refused.exception, "Request-Id": str(uuid.uuid4())}
    return web.json_response(refusal_body(refused), status=refused.status, headers=headers)


def page_expired() -> web.Response:
    """Too old, or routed to another server than the one that holds the rest."""
    error = {"error": {"code": "BadRequest", "message": PAGE_EXPIRED}}
    return web.json_response(error, status=400)


def nuls() -> web.Response:
    """What an unauthorised or unknown cmdlet gets: 4 KB of NULs that claim to be gzip."""
    return web.Response(
        status=403,
        body=bytes(4096),
        headers={"Content-Encoding": "gzip"},
        content_type="application/json",
    )


def unauthorized(text: str, form: str = "json") -> web.Response:
    headers = {
        "WWW-Authenticate": 'Bearer client_id="00000002-0000-0ff1-ce00-000000000000", '
        'error="invalid_token"'
    }
    if form == "empty":
        return web.Response(status=401, headers=headers)
    body = {"error": {"code": "Unauthorized", "message": f"UnAuthorized: {text}"}}
    return web.json_response(body, status=401, headers=headers)
