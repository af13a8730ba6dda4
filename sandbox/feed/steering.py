"""What the control site says about the feed, and how it sets volumes at run time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiohttp import web

from sandbox.box import Box, box_of
from sandbox.clock import parse_instant
from sandbox.feed import report
from sandbox.tenants import Tenant


def routes(app: web.Application) -> None:
    router = app.router
    router.add_get("/tenants/{name}/feed", show_truth)
    router.add_get("/tenants/{name}/blobs", show_blobs)
    router.add_get("/feed", show_feed)
    router.add_put("/feed/volume", set_volume)
    router.add_post("/feed/render", render)


def _tenant(request: web.Request) -> Tenant:
    box, name = box_of(request), request.match_info["name"]
    if name not in box.directory.tenants:
        raise ValueError(f"no tenant {name!r}")
    found = box.directory.tenants[name]
    found.advance(box.clock.now())
    return found


async def show_truth(request: web.Request) -> web.StreamResponse:
    """?from&by (availability, default all until now): newline-delimited, each record once."""
    now = box_of(request).clock.now()
    start = parse_instant(request.query.get("from", "1970-01-01"))
    by = parse_instant(request.query["by"]) if "by" in request.query else now + 1
    return await _lines(request, report.truth(_tenant(request), start, by, now))


async def show_blobs(request: web.Request) -> web.StreamResponse:
    """Every blob made so far, newline-delimited."""
    return await _lines(request, report.blob_lines(_tenant(request)))


async def _lines(request: web.Request, found: Iterator[dict[str, Any]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    while part := [json.dumps(each) for each in islice(found, 2000)]:
        await response.write(("\n".join(part) + "\n").encode("ascii"))
    await response.write_eof()
    return response


async def show_feed(request: web.Request) -> web.Response:
    """?since: calls of all tenants, and the delays of blobs created from `since` on."""
    box = box_of(request)
    since = parse_instant(request.query.get("since", "1970-01-01"))
    tenants = list(box.directory.tenants.values())
    shown = report.calls_report(box.quotas, box.listings)
    return web.json_response(shown | {"fetch_delay_seconds": report.delays(tenants, since)})


async def set_volume(request: web.Request) -> web.Response:
    """{total, sigma?, seed?, tenants?}: records a second of all together; gives each one's.

    Shares are lognormal: `sigma` 0 makes all tenants equal, 1.5 a few large ones.
    """
    box, wish = box_of(request), await request.json()
    names = wish.get("tenants") or list(box.directory.tenants)
    total, sigma = float(wish["total"]), float(wish.get("sigma", 1.0))
    return web.json_response(spread(box, names, total, sigma, str(wish.get("seed", box.seed))))


def spread(box: Box, names: list[str], total: float, sigma: float, seed: str) -> dict[str, float]:
    """Set `feed_rate` of the named tenants so that they sum up to `total`."""
    rng = random.Random(seed)
    weights = {name: rng.lognormvariate(0, sigma) for name in names}
    unit = total / sum(weights.values()) if weights else 0.0
    now = box.clock.now()
    for name, weight in weights.items():
        tenant = box.directory.tenants[name]
        tenant.occur(now)
        tenant.switches.feed_rate = unit * weight
        tenant.occur(now)
    return {name: unit * weight for name, weight in weights.items()}


async def render(request: web.Request) -> web.Response:
    """{most_mb?, tenants?}: render every blob that fits, so that a GET is only a look-up."""
    box, wish = box_of(request), await request.json()
    if "most_mb" in wish:
        box.blobs.most_bytes = int(float(wish["most_mb"]) * 2**20)
    for name in wish.get("tenants") or list(box.directory.tenants):
        tenant = box.directory.tenants[name]
        tenant.advance(box.clock.now())
        for index in range(len(tenant.feed)):
            box.blobs.body(tenant, index)
    return web.json_response({"bytes": box.blobs.bytes, "blobs": box.blobs.count})
