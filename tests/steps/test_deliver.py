"""One report is handed to the mail server: once, again after a while, or never again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.clocks import HandClock
from tests.contract.outbox_words import OCTOBER, RENDERED
from trailkeeper.errors import (
    AcceptanceLost,
    DeliveryRefused,
    LeaseLost,
    TrailkeeperError,
    Transient,
)
from trailkeeper.model.report import Delivery
from trailkeeper.steps.deliver import DeliverStep, DeliveryOutcome
from trailkeeper.store.database import open_database
from trailkeeper.store.outbox import SqlOutbox

T0 = datetime.fromisoformat("2026-11-02T06:00:00+00:00")
MINUTE = timedelta(minutes=1)
DOWN = Transient("the mail server does not answer")


@dataclass
class Server:
    """Takes every message, or answers with the errors that it was given first."""

    errors: list[TrailkeeperError] = field(default_factory=list)
    seen: list[Delivery] = field(default_factory=list)

    def send(self, delivery: Delivery, still_ours: Callable[[], None]) -> str:
        still_ours()
        self.seen.append(delivery)
        if self.errors:
            raise self.errors.pop(0)
        return "250 taken"

    def check(self) -> str:
        return "a server"


class Post:
    """An outbox with one report in it, and the step that delivers it."""

    def __init__(self, outbox: SqlOutbox, errors: Sequence[TrailkeeperError] = ()) -> None:
        self.outbox = outbox
        self.clock = HandClock(T0)
        self.server = Server(list(errors))
        self.step = DeliverStep(outbox, self.server, self.clock)
        queued = outbox.enqueue(
            "contoso", OCTOBER, "<1@msp.example>", ["a@b.example"], RENDERED, T0
        )
        assert queued is not None
        self.id = queued

    def due_after(self) -> timedelta:
        """How long from now on until the report is due again; to the minute."""
        now = self.clock.now()
        return MINUTE * bisect_left(
            range(10_000),
            True,
            key=lambda minutes: bool(self.outbox.due(now + minutes * MINUTE, 9)),
        )


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[SqlOutbox]:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    opened = SqlOutbox(open_database(url))
    yield opened
    opened.close()


def test_a_report_is_sent_once(outbox: SqlOutbox) -> None:
    """A second message of the queue finds nothing to do, however late it comes."""
    post = Post(outbox)
    with capture_logs(processors=[merge_contextvars]) as said:
        assert post.step(post.id) is DeliveryOutcome.SENT
    (line,) = said
    assert (line["event"], line["tenant"], line["month"]) == ("report_sent", "contoso", "2026-10")
    assert (line["recipients"], line["reply"]) == (1, "250 taken")
    for later in (timedelta(), timedelta(days=9)):
        post.clock.time = T0 + later
        assert post.step(post.id) is DeliveryOutcome.NOT_OURS
    assert len(post.server.seen) == 1


def test_waits_grow_from_two_minutes_to_four_hours(outbox: SqlOutbox) -> None:
    """Each try that fails doubles the wait; the longest is four hours, as often as it takes."""
    post = Post(outbox, [DOWN] * 12)
    waits = []
    for _ in range(12):
        assert post.step(post.id) is DeliveryOutcome.POSTPONED
        waits.append(post.due_after())
        post.clock.time += waits[-1]
    assert waits == [n * MINUTE for n in (2, 4, 8, 16, 32, 64, 128, 240, 240, 240, 240, 240)]
    assert post.step(post.id) is DeliveryOutcome.SENT
    assert {delivery.message_id for delivery in post.server.seen} == {"<1@msp.example>"}
    assert [delivery.attempt for delivery in post.server.seen] == list(range(1, 14))


def test_a_postponed_report_says_why_and_until_when(outbox: SqlOutbox) -> None:
    """One line of the log, with the server's trouble and the next try."""
    post = Post(outbox, [DOWN])
    with capture_logs() as said:
        post.step(post.id)
    (line,) = said
    assert (line["event"], line["reason"]) == ("delivery_postponed", DOWN.summary)
    assert line["due_at"] == T0 + 2 * MINUTE


def test_a_delivery_whose_worker_died_is_taken_after_ten_minutes(outbox: SqlOutbox) -> None:
    """Not before: one conversation with a mail server may take that long."""

    class DiedError(BaseException):
        pass

    class Died(Server):
        def send(self, delivery: Delivery, still_ours: Callable[[], None]) -> str:
            raise DiedError

    post = Post(outbox)
    with pytest.raises(DiedError):
        DeliverStep(outbox, Died(), post.clock)(post.id)
    assert post.due_after() == 10 * MINUTE
    post.clock.time = T0 + 9 * MINUTE
    assert post.step(post.id) is DeliveryOutcome.NOT_OURS
    post.clock.time = T0 + 10 * MINUTE
    with capture_logs() as said:
        assert post.step(post.id) is DeliveryOutcome.SENT
    assert [line["event"] for line in said] == ["acceptance_lost", "report_sent"]


def test_whoever_stood_still_past_the_lease_sends_nothing(outbox: SqlOutbox) -> None:
    """Another worker has taken the delivery over: what wakes up between take and message gives
    way, whether or not that one has sent it already."""
    post = Post(outbox)

    class Sleeper(Server):
        def send(self, delivery: Delivery, still_ours: Callable[[], None]) -> str:
            post.clock.time = T0 + 11 * MINUTE
            assert post.step(post.id) is DeliveryOutcome.SENT
            return super().send(delivery, still_ours)

    sleeper = Sleeper()
    with pytest.raises(LeaseLost):
        DeliverStep(outbox, sleeper, post.clock)(post.id)
    assert (len(post.server.seen), len(sleeper.seen)) == (1, 0)


def test_a_refused_report_is_not_tried_again(outbox: SqlOutbox) -> None:
    """A person has to act, and is told what to do."""
    post = Post(outbox, [DeliveryRefused("no such mailbox", "Correct the recipients.")])
    with capture_logs() as said:
        assert post.step(post.id) is DeliveryOutcome.REFUSED
    (line,) = said
    assert (line["event"], line["log_level"]) == ("report_refused", "error")
    assert (line["reason"], line["remedy"]) == ("no such mailbox", "Correct the recipients.")
    assert outbox.due(T0 + timedelta(days=9), 9) == []
    assert post.step(post.id) is DeliveryOutcome.NOT_OURS


def test_a_lost_acceptance_is_told(outbox: SqlOutbox) -> None:
    """The server may have taken the message: an operator who sees two copies finds the reason."""
    post = Post(outbox, [AcceptanceLost("the connection ended before the reply")])
    with capture_logs() as said:
        assert post.step(post.id) is DeliveryOutcome.POSTPONED
    assert [line["event"] for line in said] == ["acceptance_lost", "delivery_postponed"]
    assert said[0]["reason"] == "the connection ended before the reply"


def test_nothing_is_sent_for_a_tenant_that_is_refused(outbox: SqlOutbox) -> None:
    """Whoever is asked first may stop a delivery: its records may be another customer's."""

    def refuse(tenant: str) -> None:
        raise Transient(f"{tenant} is somebody else by now")

    post = Post(outbox)
    step = DeliverStep(outbox, post.server, post.clock, refuse)
    assert step(post.id) is DeliveryOutcome.POSTPONED
    assert post.server.seen == []
