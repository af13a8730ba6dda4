"""The feed's own faults: AF codes on demand, foreign hosts, blobs that go bad."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.faults import Plan
from sandbox.feed import refusals
from sandbox.feed.packing import lot
from sandbox.feed.refusals import FeedRefused
from sandbox.tenants import Tenant

# Faults that, once met, stay with the blob: the next GET of it finds it just as bad.
_STICKY = ("expired_blob", "missing_blob", "poisoned_blob")
_POISON = {
    "not_json": b'[{"Id":"00000000-0000-0000-0000-000000000000","CreationTime":',
    "not_a_list": b'{"value":"a blob is a list"}',
    "not_utf8": b'[{"Id":"\xff\xfe"}]',
    "not_objects": b'["a record is an object",7,null]',
}


async def instead(request: web.Request, plan: Plan, label: str) -> web.StreamResponse | None:
    """401 without a code; any AF code raises; None to go on."""
    if (params := plan.get("unauthorized")) is not None:
        return refusals.unauthorized(str(params.get("form", "json")))
    if (params := plan.get("af_error")) is not None:
        code, status = str(params.get("code", "AF50000")), int(params.get("status", 0))
        raise _shaped(FeedRefused(code, status=status, message=params.get("message", "")), params)
    if (params := plan.get("af429")) is not None:
        publisher = request.query.get("PublisherIdentifier", "")
        raise _shaped(
            FeedRefused(
                "AF429",
                status=int(params.get("status", 403)),
                method=label,
                publisher=publisher,
            ),
            params,
        )
    if (params := plan.get("tenant_does_not_exist")) is not None:
        tenant, content = request.match_info["tenant"], request.query.get("contentType", "")
        publisher = request.query.get("PublisherIdentifier", "")
        raise _shaped(refusals.tenant_missing(tenant, content, "", publisher), params)
    return None


def _shaped(refused: FeedRefused, params: dict[str, Any]) -> FeedRefused:
    refused.form = str(params.get("form", ""))
    return refused


def mislead(entries: list[dict[str, Any]], plan: Plan, root: str, elsewhere: str) -> None:
    """Send some contentUris to a host that is not ours."""
    if (params := plan.get("foreign_content_uri")) is None:
        return
    share = float(params.get("share", 0.2))
    chosen = [e for n, e in enumerate(entries) if lot("foreign", n) < share] or entries[:1]
    for each in chosen:
        each["contentUri"] = _foreign(each["contentUri"], params, root, elsewhere)


def misleading_link(link: str, plan: Plan, asked: str, root: str, elsewhere: str) -> str:
    """Where a fault says so: the next page at another host, or this very page again."""
    if plan.get("endless_pages") is not None:
        return asked
    if (params := plan.get("foreign_next_page")) is not None:
        return _foreign(link or f"{asked}&nextPage=1", params, root, elsewhere)
    return link


def _foreign(uri: str, params: dict[str, Any], root: str, elsewhere: str) -> str:
    """`host`: another one; `userinfo`: ours only before an @; `http`: ours without TLS."""
    path, form = uri.removeprefix(root), str(params.get("form", "host"))
    if form == "userinfo":
        return f"https://{root.removeprefix('https://')}@{elsewhere.removeprefix('https://')}{path}"
    if form == "http":
        return f"http://{root.removeprefix('https://')}{path}"
    return f"{elsewhere}{path}"


def paged(request: web.Request, plan: Plan, tenant: Tenant, index: int) -> web.Response | None:
    """A blob in two halves, the second behind a NextPageUri; None for a whole one."""
    half = (len(tenant.feed.members(index)) + 1) // 2
    if "nextPage" in request.query:
        rest = tenant.feed.body(index, slice(half, None))
        return web.Response(body=rest, content_type="application/json")
    if plan.get("blob_in_pages") is None:
        return None
    link = f"{request.url.origin()}{request.rel_url.raw_path}?nextPage=2"
    first = tenant.feed.body(index, slice(0, half))
    return web.Response(body=first, content_type="application/json", headers={"NextPageUri": link})


def spoiled(tenant: Tenant, index: int, plan: Plan) -> bytes | None:
    """The body of a poisoned blob; expired and missing ones raise; None for a sound one."""
    cursed = tenant.feed.cursed
    for name in _STICKY:
        if (params := plan.get(name)) is not None:
            cursed[index] = name, params
    name, params = cursed.get(index, ("", {}))
    content_id = tenant.feed.content_id(index)
    if name == "expired_blob":
        raise FeedRefused("AF20051", id=content_id)
    if name == "missing_blob":
        raise FeedRefused("AF20050", status=int(params.get("status", 404)), id=content_id)
    if name != "poisoned_blob":
        return None
    form = str(params.get("form", "error"))
    if form == "error":
        raise FeedRefused("AF50000")
    return _POISON[form]
