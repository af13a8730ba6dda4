"""Hand one report from the outbox to the mail server, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

import structlog

from trailkeeper.errors import AcceptanceLost, DeliveryRefused, LeaseLost, TrailkeeperError
from trailkeeper.model.report import Delivery
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.mail import Mailer
from trailkeeper.ports.outbox import Outbox
from trailkeeper.steps.identify import Require, anybody

log = structlog.get_logger()

SENDING_LEASE = timedelta(minutes=10)
"""outlives one SMTP conversation: a delivery found older than this lost its worker"""
LONGEST_BACKOFF = timedelta(hours=4)


class DeliveryOutcome(StrEnum):
    SENT = "sent"
    POSTPONED = "postponed"
    REFUSED = "refused"
    NOT_OURS = "not_ours"


@dataclass(frozen=True, slots=True)
class DeliverStep:
    outbox: Outbox
    mailer: Mailer
    clock: Clock
    require: Require = anybody

    def __call__(self, outbox_id: int) -> DeliveryOutcome:
        """Try once. What became of it is in the outbox; provider errors do not raise.

        A worker that dies between the server's acceptance and our mark leaves an outcome nobody
        learned; the next try carries the same Message-ID.
        """
        now = self.clock.now()
        delivery = self.outbox.take(outbox_id, now, now + SENDING_LEASE)
        if delivery is None:
            return DeliveryOutcome.NOT_OURS
        with structlog.contextvars.bound_contextvars(
            tenant=delivery.tenant, month=str(delivery.month), outbox=outbox_id
        ):
            if delivery.left_behind:
                _tell_lost(delivery, "the process that sent it ended, or stood still, meanwhile")
            try:
                self.require(delivery.tenant)
                reply = self.mailer.send(delivery, partial(self._still_ours, now + SENDING_LEASE))
            except DeliveryRefused as error:
                self.outbox.refused(delivery, self.clock.now(), str(error))
                log.error("report_refused", reason=error.summary, remedy=error.remedy)
                return DeliveryOutcome.REFUSED
            except TrailkeeperError as error:
                due_at = self.clock.now() + _backoff(delivery.attempt)
                self.outbox.again_at(delivery, due_at, str(error))
                if isinstance(error, AcceptanceLost):
                    _tell_lost(delivery, error.summary)
                log.warning("delivery_postponed", reason=error.summary, due_at=due_at)
                return DeliveryOutcome.POSTPONED
            self.outbox.sent(delivery, self.clock.now(), reply)
            log.info("report_sent", recipients=len(delivery.recipients), reply=reply)
            return DeliveryOutcome.SENT

    def _still_ours(self, deadline: datetime) -> None:
        """Nothing is sent by a process that stood still until another one may have taken over."""
        if self.clock.now() >= deadline:
            raise LeaseLost(
                "this process stood still for longer than a delivery may take",
                "Nothing to do: whoever takes the delivery next carries on.",
            )


def _tell_lost(delivery: Delivery, reason: str) -> None:
    """An operator who is asked about two copies finds here why."""
    log.warning("acceptance_lost", reason=reason, message_id=delivery.message_id)


def _backoff(attempt: int) -> timedelta:
    return min(timedelta(minutes=2 ** min(attempt, 10)), LONGEST_BACKOFF)
