"""The control site: how a test or a demo steers the sandbox and asks what happened."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import islice
from typing import Any

from aiohttp import web

from sandbox import additions, registrations
from sandbox.box import Box, box_of
from sandbox.clock import MICROSECOND, instant, parse_instant
from sandbox.faults import KINDS, FaultRefused
from sandbox.feed import steering
from sandbox.feed.quota import Quotas
from sandbox.keys import KeyCredential, read_certificate
from sandbox.mailbox import Mailbox
from sandbox.report import closing_report
from sandbox.tenants import SettingRefused, Tenant
from sandbox.vault_objects import PKCS12

KEY = web.AppKey("key", str)
MAILBOX = web.AppKey("mailbox", Mailbox)
Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guarded(request: web.Request, handler: Step) -> web.StreamResponse:
    """Only who read sandbox.json may steer; a wrong wish is a 400 with its reason.

    (aiohttp passes the next step under this very name.)
    """
    expected = f"Bearer {request.app[KEY]}".encode()
    if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected):
        return web.json_response({"error": "the control key of sandbox.json is needed"}, status=401)
    try:
        return await handler(request)
    except KeyError as error:
        return web.json_response({"error": f"missing or unknown: {error}"}, status=400)
    except (SettingRefused, FaultRefused, ValueError, TypeError) as error:
        return web.json_response({"error": str(error)}, status=400)


def routes(app: web.Application) -> None:
    router = app.router
    router.add_get("/tenants", list_tenants)
    router.add_post("/tenants", create_tenant)
    router.add_patch("/tenants/{name}", alter_tenant)
    router.add_delete("/tenants/{name}", remove_tenant)
    router.add_post("/tenants/{name}/certificates", register_certificate)
    router.add_delete("/tenants/{name}/certificates/{thumbprint}", remove_certificate)
    router.add_post("/tenants/{name}/records", add_records)
    router.add_get("/tenants/{name}/records", show_records)
    router.add_put("/vault", set_vault)
    router.add_post("/vault/{object}", put_in_vault)
    router.add_patch("/vault/{object}", alter_in_vault)
    router.add_get("/faults", list_faults)
    router.add_post("/faults", set_fault)
    router.add_delete("/faults", remove_faults)
    router.add_delete("/faults/{number}", remove_faults)
    router.add_get("/fault-names", fault_names)
    router.add_get("/counters", counters)
    router.add_delete("/counters", clear_counters)
    router.add_get("/report", report)
    router.add_put("/clock", set_clock)
    router.add_get("/clock", show_clock)
    router.add_get("/elsewhere", elsewhere)
    router.add_get("/mail", mail)
    steering.routes(app)


def _tenant(request: web.Request) -> Tenant:
    """The tenant of the path, with everything that happened live up to now."""
    box, name = box_of(request), request.match_info["name"]
    if name not in box.directory.tenants:
        raise ValueError(f"no tenant {name!r}")
    found = box.directory.tenants[name]
    found.occur(box.clock.now())
    return found


async def list_tenants(request: web.Request) -> web.Response:
    directory = box_of(request).directory
    return web.json_response([directory.description(t) for t in directory.tenants.values()])


async def create_tenant(request: web.Request) -> web.Response:
    """{name, tenant_id?, domain?, vanity_domain?, client_id?, switches?}"""
    box, wish = box_of(request), await request.json()
    switches = wish.pop("switches", {})
    tenant = box.directory.create(**wish)
    tenant.alter(switches, 0)
    tenant.settle(float("inf"))
    tenant.occur(box.clock.now())
    return web.json_response(box.directory.description(tenant), status=201)


async def alter_tenant(request: web.Request) -> web.Response:
    """Any switches of `tenants.Switches`."""
    box, tenant = box_of(request), _tenant(request)
    if tenant.subscriptions.by_kind:  # a feed in use was packed under the old switches so far
        tenant.advance(box.clock.now())
    tenant.alter(await request.json(), box.clock.identity_now())
    tenant.occur(box.clock.now())
    return web.json_response(box.directory.description(tenant))


async def remove_tenant(request: web.Request) -> web.Response:
    """Its directory is gone: logins say 90002 from now on."""
    box_of(request).directory.remove(_tenant(request))
    return web.json_response({})


async def register_certificate(request: web.Request) -> web.Response:
    """{pem} or {der: base64}, start?, end? (the keyCredential's own dates): the app's upload."""
    box, tenant, wish = box_of(request), _tenant(request), await request.json()
    encoded = wish["pem"].encode() if "pem" in wish else base64.b64decode(wish["der"])
    start, end = (_date(wish.get(key)) for key in ("start", "end"))
    effective = box.clock.identity_now() + tenant.switches.propagation_seconds
    key = KeyCredential(read_certificate(encoded), effective, start, end)
    known = {each.sha1 for each in tenant.application.keys}
    if key.sha1 not in known:
        tenant.application.keys.append(key)
        registrations.save(box.folder, box.directory)
    return web.json_response(key.shown(), status=201)


def _date(text: str | None) -> datetime | None:
    return instant(parse_instant(text)) if text else None


async def remove_certificate(request: web.Request) -> web.Response:
    """By thumbprint (SHA-1 hex), or `all`."""
    application = _tenant(request).application
    wanted = request.match_info["thumbprint"].upper()
    kept = [key for key in application.keys if wanted not in (key.sha1, "ALL")]
    removed = len(application.keys) - len(kept)
    application.keys = kept
    registrations.save(box_of(request).folder, box_of(request).directory)
    return web.json_response({"removed": removed})


async def add_records(request: web.Request) -> web.Response:
    """One of {lines}, {generate: {from, to, rate, rhythm?}}, {crowd: {at, seconds, count}}.

    Each takes `arrival`: instant (default), typical, or seconds of delay.
    """
    box, tenant, wish = box_of(request), _tenant(request), await request.json()
    arrival = str(wish.get("arrival", "instant"))
    if "lines" in wish:
        count = additions.take(tenant, wish["lines"], arrival, box.clock.now())
    elif "generate" in wish:
        count = _generate(box, tenant, wish["generate"], arrival)
    else:
        count = _crowd(box, tenant, wish["crowd"], arrival)
    return web.json_response({"added": count, "records": len(tenant.store)}, status=201)


def _generate(box: Box, tenant: Tenant, wish: dict[str, Any], arrival: str) -> int:
    start, end = parse_instant(wish["from"]), parse_instant(wish["to"])
    seed = str(wish.get("seed", box.seed))
    shape = str(wish.get("rhythm", "office"))
    return additions.generate(tenant, seed, start, end, float(wish["rate"]), shape, arrival)


def _crowd(box: Box, tenant: Tenant, wish: dict[str, Any], arrival: str) -> int:
    seed = str(wish.get("seed", box.seed))
    return additions.crowd(
        tenant,
        seed,
        parse_instant(wish["at"]),
        int(wish.get("seconds", 1)),
        int(wish.get("count", 6000)),
        str(wish.get("operation", "")),
        arrival,
    )


async def show_records(request: web.Request) -> web.StreamResponse:
    """?from&to: the truth as newline-delimited {"Identity","AuditData"}, in order of time."""
    start = parse_instant(request.query.get("from", "1970-01-01"))
    end = parse_instant(request.query.get("to", "2200-01-01"))
    found = additions.truth(_tenant(request), start, end)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    while part := [json.dumps(each) for each in islice(found, 2000)]:
        await response.write(("\n".join(part) + "\n").encode("ascii"))
    await response.write_eof()
    return response


async def set_vault(request: web.Request) -> web.Response:
    """{tenant}: whose directory guards the vault (default: the first tenant)."""
    box, wish = box_of(request), await request.json()
    if wish["tenant"] not in box.directory.tenants:
        raise ValueError(f"no tenant {wish['tenant']!r}")
    box.vault.tenant = wish["tenant"]
    return web.json_response({"tenant": box.vault.tenant})


async def put_in_vault(request: web.Request) -> web.Response:
    """{key_pem, certificate_pem (leaf first), exportable?, content_type?}: a new version."""
    wish = await request.json()
    made = box_of(request).vault.put(
        request.match_info["object"],
        wish["key_pem"],
        wish["certificate_pem"],
        bool(wish.get("exportable", True)),
        str(wish.get("content_type", PKCS12)),
    )
    return web.json_response({"version": made.version, "x5t": made.x5t()}, status=201)


async def alter_in_vault(request: web.Request) -> web.Response:
    """{enabled, version?}: switch a version, by default the newest, on or off."""
    wish, name = await request.json(), request.match_info["object"]
    found = box_of(request).vault.find(name, str(wish.get("version", "")))
    if found is None:
        raise ValueError(f"nothing called {name!r} in the vault")
    found.enabled = bool(wish["enabled"])
    return web.json_response({"version": found.version, "enabled": found.enabled})


async def list_faults(request: web.Request) -> web.Response:
    return web.json_response([fault.shown() for fault in box_of(request).book.faults])


async def set_fault(request: web.Request) -> web.Response:
    """{name, tenant?, on?, times?, ...parameters}"""
    box, wish = box_of(request), await request.json()
    words = {
        key: wish.pop(key, default)
        for key, default in (("name", ""), ("tenant", None), ("on", 1), ("times", 1))
    }
    fault = box.book.set(**words, params=wish)
    at_once = {"crowded_second": _set_crowd, "late_arrival": _set_late}.get(fault.kind.name)
    if at_once:
        fault.played = at_once(box, fault.tenant, wish)
    return web.json_response(fault.shown(), status=201)


def _set_crowd(box: Box, name: str | None, wish: dict[str, Any]) -> int:
    return sum(
        _crowd(box, tenant, wish, str(wish.get("arrival", "instant")))
        for tenant in box.directory.tenants.values()
        if name in (None, tenant.name)
    )


def _set_late(box: Box, name: str | None, wish: dict[str, Any]) -> int:
    until = box.clock.now() + int(float(wish.get("seconds", 3600)) * MICROSECOND)
    start = parse_instant(wish.get("from", "1970-01-01"))
    end = parse_instant(wish.get("to", "2200-01-01"))
    share = float(wish.get("share", 0.2))
    return sum(
        additions.hold_back(tenant, start, end, share, until)
        for tenant in box.directory.tenants.values()
        if name in (None, tenant.name)
    )


async def remove_faults(request: web.Request) -> web.Response:
    number = request.match_info.get("number")
    removed = box_of(request).book.remove(int(number) if number else None)
    return web.json_response({"removed": removed})


async def fault_names(request: web.Request) -> web.Response:
    return web.json_response(
        [
            {"name": kind.name, "alias": kind.alias, "calls": sorted(kind.calls), "does": kind.does}
            for kind in KINDS
        ]
    )


async def counters(request: web.Request) -> web.Response:
    return web.json_response(box_of(request).counters.shown())


async def clear_counters(request: web.Request) -> web.Response:
    """Forget the requests, also those that the other host saw; with ?served=1 the served rows."""
    box = box_of(request)
    box.counters.clear()
    box.seen_elsewhere.clear()
    box.quotas = Quotas()
    box.listings.clear()
    if "served" in request.query:
        for tenant in box.directory.tenants.values():
            tenant.store.forget_served()
            tenant.busiest = 0
            tenant.feed.forget_served()
    return web.json_response({})


async def report(request: web.Request) -> web.Response:
    """?ids=N: at most so many identities of each sort (default 100)."""
    return web.json_response(closing_report(box_of(request), int(request.query.get("ids", "100"))))


async def set_clock(request: web.Request) -> web.Response:
    """{events_offset?, identity_offset?} in seconds from real time."""
    clock, wish = box_of(request).clock, await request.json()
    clock.events_offset = float(wish.get("events_offset", clock.events_offset))
    clock.identity_offset = float(wish.get("identity_offset", clock.identity_offset))
    return await show_clock(request)


async def show_clock(request: web.Request) -> web.Response:
    clock = box_of(request).clock
    return web.json_response(
        {
            "now": instant(clock.now()).isoformat(),
            "events_offset": clock.events_offset,
            "identity_offset": clock.identity_offset,
        }
    )


async def elsewhere(request: web.Request) -> web.Response:
    """What the other host of the redirects saw, and whether a token was among it."""
    seen = box_of(request).seen_elsewhere
    return web.json_response(
        {"requests": seen, "saw_authorization": any(each["authorization"] for each in seen)}
    )


async def mail(request: web.Request) -> web.Response:
    return web.json_response([str(path) for path in request.app[MAILBOX].messages()])
