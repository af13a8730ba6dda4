"""Requests a minute: the tenant's own, or the one that all callers without a name share."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

from sandbox.feed.refusals import FeedRefused
from sandbox.feed.switches import FeedSwitches

NOBODY = str(uuid.UUID(int=0))


@dataclass
class Quotas:
    """Counts of the running minute of real time (the events' clock may jump, this must not)."""

    publishers: Counter[str] = field(default_factory=Counter)  # all requests ever, by publisher
    refused: Counter[str] = field(default_factory=Counter)  # by tenant
    busiest: Counter[str] = field(default_factory=Counter)  # most in one minute, by tenant
    _minute: int = 0
    _counts: Counter[str] = field(default_factory=Counter)

    def take(self, tenant: str, publisher: str, method: str, switches: FeedSwitches) -> None:
        """Count one request, or AF429."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        self.publishers[publisher] += 1
        named = publisher != NOBODY
        purse = tenant if named else NOBODY
        limit = switches.requests_per_minute if named else switches.anonymous_per_minute
        self._counts[purse] += 1
        self.busiest[purse] = max(self.busiest[purse], self._counts[purse])
        if self._counts[purse] > limit:
            self.refused[tenant] += 1
            raise FeedRefused(
                "AF429", status=switches.throttle_status, method=method, publisher=publisher
            )


def publisher_of(given: str) -> str:
    """The GUID of PublisherIdentifier, all zeros without one; AF20002 for anything else."""
    if not given:
        return NOBODY
    try:
        return str(uuid.UUID(given))
    except ValueError as error:
        raise FeedRefused("AF20002", name="PublisherIdentifier", expected="guid") from error
