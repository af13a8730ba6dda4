"""The closing report: which records were never, once or repeatedly served."""

from __future__ import annotations

from typing import Any

from sandbox.box import Box
from sandbox.feed.report import calls_report, delays, feed_report
from sandbox.tenants import Tenant

_SHOWN = 100


def tenant_report(tenant: Tenant, now: int, limit: int) -> dict[str, Any]:
    """Counts and the first `limit` identities of each sort; what never arrived is apart."""
    (tenant.advance if tenant.subscriptions.by_kind else tenant.occur)(now)
    store = tenant.store
    never: list[int] = []
    repeatedly: list[int] = []
    waiting = once = 0
    for i in store.all_ids():
        served = store.served[i]
        if served > 1:
            repeatedly.append(i)
        elif served:
            once += 1
        elif store.arrivals[i] > now:
            waiting += 1
        else:
            never.append(i)
    return {
        "records": len(store),
        "not_yet_arrived": waiting,
        "never": len(never),
        "once": once,
        "repeatedly": len(repeatedly),
        "rows_served": sum(store.served),
        "never_ids": [store.identity(i) for i in never[:limit]],
        "repeatedly_ids": [store.identity(i) for i in repeatedly[:limit]],
        "busiest": tenant.busiest,
        "feed": feed_report(tenant, now, limit),
    }


def closing_report(box: Box, limit: int = _SHOWN) -> dict[str, Any]:
    """For every tenant, with the request counters."""
    now = box.clock.now()
    return {
        "tenants": {
            name: tenant_report(tenant, now, limit)
            for name, tenant in box.directory.tenants.items()
        },
        "feed": calls_report(box.quotas, box.listings)
        | {"fetch_delay_seconds": delays(list(box.directory.tenants.values()), 0)},
        **box.counters.shown(),
    }
