"""The management site: `/api/v1.0/{tenant}/activity/feed/...` (reference B 1.3)."""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from aiohttp import web

from sandbox import disruptions
from sandbox.box import Box, box_of
from sandbox.clock import MICROSECOND
from sandbox.faults import Plan
from sandbox.feed import lies, listing, refusals
from sandbox.feed.contents import CONTENT_TYPES, number_of
from sandbox.feed.quota import publisher_of
from sandbox.feed.refusals import FeedRefused
from sandbox.feed.subscriptions import shape
from sandbox.feed.windows import window_of
from sandbox.tenants import Tenant
from sandbox.tokens import TokenRefused

_ROOT = "/api/v1.0/{tenant}/activity/feed"
_LABELS = {  # AF429 names the service's own methods, not ours
    "start": "StartSubscription",
    "stop": "StopSubscription",
    "subscriptions": "ListSubscriptions",
    "content": "ListContent",
    "content_page": "ListContent",
    "notifications": "ListNotifications",
    "blob": "GetBlob",
    "dlp_types": "GetDlpSensitiveTypes",
}


@dataclass
class Ask:
    """One accepted call on its way through."""

    request: web.Request
    box: Box
    tenant: Tenant
    client: str
    publisher: str
    plan: Plan
    now: int

    @property
    def root(self) -> str:
        return self.box.urls["management"]

    def kind(self) -> int:
        """The content type asked for: AF20001, AF20020."""
        name = self.request.query.get("contentType", "")
        if not name:
            raise FeedRefused("AF20001", name="contentType")
        found = number_of(name)
        if found is None:
            raise FeedRefused("AF20020")
        return found


Step = Callable[[Ask], Awaitable[web.Response]]


def routes(app: web.Application) -> None:
    add = app.router.add_route
    add("POST", f"{_ROOT}/subscriptions/start", _door("start", _start))
    add("POST", f"{_ROOT}/subscriptions/stop", _door("stop", _stop))
    add("GET", f"{_ROOT}/subscriptions/list", _door("subscriptions", _subscriptions))
    for root in (_ROOT, _ROOT.replace("v1.0", "v1")):  # v1 as in the documentation's next page
        add("GET", f"{root}/subscriptions/content", _door("content", _content))
        add("GET", f"{root}/subscriptions/notifications", _door("notifications", _content))
    add("GET", f"{_ROOT}/audit/{{id}}", _door("blob", _blob))
    add("GET", f"{_ROOT}/resources/dlpSensitiveTypes", _door("dlp_types", _dlp_types))
    add("*", "/{path:.*}", _nothing)
    app.on_response_prepare.append(_date)


async def _date(request: web.Request, response: web.StreamResponse) -> None:
    """The sandbox's own time, which is what a client corrects its windows by."""
    now = box_of(request).clock.now() / MICROSECOND
    response.headers["Date"] = formatdate(now, usegmt=True)


async def _nothing(request: web.Request) -> web.StreamResponse:
    box = box_of(request)
    box.counters.count("management", "")
    plan = box.book.draw("management", "")
    if played := await disruptions.instead(request, plan, box.urls["elsewhere"]):
        return played
    body = {"Message": f"No HTTP resource was found that matches the request URI '{request.url}'."}
    return web.json_response(body, status=404)


def _door(call: str, step: Step) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        page = call == "content" and "nextPage" in request.query
        named = "content_page" if page else call
        return await _answered(request, named, step)

    return answer


async def _answered(request: web.Request, call: str, step: Step) -> web.StreamResponse:
    """From the token to the last byte; every refusal has its AF code."""
    box = box_of(request)
    tenant = box.directory.find(request.match_info["tenant"])
    name = tenant.name if tenant else ""
    box.counters.count(call, name)
    form = tenant.switches.error_body if tenant else "json"
    try:
        ask = _accepted(request, box, call)
        box.counters.faults.update(ask.plan.names())
        if played := await lies.instead(request, ask.plan, _LABELS[call]):
            return played
        if played := await disruptions.instead(request, ask.plan, box.urls["elsewhere"]):
            return played
        return await disruptions.deliver(request, ask.plan, await step(ask))
    except TokenRefused:
        return refusals.unauthorized()
    except FeedRefused as refused:
        box.counters.count(refused.code.split(" ")[0], name)
        return refusals.response(refused, refused.form or form)


def _accepted(request: web.Request, box: Box, call: str) -> Ask:
    segment = request.match_info["tenant"]
    try:
        guid = str(uuid.UUID(segment))
    except ValueError as error:
        raise FeedRefused("AF20013", tenant=segment) from error
    audiences = box.resources.by_site["management"].audiences
    claims = box.issuer.verify(request.headers.get("Authorization", ""), audiences)
    if claims.get("tid") != guid:
        raise FeedRefused("AF20010", url=guid, token=claims.get("tid"))
    tenant = box.directory.find(guid)
    if tenant is None:
        raise FeedRefused("AF20011", tenant=guid)
    _check_roles(claims, tenant)
    publisher = publisher_of(request.query.get("PublisherIdentifier", ""))
    box.quotas.take(tenant.name, publisher, _LABELS[call], tenant.switches)
    plan = box.book.draw(call, tenant.name)
    now = box.clock.now()
    tenant.advance(now)
    return Ask(request, box, tenant, str(claims.get("appid")), publisher, plan, now)


