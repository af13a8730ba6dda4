"""Subscriptions of the feed: listed first, started only where missing, never twice in 15 minutes.

management-api-and-graph.md, section 1.3: starting one that runs is answered by AF20024 and is a
success; starting the same again within fifteen minutes is not allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from trailkeeper.errors import NeedsPerson, Throttled, TrailkeeperError, Transient
from trailkeeper.microsoft.activity.client import ActivityClient
from trailkeeper.microsoft.activity.faults import ALREADY_ENABLED
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.bodies import json_objects, text_of
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.notes import Notebook
from trailkeeper.ports.parking import Parking
from trailkeeper.ports.worklist import Worklist

log = structlog.get_logger()

DISABLED = "AF20023"
START_AGAIN = timedelta(minutes=15)
_LOOK_AGAIN = timedelta(hours=6)
"""how long a subscription once seen enabled is not looked up; a listing shows it sooner"""


class FeedLedger(Notebook, Worklist, Protocol):
    """The part of the ledger that the feed needs."""

    def parkings(self, tenant: str | None = None) -> list[Parking]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """A subscription as the feed lists it."""

    contentType: str  # noqa: N815 - spelt as on the wire
    status: str | None


class Subscriptions:
    """What this process knows of every tenant's subscriptions; shared by its threads."""

    def __init__(self, ledger: FeedLedger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._seen: dict[str, tuple[frozenset[str], datetime]] = {}

    def ensure(
        self, client: ActivityClient, content_types: Sequence[str]
    ) -> dict[str, NeedsPerson]:
        """Start what is missing; those that a person has to enable, with the error.

        Raises what `client` raises when the subscriptions cannot be listed, or it is throttled.
        """
        if self.seen(client.tenant, content_types):
            return {}
        now = self._clock.now()
        refused: dict[str, NeedsPerson] = {}
        for content_type in sorted(set(content_types) - self.enabled(client)):
            try:
                self.start(client, content_type)
            except NeedsPerson as error:
                refused[content_type] = error
        if not refused:
            self._seen[client.tenant] = (frozenset(content_types), now)
        return refused

    def seen(self, tenant: str, content_types: Sequence[str]) -> bool:
        """Whether all of them were seen enabled not long ago, by this process."""
        now = self._clock.now()
        enabled, seen_at = self._seen.get(tenant, (frozenset[str](), now))
        return enabled >= set(content_types) and now - seen_at < _LOOK_AGAIN

    def forget(self, tenant: str) -> None:
        """One of them was refused, whatever was seen: look them and the parkings up again."""
        self._seen.pop(tenant, None)

    def enabled(self, client: ActivityClient) -> frozenset[str]:
        """As the feed lists them; one sample of the documentation omits the status."""
        shown = read_list(client.get(client.url("subscriptions/list")))
        return frozenset(s.contentType for s in shown if s.status in (None, "enabled"))

    def start(self, client: ActivityClient, content_type: str) -> bool:
        """Start one; False when that was done less than fifteen minutes ago, by whomever.

        It is noted before it is asked, so that a process that dies in between asks no second time.
        """
        self.forget(client.tenant)
        now = self._clock.now()
        key = f"feed_started/{client.tenant}/{content_type}"
        if not self._ledger.claim(key, now, now - START_AGAIN):
            return False
        try:
            client.post(client.url("subscriptions/start", contentType=content_type))
        except TrailkeeperError as error:
            if error.code != ALREADY_ENABLED:
                if _was_not_heard(error):
                    self._ledger.note(key, "", now - 2 * START_AGAIN)
                raise
        log.info("subscription_started", tenant=client.tenant, content_type=content_type)
        return True


def _was_not_heard(error: TrailkeeperError) -> bool:
    """Whether a start certainly changed nothing, so that it may be asked again at once.

    Of one that broke off nobody knows; one that an administrator forbids was heard.
    """
    broke_off = isinstance(error, Transient) and not isinstance(error, Throttled)
    return not broke_off and error.code != DISABLED


def read_list(answer: Answer) -> list[Shown]:
    """Raises `Transient` for an answer that is no list of subscriptions."""
    try:
        entries = json_objects(answer.body)
    except ValueError:
        raise Transient(
            "the feed's list of subscriptions could not be read", "It is asked again later."
        ) from None
    return [
        Shown(text_of(entry.get("contentType")), text_of(entry.get("status")) or None)
        for entry in entries
    ]
