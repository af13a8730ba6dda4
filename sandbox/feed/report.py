"""The feed's part of the closing report, and the truth to hold an export against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sandbox.clock import MICROSECOND, iso
from sandbox.feed.contents import CONTENT_TYPES
from sandbox.feed.listing import stamp
from sandbox.feed.quota import Quotas
from sandbox.tenants import Tenant


def _fate(tenant: Tenant, index: int, now: int) -> str:
    """What became of a blob: one word for each that is made."""
    feed, switches = tenant.feed, tenant.switches
    fetched, created = feed.fetched[index], feed.created[index]
    if fetched:
        return "repeatedly" if fetched > 1 else "once"
    if not tenant.subscriptions.covers(feed.kinds[index], created, switches, now):
        return "unsubscribed"
    oldest = now - int(switches.lookback_hours * 3600 * MICROSECOND)
    gone = feed.expires[index] <= now or (created < oldest and not feed.listed[index])
    return "out_of_reach" if gone else "never"


_FATES = ("never", "once", "repeatedly", "unsubscribed", "out_of_reach")


def feed_report(tenant: Tenant, now: int, limit: int) -> dict[str, Any]:
    """Blobs by what became of them, and the first `limit` ids of those to worry about."""
    fates = [_fate(tenant, i, now) for i in range(len(tenant.feed))]
    counts = Counter(fates)
    shown = {
        f"{fate}_ids": [tenant.feed.content_id(i) for i, f in enumerate(fates) if f == fate][:limit]
        for fate in ("never", "repeatedly", "out_of_reach")
    }
    return {
        "blobs": len(fates),
        **{fate: counts[fate] for fate in _FATES},
        "never_listed": sum(
            f == "never" and not listed for f, listed in zip(fates, tenant.feed.listed, strict=True)
        ),
        "records": len(_records(tenant, range(len(fates)))),
        "records_fetched": len(
            _records(tenant, [i for i in range(len(fates)) if tenant.feed.fetched[i]])
        ),
        "started_too_soon": tenant.subscriptions.started_too_soon,
        **shown,
    }


def _records(tenant: Tenant, blobs: Sequence[int]) -> set[int]:
    return {number for i in blobs for number in tenant.feed.members(i)}


def calls_report(quotas: Quotas, listings: Counter[tuple[str, str]]) -> dict[str, Any]:
    """Requests by publisher, listings by tenant and content type, AF429 by tenant."""
    by_tenant: dict[str, dict[str, int]] = {}
    for (tenant, content_type), count in listings.items():
        by_tenant.setdefault(tenant, {})[content_type] = count
    return {
        "listings": by_tenant,
        "publishers": dict(quotas.publishers),
        "throttled": dict(quotas.refused),
        "busiest_minute": dict(quotas.busiest),
    }


def delays(tenants: Sequence[Tenant], since: int) -> dict[str, float]:
    """contentCreated to first complete fetch, in seconds, of blobs created from `since` on."""
    found = sorted(
        (at - created) / MICROSECOND
        for tenant in tenants
        for created, at in zip(tenant.feed.created, tenant.feed.fetched_at, strict=True)
        if at and created >= since
    )
    if not found:
        return {}
    points = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    return {name: found[min(len(found) - 1, int(len(found) * p))] for name, p in points} | {
        "blobs": len(found)
    }


def blob_lines(tenant: Tenant) -> Iterator[dict[str, Any]]:
    """Every blob, with how often it was listed and fetched."""
    feed = tenant.feed
    for i in range(len(feed)):
        yield {
            "contentType": CONTENT_TYPES[feed.kinds[i]],
            "contentId": feed.content_id(i),
            "contentCreated": stamp(feed.created[i]),
            "contentExpiration": stamp(feed.expires[i]),
            "records": len(feed.members(i)),
            "listed": feed.listed[i],
            "fetched": feed.fetched[i],
            "fetchedAt": stamp(feed.fetched_at[i]) if feed.fetched_at[i] else None,
        }


def truth(tenant: Tenant, start: int, by: int, now: int) -> Iterator[dict[str, Any]]:
    """Every record that became available in [start, by), once, in order of first availability.

    `retrievable`: the subscriptions cover at least one of its blobs.
    """
    feed, store = tenant.feed, tenant.store
    for number, blobs in _first_seen(tenant, start, by).items():
        first = blobs[0]
        yield {
            "Identity": store.identity(number),
            "AuditData": store.text(number),
            "contentType": CONTENT_TYPES[feed.kinds[first]],
            "occurred": iso(store.times[number]),
            "contentCreated": stamp(feed.created[first]),
            "contentIds": [feed.content_id(i) for i in blobs],
            "retrievable": any(
                tenant.subscriptions.covers(feed.kinds[i], feed.created[i], tenant.switches, now)
                for i in blobs
            ),
        }


def _first_seen(tenant: Tenant, start: int, by: int) -> dict[int, list[int]]:
    feed = tenant.feed
    order = sorted(range(len(feed)), key=feed.created.__getitem__)
    found: dict[int, list[int]] = {}
    for index in order:
        if start <= feed.created[index] < by:
            for number in feed.members(index):
                found.setdefault(number, []).append(index)
    return found