def _check_roles(claims: dict[str, Any], tenant: Tenant) -> None:
    roles = claims.get("roles", [])
    if "ActivityFeed.Read" not in roles:
        status = tenant.switches.missing_role_status
        raise FeedRefused("AF10001", status=status, granted=",".join(roles))


async def _start(ask: Ask) -> web.Response:
    kind, switches = ask.kind(), ask.tenant.switches
    _check_webhook(await ask.request.read())
    if not switches.ingestion:
        tenant = ask.tenant.tenant_id
        raise refusals.tenant_missing(tenant, CONTENT_TYPES[kind], ask.client, ask.publisher)
    ask.tenant.subscriptions.start(kind, switches, ask.now)
    return web.json_response(shape(kind, "enabled", switches))


def _check_webhook(body: bytes) -> None:
    """The sandbox calls nobody back, so no webhook is ever found valid."""
    try:
        wish = json.loads(body) if body.strip() else {}
        address = str((wish.get("webhook") or {}).get("address", ""))
    except (ValueError, AttributeError) as error:
        raise FeedRefused("AF20002", name="webhook", expected="object") from error
    if address:
        secure = address.lower().startswith("https://")
        reason = "did not return HTTP 200" if secure else "must begin with HTTPS"
        raise FeedRefused("AF20021", address=address, reason=f"The address {reason}.")


async def _stop(ask: Ask) -> web.Response:
    ask.tenant.subscriptions.stop(ask.kind(), ask.now)
    return web.Response()


async def _subscriptions(ask: Ask) -> web.Response:
    return web.json_response(ask.tenant.subscriptions.shown(ask.tenant.switches))


async def _content(ask: Ask) -> web.Response:
    """One page of the listing; the header says where the next one is."""
    kind, switches = ask.kind(), ask.tenant.switches
    await asyncio.sleep(switches.seconds_per_listing)
    found, offset = _listing(ask, kind)
    ask.box.listings[ask.tenant.name, CONTENT_TYPES[kind]] += "nextPage" not in ask.request.query
    size = max(1, switches.content_page)
    page = found.blobs[offset : offset + size]
    for index in page:
        ask.tenant.feed.listed[index] += 1
    entries = [listing.entry(ask.tenant, index, ask.root) for index in page]
    operation = ask.request.path.rpartition("/")[2]
    if operation == "notifications":
        entries = [_told(each, switches.notification_status) for each in entries]
    link = ""
    if offset + size < len(found.blobs):
        token = ask.box.feed_pages.put_by(found, offset + size)
        link = listing.next_uri(ask.root, operation, found, switches.next_page_version, token)
    elsewhere = ask.box.urls["elsewhere"]
    lies.mislead(entries, ask.plan, ask.root, elsewhere)
    link = lies.misleading_link(link, ask.plan, str(ask.request.url), ask.root, elsewhere)
    return web.json_response(entries, headers={switches.next_page_header: link} if link else {})


def _listing(ask: Ask, kind: int) -> tuple[listing.Listing, int]:
    ask.tenant.subscriptions.check(kind, ask.tenant.switches)
    query = ask.request.query
    if "nextPage" not in query:
        window = window_of(query, ask.tenant.switches, ask.now)
        return listing.listing_of(ask.tenant, kind, window, ask.now, ask.plan), 0
    found = ask.box.feed_pages.take_up(query["nextPage"], ask.tenant.tenant_id, kind)
    if found is None:
        raise FeedRefused("AF20031", value=query["nextPage"])
    return found


def _told(entry: dict[str, Any], status: str) -> dict[str, Any]:
    return {**entry, "notificationSent": entry["contentCreated"], "notificationStatus": status}


async def _blob(ask: Ask) -> web.Response:
    """All records of a blob, as often as one likes until it expires."""
    content_id, feed = ask.request.match_info["id"], ask.tenant.feed
    if content_id.count("$") < 3:
        raise FeedRefused("AF20052", id=content_id)
    index = feed.find(content_id)
    if index is None:
        raise FeedRefused("AF20050", id=content_id)
    await asyncio.sleep(ask.tenant.switches.seconds_per_blob)
    if feed.expires[index] <= ask.now:
        raise FeedRefused("AF20051", id=content_id)
    spoiled = lies.spoiled(ask.tenant, index, ask.plan)
    if spoiled is not None:
        return _json(spoiled)
    paged = lies.paged(ask.request, ask.plan, ask.tenant, index)
    whole = paged is None or "nextPage" in ask.request.query
    if whole and not disruptions.loses_answer(ask.plan):
        feed.count_fetch(index, ask.now)
    if paged is not None:
        return paged
    return _compressed(ask, _json(ask.box.blobs.body(ask.tenant, index)))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _compressed(ask: Ask, answer: web.Response) -> web.Response:
    accepted = ask.request.headers.get("Accept-Encoding", "")
    if ask.tenant.switches.compressed and "gzip" in accepted and isinstance(answer.body, bytes):
        answer.body = gzip.compress(answer.body, 1)
        answer.headers["Content-Encoding"] = "gzip"
    return answer


_NAMES = {"en-us": "Credit Card Number", "de-de": "Kreditkartennummer"}


async def _dlp_types(ask: Ask) -> web.Response:
    language = ask.request.headers.get("Accept-Language", "en-US")
    if "," in language:
        raise FeedRefused("AF20053")
    name = _NAMES.get(language.strip().lower(), _NAMES["en-us"])
    return web.json_response([{"id": "50842eb7-edc8-4019-85dd-5a5c1f2bb085", "name": name}])
