"""The Exchange admin REST site: InvokeCommand with the two audit cmdlets (reference 3)."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox import disruptions, lies, pages
from sandbox.answers import Answer
from sandbox.box import Box, box_of
from sandbox.faults import Plan
from sandbox.parameters import understand
from sandbox.refusals import (
    SERVER_BUSY,
    CmdletRefused,
    nuls,
    page_expired,
    refusal,
    unauthorized,
)
from sandbox.tenants import AUDIT_ROLES, Tenant
from sandbox.tokens import TokenRefused

_READERS = AUDIT_ROLES | {
    "5d6b6bb7-de71-4623-b4af-96380a352509",
    "194ae4cb-b126-40b2-bd5b-6091b380977d",
}
_JSON = (
    "application/json;odata.metadata=minimal;odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
)
_SEARCH, _CONFIG = "search-unifiedauditlog", "get-adminauditlogconfig"


@dataclass
class Call:
    """One accepted InvokeCommand call on its way through."""

    request: web.Request
    box: Box
    tenant: Tenant
    parameters: dict[str, Any]
    plan: Plan
    cookie: str  # the affinity cookie, as sent or about to be set


def routes(app: web.Application) -> None:
    app.router.add_post("/{api:(?i:adminapi)}/beta/{tenant}/InvokeCommand", invoke)
    app.router.add_get("/{api:(?i:adminapi)}/{version}/{tenant}/EXOModuleFile", module_file)
    app.router.add_route("*", "/{api:(?i:adminapi)}/v1.0/{tenant}/InvokeCommand", wrong_version)


async def wrong_version(request: web.Request) -> web.Response:
    """Only `beta` takes cmdlets; v1.0 answers 405."""
    box_of(request).counters.count("wrong_version", "")
    error = {
        "error": {
            "code": "",
            "message": f"The requested resource does not support http method '{request.method}'.",
        }
    }
    return web.json_response(error, status=405, headers={"Allow": "GET"})


async def invoke(request: web.Request) -> web.StreamResponse:
    """One cmdlet call, from the token to the last byte."""
    box = box_of(request)
    tenant = box.directory.find(request.match_info["tenant"])
    name, parameters = await _cmdlet(request)
    kind = _kind(request, name)
    box.counters.count(kind, tenant.name if tenant else "")
    try:
        wids = _authorised(request, box, tenant)
    except TokenRefused as refused:
        return unauthorized(str(refused))
    if tenant is None:
        return unauthorized("unknown tenant")
    if not wids & (_READERS if name == _CONFIG else AUDIT_ROLES) or name not in _CMDLETS:
        return nuls()
    if not isinstance(parameters, dict):
        return refusal(
            CmdletRefused("Microsoft.OData.ODataException", "Parameters must be an object.")
        )
    limit = tenant.switches.concurrency_limit
    if limit and tenant.running >= limit:
        box.counters.count("throttled_by_concurrency", tenant.name)
        return disruptions.throttled({"form": "text", "status": tenant.switches.concurrency_status})
    return await _counted(request, box, tenant, name, kind, parameters)


async def _counted(
    request: web.Request,
    box: Box,
    tenant: Tenant,
    name: str,
    kind: str,
    parameters: dict[str, Any],
) -> web.StreamResponse:
    tenant.running += 1
    tenant.busiest = max(tenant.busiest, tenant.running)
    try:
        plan = box.book.draw(kind, tenant.name, _span(parameters))
        box.counters.faults.update(plan.names())
        if played := await _instead(request, box, plan):
            return played
        cookie = request.cookies.get(pages.COOKIE) or uuid.uuid4().hex
        call = Call(request, box, tenant, parameters, plan, cookie)
        return await (_continue(call) if kind == "next_page" else _CMDLETS[name](call))
    except CmdletRefused as refused:
        return refusal(refused)
    finally:
        tenant.running -= 1


def _span(parameters: dict[str, Any]) -> float:
    """The asked window in seconds, for faults that want long ones; 0 when unreadable."""
    try:
        query = understand(parameters, 0, 0)
    except CmdletRefused:
        return 0
    return (query.end - query.start) / 1_000_000


async def _cmdlet(request: web.Request) -> tuple[str, Any]:
    try:
        command = json.loads(await request.read())["CmdletInput"]
        return str(command["CmdletName"]).lower(), command.get("Parameters")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", None


def _kind(request: web.Request, name: str) -> str:
    if "$skiptoken" in request.query:
        return "next_page"
    return {_SEARCH: "search", _CONFIG: "config"}.get(name, "cmdlet")


def _authorised(request: web.Request, box: Box, tenant: Tenant | None) -> set[str]:
    """The token's directory roles; TokenRefused (401) without the app role."""
    audiences = box.resources.by_site["exchange"].audiences
    claims = box.issuer.verify(request.headers.get("Authorization", ""), audiences)
    if tenant is None or claims.get("tid") != tenant.tenant_id:
        raise TokenRefused("the token is for another tenant")
    if "Exchange.ManageAsApp" not in claims.get("roles", []):
        raise TokenRefused("the token has no Exchange.ManageAsApp role")
    return set(claims.get("wids", []))


