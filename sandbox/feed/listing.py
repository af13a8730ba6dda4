"""What a listing shows, in which order, and its pages (reference B 1.5)."""

from __future__ import annotations

import secrets
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sandbox.clock import MICROSECOND, instant
from sandbox.faults import Plan
from sandbox.feed.contents import CONTENT_TYPES
from sandbox.feed.packing import lot
from sandbox.feed.windows import Window
from sandbox.tenants import Tenant

_MOST = 20_000  # listings that are remembered for their next pages, all tenants together
_JUMBLE = 60 * MICROSECOND


@dataclass(frozen=True)
class Listing:
    """One answer to /content before it is cut into pages; stays as it was between them."""

    tenant: str
    kind: int
    window: Window
    blobs: Sequence[int]


class Pages:
    """Rests of listings by their opaque nextPage; a page can be asked for again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Listing, int]] = OrderedDict()

    def put_by(self, listing: Listing, offset: int) -> str:
        token = f"{instant(listing.window.start):%Y%m%d%H}R{secrets.token_hex(8)}"
        self._kept[token] = listing, offset
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return token

    def take_up(self, token: str, tenant: str, kind: int) -> tuple[Listing, int] | None:
        found = self._kept.get(token)
        if found is None or (found[0].tenant, found[0].kind) != (tenant, kind):
            return None
        return found


def listing_of(tenant: Tenant, kind: int, window: Window, now: int, plan: Plan) -> Listing:
    """Everything that the window shows by now."""
    switches, feed = tenant.switches, tenant.feed
    found = [
        i
        for i in feed.between(kind, window.start, window.end, now, switches)
        if tenant.subscriptions.covers(kind, feed.created[i], switches, now)
    ]
    feed.looked_at(kind, now)
    if switches.partial_view:
        _note_partial(tenant, found, window.start)
    if switches.content_order == "jumbled":
        found.sort(key=lambda i: feed.created[i] + int(lot("order", i) * _JUMBLE))
    if (params := plan.get("listed_twice")) is not None:
        found = _twice(found, float(params.get("rate", 0.05)))
    return Listing(tenant.tenant_id, kind, window, array("I", found))


def _note_partial(tenant: Tenant, found: list[int], start: int) -> None:
    for i in found:
        late = tenant.feed.created[i] < start + MICROSECOND
        (tenant.feed.partial.add if late else tenant.feed.partial.discard)(i)


def _twice(found: list[int], rate: float) -> list[int]:
    """Some entries come again further on, at least one."""
    chosen = [i for i in found if lot("twice", i) < rate] or found[:1]
    again = found.copy()
    for i in chosen:
        at = again.index(i)
        again.insert(min(len(again), at + 1 + int(lot("far", i) * 2 * len(found))), i)
    return again


def entry(tenant: Tenant, index: int, root: str) -> dict[str, Any]:
    """One content object; the times have milliseconds and a Z."""
    feed, content_id = tenant.feed, tenant.feed.content_id(index)
    return {
        "contentType": CONTENT_TYPES[feed.kinds[index]],
        "contentId": content_id,
        "contentUri": f"{root}/api/v1.0/{tenant.tenant_id}/activity/feed/audit/{content_id}",
        "contentCreated": stamp(feed.created[index]),
        "contentExpiration": stamp(feed.expires[index]),
    }


def stamp(value: int) -> str:
    """`2026-11-20T10:00:51.748Z`."""
    return instant(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def next_uri(root: str, operation: str, listing: Listing, version: str, token: str) -> str:
    """The window again, filled in where it was left out, and no PublisherIdentifier."""
    window = listing.window
    return (
        f"{root}/api/{version}/{listing.tenant}/activity/feed/subscriptions/{operation}"
        f"?contentType={CONTENT_TYPES[listing.kind]}&startTime={quote(window.start_text)}"
        f"&endTime={quote(window.end_text)}&nextPage={token}"
    )
