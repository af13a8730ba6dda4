"""Faults that any HTTP call can meet: throttling, 5xx, resets, redirects, mislabelled bodies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sandbox.faults import Plan

TOO_MANY = ("You have reached the maximum number of concurrent requests per tenant. "
            "Please wait and try again")
_HTML = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body/></html>"


async def instead(request: web.Request, plan: Plan, elsewhere: str) -> web.StreamResponse | None:
    """The answer that a due fault gives in the place of the real one; None to go on."""
    if (slow := plan.get("slow")) is not None:
        await asyncio.sleep(float(slow.get("seconds", 2)))
    if (params := plan.get("throttled")) is not None:
        return throttled(params)
    if (params := plan.get("server_error")) is not None:
        return _server_error(params)
    if (params := plan.get("gzip_mislabelled")) is not None:
        return _mislabelled(params)
    if (params := plan.get("not_json")) is not None:
        status = int(params.get("status", 200))
        return web.Response(status=status, body=_HTML, content_type="text/html")
    if (params := plan.get("redirect")) is not None:
        location = str(params.get("location", elsewhere)) + request.path_qs
        return web.Response(status=int(params.get("status", 302)), headers={"Location": location})
    return None


def throttled(params: Mapping[str, Any]) -> web.Response:
    """429 in its forms: Retry-After; seconds as the message's second-to-last word; plain text."""
    seconds, status = params.get("seconds", 5), int(params.get("status", 429))
    form = params.get("form", "retry_after")
    if form == "text":
        return web.Response(status=status, text=TOO_MANY)
    if form == "message":
        text = f"Too many requests were sent. Please wait for {seconds} seconds"
        return web.json_response({"error": {"code": "TooManyRequests", "message": text}},
                                 status=status)
    headers = {"Retry-After": str(seconds)} if form == "retry_after" else {}
    return web.json_response({"error": {"code": "TooManyRequests", "message": "Throttled."}},
                             status=status, headers=headers)


def _server_error(params: Mapping[str, Any]) -> web.Response:
    headers = {"Retry-After": str(params["retry_after"])} if "retry_after" in params else {}
    status = int(params.get("status", 503))
    error = {"error": {"code": "ServiceUnavailable", "message": "The service is unavailable."}}
    return web.json_response(error, status=status, headers=headers)


def _mislabelled(params: Mapping[str, Any]) -> web.Response:
    """Plain bytes under `Content-Encoding: gzip` (reference 3.5)."""
    text = {"error": {"code": "InternalServerError",
                      "message": str(params.get("text", "Error executing cmdlet"))}}
    return web.Response(status=int(params.get("status", 500)), body=json.dumps(text).encode(),
                        content_type="application/json", headers={"Content-Encoding": "gzip"})


def loses_answer(plan: Plan) -> bool:
    """Will `deliver` fail to bring the whole body? Then its rows were not served."""
    return any(plan.get(name) is not None for name in ("reset", "reset_mid_body", "cut_body"))


async def deliver(
    request: web.Request, plan: Plan, body: bytes, headers: Mapping[str, str], status: int = 200
) -> web.StreamResponse:
    """Send the real answer, or part of it where a fault cuts the connection."""
    for name in ("reset", "reset_mid_body", "cut_body"):
        params = plan.get(name)
        if params is not None:
            share = 0.0 if name == "reset" else float(params.get("share", 0.5))
            return await _cut(request, body[: int(len(body) * share)], len(body), headers, name)
    return web.Response(status=status, body=body, headers=headers)


async def _cut(
    request: web.Request, part: bytes, promised: int, headers: Mapping[str, str], name: str
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**headers, "Content-Length": str(promised)})
    if name != "reset":
        await response.prepare(request)
        await response.write(part)
        await asyncio.sleep(0.05)  # let the part reach the client before the cut
    if request.transport is not None:
        if name == "cut_body":
            request.transport.close()
        else:
            request.transport.abort()
    return response