async def _instead(request: web.Request, box: Box, plan: Plan) -> web.StreamResponse | None:
    if (params := plan.get("unauthorized")) is not None:
        return unauthorized("token rejected", str(params.get("form", "json")))
    if plan.get("nul_403") is not None:
        return nuls()
    if plan.get("expired_skip_token") is not None:
        return page_expired()
    if (params := plan.get("transient_400")) is not None:
        raise CmdletRefused(str(params.get("type", SERVER_BUSY)), "The server is too busy.")
    return await disruptions.instead(request, plan, box.urls["elsewhere"])


async def _config(call: Call) -> web.StreamResponse:
    """Only Exchange tells the truth about ingestion (reference 3.6)."""
    on = call.tenant.switches.ingestion and call.plan.get("ingestion_off") is None
    row = {
        "UnifiedAuditLogIngestionEnabled@data.type": "System.Boolean",
        "UnifiedAuditLogIngestionEnabled": on,
        "AdminAuditLogEnabled": True,
        "AdminAuditLogAgeLimit": "90.00:00:00",
        "LogLevel": "None",
        "Name": "Admin Audit Log Settings",
        "Identity": "Admin Audit Log Settings",
        "IsValid": True,
        "ObjectState": "Unchanged",
    }
    await asyncio.sleep(call.tenant.switches.seconds_per_call)
    return await _send(call, [json.dumps(row).encode()], [], [], "")


async def _search(call: Call) -> web.StreamResponse:
    box, tenant, now = call.box, call.tenant, call.box.clock.now()
    tenant.occur(now)
    query = understand(call.parameters, now, tenant.switches.retention_days)
    answer, session = box.engine.search(tenant, query)
    asked = session.query if session else query
    lies.mislead(answer, call.plan, tenant, asked, now)
    rows = pages.rendered(answer, tenant, query)
    if "$select" in call.request.query:
        rows = pages.selected(rows, call.request.query["$select"].split(","))
    return await _first_part(call, rows, answer)


async def _first_part(call: Call, rows: list[bytes], answer: Answer) -> web.StreamResponse:
    """The whole answer or, where the tenant splits, what fits before the first nextLink."""
    size = _split_size(call.request, call.tenant) or max(1, len(rows))
    await _take_time(call.tenant, len(rows))
    link = _put_by(call, rows[size:], answer.ids[size:], size)
    return await _serve(call, rows[:size], answer.ids[:size], answer, link)


def _put_by(call: Call, rows: list[bytes], ids: list[int], size: int) -> str:
    if not rows:
        return ""
    rest = pages.PutBy(
        call.tenant.tenant_id,
        call.request.headers.get("X-AnchorMailbox", ""),
        call.cookie,
        time.monotonic() + call.tenant.switches.skip_token_seconds,
        rows,
        ids,
        size,
    )
    segment = call.request.match_info["tenant"]
    return call.box.skip_tokens.put_by(call.box.urls["exchange"], segment, rest)


