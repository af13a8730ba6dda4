"""Faults that any HTTP call can meet: throttling, 5xx, resets, redirects, mislabelled bodies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sandbox.faults import Plan

TOO_MANY = (
    "You have reached the maximum number of concurrent requests per tenant. "
    "Please wait and try again"
)
_HTML = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body/></html>"


async def instead(
    request: web.Request, plan: Plan, elsewhere: str, at_login: bool = False
) -> web.StreamResponse | None:
    """The answer that a due fault gives in the place of the real one; None to go on.

    `at_login` gives errors the flat OAuth form, where `error` is a word and not an object.
    """
    if (slow := plan.get("slow")) is not None:
        await asyncio.sleep(float(slow.get("seconds", 2)))
    if (params := plan.get("throttled")) is not None:
        return throttled(params, at_login)
    if (params := plan.get("server_error")) is not None:
        return _server_error(params, at_login)
    if (params := plan.get("gzip_mislabelled")) is not None:
        return _mislabelled(params)
    if (params := plan.get("not_json")) is not None:
        status = int(params.get("status", 200))
        return web.Response(status=status, body=_HTML, content_type="text/html")
    if (params := plan.get("redirect")) is not None:
        location = str(params.get("location", elsewhere)) + request.path_qs
        return web.Response(status=int(params.get("status", 302)), headers={"Location": location})
    return None


def _error(code: str, message: str, at_login: bool) -> dict[str, Any]:
    if at_login:
        return {"error": "temporarily_unavailable", "error_description": message}
    return {"error": {"code": code, "message": message}}


def throttled(params: Mapping[str, Any], at_login: bool = False) -> web.Response:
    """429 in its forms: Retry-After; seconds as the message's second-to-last word; plain text."""
    seconds, status = params.get("seconds", 5), int(params.get("status", 429))
    form = params.get("form", "retry_after")
    if form == "text":
        return web.Response(status=status, text=TOO_MANY)
    if form == "message":
        text = f"Too many requests were sent. Please wait for {seconds} seconds"
        return web.json_response(_error("TooManyRequests", text, at_login), status=status)
    headers = {"Retry-After": str(seconds)} if form == "retry_after" else {}
    error = _error("TooManyRequests", "Throttled.", at_login)
    return web.json_response(error, status=status, headers=headers)


def _server_error(params: Mapping[str, Any], at_login: bool) -> web.Response:
    headers = {"Retry-After": str(params["retry_after"])} if "retry_after" in params else {}
    status = int(params.get("status", 503))
    error = _error("ServiceUnavailable", "The service is unavailable.", at_login)
    return web.json_response(error, status=status, headers=headers)


def _mislabelled(params: Mapping[str, Any]) -> web.Response:
    """Plain bytes under `Content-Encoding: gzip` (reference 3.5)."""
    text = {
        "error": {
            "code": "InternalServerError",
            "message": str(params.get("text", "Error executing cmdlet")),
        }
    }
    return web.Response(
        status=int(params.get("status", 500)),
        body=json.dumps(text).encode(),
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )


_SLICE = 256 * 1024
_CUTS = ("reset", "reset_mid_body", "cut_body")


def loses_answer(plan: Plan) -> bool:
    """Will `deliver` fail to bring the whole body? Then its rows were not served."""
    return any(plan.get(name) is not None for name in _CUTS)


async def deliver(request: web.Request, plan: Plan, response: web.Response) -> web.StreamResponse:
    """Send the real answer, or part of it where a fault cuts the connection."""
    for name in _CUTS:
        params = plan.get(name)
        if params is not None and isinstance(response.body, bytes):
            share = 0.0 if name == "reset" else float(params.get("share", 0.5))
            await _cut(request, response, response.body, share, name)
            return response
    if isinstance(response.body, bytes) and len(response.body) > _SLICE:
        return await _sliced(request, response, response.body)
    return response


async def _sliced(request: web.Request, response: web.Response, body: bytes) -> web.StreamResponse:
    """Large bodies in slices: asyncio's TLS copies what is left of a buffer at every record."""
    headers = {**response.headers, "Content-Length": str(len(body))}
    sent = web.StreamResponse(status=response.status, headers=headers)
    await sent.prepare(request)
    view = memoryview(body)
    for start in range(0, len(body), _SLICE):
        await asyncio.sleep(0)  # lets the loop notice that the client has gone
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        await sent.write(view[start : start + _SLICE])
    with contextlib.suppress(ConnectionError):  # it may leave once it has everything
        await sent.write_eof()
    return sent


async def _cut(
    request: web.Request, response: web.Response, body: bytes, share: float, name: str
) -> None:
    if share:
        headers = {**response.headers, "Content-Length": str(len(body))}
        partial = web.StreamResponse(status=response.status, headers=headers)
        await partial.prepare(request)
        await partial.write(body[: int(len(body) * share)])
        await asyncio.sleep(0.05)  # let the part reach the client before the cut
    transport = request.transport
    if transport is not None:
        transport.close() if name == "cut_body" else transport.abort()
    await asyncio.sleep(0.05)  # and let the cut happen before aiohttp writes anything more
