"""What every outbox promises, over SQLite and PostgreSQL: a report is sent once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.ledger_words import T0, at
from tests.contract.outbox_words import OCTOBER, RENDERED
from trailkeeper.errors import LeaseLost
from trailkeeper.model.report import Delivery
from trailkeeper.ports.outbox import Outbox
from trailkeeper.store.database import open_database
from trailkeeper.store.ledger import SqlLedger
from trailkeeper.store.outbox import SqlOutbox


@pytest.fixture
def outbox(database_url: str) -> Iterator[SqlOutbox]:
    opened = SqlOutbox(open_database(database_url))
    yield opened
    opened.close()


def queue(outbox: Outbox, tenant: str = "contoso", *, again: bool = False) -> int | None:
    to = ["a@contoso.example", "b@contoso.example"]
    return outbox.enqueue(tenant, OCTOBER, "<1@msp.example>", to, RENDERED, T0, again=again)


def taken(outbox: Outbox) -> Delivery:
    delivery = outbox.take(outbox.due(T0, 1)[0], T0, at(1))
    assert delivery is not None
    return delivery


def test_a_preliminary_report_does_not_count(outbox: Outbox) -> None:
    """It is queued once unless asked again, and the month's own report still follows, once."""
    words = ("contoso", OCTOBER, "<2@msp.example>", ("a@b.example",), RENDERED, T0)
    assert outbox.enqueue(*words, preliminary=True) is not None
    assert outbox.enqueue(*words, preliminary=True) is None
    assert outbox.enqueue(*words, preliminary=True, again=True) is not None
    assert outbox.reported("contoso", OCTOBER) is False
    assert queue(outbox) is not None
    assert outbox.reported("contoso", OCTOBER) is True
    assert queue(outbox) is None
    assert outbox.enqueue(*words, preliminary=True) is None


def test_a_delivery_carries_all_that_was_queued(outbox: Outbox) -> None:
    """What is taken is what was queued: recipients, paths, message id, month."""
    outbox_id = queue(outbox)
    assert outbox_id is not None
    assert outbox.take(outbox_id, T0, at(1)) == Delivery(
        outbox_id=outbox_id,
        tenant="contoso",
        month=OCTOBER,
        message_id="<1@msp.example>",
        recipients=("a@contoso.example", "b@contoso.example"),
        rendered=RENDERED,
        attempt=1,
        epoch=1,
    )


def test_a_month_is_queued_once(outbox: Outbox) -> None:
    """The same month again is refused, unless it is asked for; other tenants are not concerned."""
    first = queue(outbox)
    assert queue(outbox) is None
    again = queue(outbox, again=True)
    assert queue(outbox) is None
    assert len({first, again, queue(outbox, "fabrikam")}) == 3


def test_asking_again_works_for_a_month_never_queued(outbox: Outbox) -> None:
    """`again` on an empty outbox queues the first revision."""
    assert queue(outbox, again=True) is not None
    assert queue(outbox) is None


def test_reported_whatever_became_of_it(outbox: Outbox) -> None:
    """A month counts as reported from the moment it is queued, also when it was refused."""
    assert not outbox.reported("contoso", OCTOBER)
    queue(outbox)
    assert outbox.reported("contoso", OCTOBER)
    assert not outbox.reported("contoso", OCTOBER.next())
    outbox.refused(taken(outbox), T0, "550")
    assert outbox.reported("contoso", OCTOBER)


def test_sent_is_for_ever(outbox: Outbox) -> None:
    """A sent delivery is never due again; saying so twice changes nothing."""
    queue(outbox)
    delivery = taken(outbox)
    assert outbox.take(delivery.outbox_id, T0, at(1)) is None
    outbox.sent(delivery, T0, "250 ok")
    outbox.sent(delivery, T0, "250 ok")
    assert outbox.due(at(99), 9) == []
    assert outbox.take(delivery.outbox_id, at(99), at(100)) is None


def test_refused_is_for_ever(outbox: Outbox) -> None:
    """A refused delivery is not tried again, and cannot become sent."""
    queue(outbox)
    delivery = taken(outbox)
    outbox.refused(delivery, T0, "550 no such user")
    assert outbox.due(at(99), 9) == []
    with pytest.raises(LeaseLost):
        outbox.sent(delivery, T0, "250 ok")


def test_tried_again_later(outbox: Outbox) -> None:
    """After a passing failure: due at the said time, as the next attempt of the same message."""
    queue(outbox)
    first = taken(outbox)
    outbox.again_at(first, at(2), "451 try later")
    assert outbox.due(at(1), 9) == []
    assert outbox.take(first.outbox_id, at(1), at(3)) is None
    second = outbox.take(first.outbox_id, at(2), at(3))
    assert second is not None
    assert (second.attempt, second.message_id) == (2, first.message_id)


def test_hurried_by_somebody_who_asks(outbox: Outbox) -> None:
    """One that waits to be tried again is due at once; one that is being sent is left alone."""
    queue(outbox)
    first = taken(outbox)
    outbox.hurry(first.outbox_id, T0)
    assert outbox.take(first.outbox_id, T0, at(3)) is None
    outbox.again_at(first, at(2), "451 try later")
    outbox.hurry(first.outbox_id, at(1))
    assert outbox.due(at(1), 9) == [first.outbox_id]


def test_a_dead_senders_delivery_is_handed_out_again(outbox: Outbox) -> None:
    """Found sending after its deadline: same message id, next attempt, and the late are fenced."""
    queue(outbox)
    dead = taken(outbox)
    assert outbox.due(at(0.5), 9) == []
    assert outbox.due(at(1), 9) == [dead.outbox_id]
    next_one = outbox.take(dead.outbox_id, at(1), at(2))
    assert next_one is not None
    assert (next_one.attempt, next_one.epoch) == (2, 2)
    assert next_one.message_id == dead.message_id
    for late in (
        lambda: outbox.sent(dead, at(1), ""),
        lambda: outbox.again_at(dead, at(1), ""),
        lambda: outbox.refused(dead, at(1), ""),
    ):
        with pytest.raises(LeaseLost):
            late()
    outbox.sent(next_one, at(1), "250 ok")


def test_the_longest_due_first(outbox: Outbox) -> None:
    """Deliveries come in the order in which they became due, at most `limit`."""
    ids = [queue(outbox, tenant) for tenant in ("a", "b", "c")]
    outbox.again_at(taken(outbox), at(1), "451")
    assert outbox.due(at(1), 9) == [ids[1], ids[2], ids[0]]
    assert outbox.due(at(1), 2) == [ids[1], ids[2]]


def test_a_forgotten_tenants_mail_is_not_sent(outbox: SqlOutbox, database_url: str) -> None:
    """Forgetting a tenant empties its outbox too."""
    queue(outbox)
    ledger = SqlLedger(open_database(database_url))
    ledger.forget_tenant("contoso")
    ledger.close()
    assert outbox.due(at(1), 9) == []
    assert not outbox.reported("contoso", OCTOBER)