async def _take_time(tenant: Tenant, count: int) -> None:
    switches = tenant.switches
    seconds = switches.seconds_per_call + switches.seconds_per_row * count
    if seconds:
        await asyncio.sleep(seconds)


async def _serve(
    call: Call, rows: list[bytes], ids: list[int], said: Answer | None, link: str
) -> web.StreamResponse:
    """Send rows and count them as served, unless a fault or the client itself cut the answer."""
    counts = 0 if disruptions.loses_answer(call.plan) else 1
    _count_rows(call, ids, counts)
    try:
        return await _send(
            call, rows, said.warnings if said else [], said.errors if said else [], link
        )
    except ConnectionError:
        _count_rows(call, ids, -counts)
        call.box.counters.count("client_gone", call.tenant.name)
        return web.Response(status=499)


def _count_rows(call: Call, ids: list[int], by: int) -> None:
    if by:
        call.tenant.store.count_served(ids, by)
        call.box.counters.rows[call.tenant.name] += by * len(ids)


def _split_size(request: web.Request, tenant: Tenant) -> int:
    if not tenant.switches.odata_split:
        return 0
    for part in request.headers.get("Prefer", "").split(","):
        key, _, value = part.strip().partition("=")
        if key == "odata.maxpagesize" and value.isdigit():
            return int(value)
    return 1000


async def _continue(call: Call) -> web.StreamResponse:
    """@odata.nextLink: the token works with the same tenant, anchor and cookie, for 30 minutes."""
    rest = call.box.skip_tokens.take_up(call.request, call.tenant)
    if rest is None:
        return page_expired()
    await _take_time(call.tenant, len(rest.rows[: rest.size]))
    link = _put_by(call, rest.rows[rest.size :], rest.ids[rest.size :], rest.size)
    return await _serve(call, rest.rows[: rest.size], rest.ids[: rest.size], None, link)


async def _send(
    call: Call, rows: list[bytes], warnings: list[str], errors: list[str], next_link: str
) -> web.StreamResponse:
    body = pages.envelope(call.box.urls["exchange"], call.tenant, rows, warnings, errors, next_link)
    headers = _headers(call, warnings)
    accepted = call.request.headers.get("Accept-Encoding", "")
    if call.tenant.switches.compressed and "gzip" in accepted:
        body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
    response = web.Response(body=body, headers=headers)
    return await disruptions.deliver(call.request, call.plan, response)


def _headers(call: Call, warnings: list[str]) -> dict[str, str]:
    headers = {"Content-Type": _JSON, "Request-Id": str(uuid.uuid4()), "OData-Version": "4.0"}
    if warnings:
        headers["X-Warnings"] = json.dumps(warnings)
    if "odata.maxpagesize" in call.request.headers.get("Prefer", ""):
        headers["Preference-Applied"] = call.request.headers["Prefer"]
    if call.tenant.switches.rate_headers:
        reset = datetime.now(UTC) + timedelta(minutes=5)
        headers |= {
            "Rate-Limit-Limit": "30000",
            "Rate-Limit-Remaining": "29990",
            "Rate-Limit-Reset": reset.isoformat(),
            "X-Concurrencycount": str(call.tenant.running),
        }
    if pages.COOKIE not in call.request.cookies:
        headers["Set-Cookie"] = f"{pages.COOKIE}={call.cookie}; path=/; secure; HttpOnly"
    return headers


async def module_file(request: web.Request) -> web.Response:
    """The module's connect-time call: which cmdlets the role may run (a permission probe)."""
    box = box_of(request)
    tenant = box.directory.find(request.match_info["tenant"])
    try:
        wids = _authorised(request, box, tenant)
    except TokenRefused as refused:
        return unauthorized(str(refused))
    names = ["Search-UnifiedAuditLog"] if wids & AUDIT_ROLES else []
    names += ["Get-AdminAuditLogConfig"] if wids & _READERS else []
    return web.json_response({"value": [{"exportedCmdlets": ",".join(names)}]})


_CMDLETS: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
    _SEARCH: _search,
    _CONFIG: _config,
}
