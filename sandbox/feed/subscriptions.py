"""Which content types a tenant's app has subscribed to, and when (reference B 1.3, 1.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.clock import MICROSECOND
from sandbox.feed.contents import CONTENT_TYPES
from sandbox.feed.refusals import FeedRefused
from sandbox.feed.switches import FeedSwitches

_WAIT = 15 * 60 * MICROSECOND  # not to be started again within
_HOUR = 3600 * MICROSECOND


@dataclass
class Subscription:
    """One content type: the spans of time in which it was on; the last may still be."""

    spans: list[tuple[int, int | None]] = field(default_factory=list)
    asked_at: int = 0  # the latest start, whatever came of it

    @property
    def enabled(self) -> bool:
        return bool(self.spans) and self.spans[-1][1] is None


@dataclass
class Subscriptions:
    """All of a tenant's, by content type."""

    by_kind: dict[int, Subscription] = field(default_factory=dict)
    started_too_soon: int = 0  # starts of the same type within a quarter of an hour

    def start(self, kind: int, switches: FeedSwitches, now: int) -> None:
        """Enable, or AF20024 where it is enabled, AF20023 where an administrator disabled it."""
        found = self.by_kind.setdefault(kind, Subscription())
        self.started_too_soon += bool(found.asked_at) and now - found.asked_at < _WAIT
        found.asked_at = now
        if CONTENT_TYPES[kind] in switches.disabled_content:
            if not switches.disabled_restart:
                raise FeedRefused("AF20023", who=switches.disabled_by)
            switches.disabled_content.remove(CONTENT_TYPES[kind])
        elif found.enabled:
            raise FeedRefused("AF20024")
        if not found.enabled:
            found.spans.append((now, None))

    def stop(self, kind: int, now: int) -> None:
        """What becomes available from now on is never to be had."""
        found = self.by_kind.get(kind)
        if found is None or not found.enabled:
            raise FeedRefused("AF20022")
        found.spans[-1] = (found.spans[-1][0], now)

    def check(self, kind: int, switches: FeedSwitches) -> None:
        """Listing wants an enabled subscription: AF20022, AF20023."""
        if CONTENT_TYPES[kind] in switches.disabled_content:
            raise FeedRefused("AF20023", who=switches.disabled_by)
        found = self.by_kind.get(kind)
        if found is None or not found.enabled:
            raise FeedRefused("AF20022")

    def covers(self, kind: int, created: int, switches: FeedSwitches, now: int) -> bool:
        """Is what was created then to be had by now?"""
        found = self.by_kind.get(kind)
        if found is None or not found.spans:
            return False
        first = found.spans[0][0]
        if now < first + int(switches.first_content_seconds * MICROSECOND):
            return False
        if first - int(switches.backfill_hours * _HOUR) <= created < first:
            return True
        return any(a <= created and (b is None or created < b) for a, b in found.spans)

    def shown(self, switches: FeedSwitches) -> list[dict[str, Any]]:
        """What /subscriptions/list answers; what was stopped is gone."""
        found = []
        for kind, each in self.by_kind.items():
            off = CONTENT_TYPES[kind] in switches.disabled_content
            if each.enabled or (off and each.spans):
                found.append(shape(kind, "disabled" if off else "enabled", switches))
        return found


def shape(kind: int, status: str, switches: FeedSwitches) -> dict[str, Any]:
    """One subscription; `webhook` is there, and null."""
    whole = {"contentType": CONTENT_TYPES[kind], "status": status, "webhook": None}
    if switches.omit_status:
        del whole["status"]
    return whole
