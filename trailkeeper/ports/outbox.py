"""What is owed to the world."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trailkeeper.model.report import Delivery, Month, Queued, Rendered


class Outbox(Protocol):
    """What is owed to the world. (tenant, month, revision) is sent once.

    Methods that take a `Delivery` raise `LeaseLost` when its epoch is no longer the newest; all
    raise `Unavailable` when the database is out of reach.
    """

    def enqueue(
        self,
        tenant: str,
        month: Month,
        message_id: str,
        recipients: Sequence[str],
        rendered: Rendered,
        now: datetime,
        *,
        again: bool = False,
        preliminary: bool = False,
    ) -> int | None:
        """The new outbox id; None when this month is in the outbox already and `again` is False.

        A `preliminary` report, of a month that is not over, does not stand for the month's own.
        """
        ...

    def reported(self, tenant: str, month: Month) -> bool:
        """Is any revision of this month in the outbox, whatever became of it? Preliminary ones do
        not count."""
        ...

    def newest(self, tenant: str, month: Month) -> Queued | None:
        """Where the newest revision of this month stands; None when there is none."""
        ...

    def due(self, now: datetime, limit: int) -> list[int]:
        """Queued and due at `now`, or found sending after its deadline; longest due first."""
        ...

    def take(self, outbox_id: int, now: datetime, until: datetime) -> Delivery | None:
        """queued → sending under a lease; None when it is not due, or somebody else is sending.

        Every take is an attempt. One found sending after its deadline is handed out again with the
        same message id: what became of the earlier attempt is not known.
        """
        ...

    def sent(self, delivery: Delivery, now: datetime, reply: str) -> None:
        """sending → sent, for ever."""
        ...

    def again_at(self, delivery: Delivery, due_at: datetime, error: str) -> None:
        """sending → queued, due again at `due_at`."""
        ...

    def hurry(self, outbox_id: int, now: datetime) -> None:
        """A queued one that waits to be tried again is due at once: somebody asks for it."""
        ...

    def refused(self, delivery: Delivery, now: datetime, error: str) -> None:
        """sending → refused, for ever; only a new revision is sent instead."""
        ...
