"""What every mail transport promises. Inherit, and give a fixture `case`:

class TestToy(MailerContract):
    @pytest.fixture
    def case(self) -> MailerCase: ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.message import EmailMessage

import pytest

from tests.contract.ledger_words import T0
from trailkeeper.errors import DeliveryRefused, LeaseLost, Transient, Unavailable
from trailkeeper.model.report import Attachment, Delivery, Month, Rendered
from trailkeeper.ports.mail import Mailer

DELIVERY = Delivery(
    outbox_id=7,
    tenant="contoso",
    month=Month(2026, 10),
    message_id="<contoso.2026-10.1@msp.example>",
    recipients=("security@contoso.example", "ciso@contoso.example"),
    rendered=Rendered("", "Audit report “October”", "<p>ü</p>", "ü", (), (), T0),
    attempt=1,
    epoch=1,
)


@dataclass
class MailerCase:
    """A transport, what its server kept, and ways to trouble the server."""

    mailer: Mailer
    kept: Callable[[], list[EmailMessage]]
    accept: Callable[[], None]
    wait: Callable[[], None]
    """from now on the server takes nothing for the moment"""
    refuse: Callable[[], None]
    """from now on the server refuses for good"""
    away: Callable[[], None]
    """from now on there is no server"""

    def send(self, delivery: Delivery = DELIVERY) -> str:
        return self.mailer.send(delivery, lambda: None)


class MailerContract:
    """The suite."""

    def test_a_message_is_handed_over_and_the_reply_returned(self, case: MailerCase) -> None:
        """To all recipients in one message, under the delivery's own id."""
        assert case.send()
        (kept,) = case.kept()
        assert kept["Message-ID"] == DELIVERY.message_id
        assert all(recipient in kept["To"] for recipient in DELIVERY.recipients)
        assert kept["Subject"] == DELIVERY.rendered.subject

    def test_what_may_pass_is_transient_and_the_next_try_is_the_same(
        self, case: MailerCase
    ) -> None:
        """Nothing was taken; later the very same message is."""
        case.wait()
        with pytest.raises(Transient):
            case.send()
        assert case.kept() == []
        case.accept()
        case.send(replace(DELIVERY, attempt=2, epoch=2))
        case.send(replace(DELIVERY, attempt=3, epoch=3))
        second, third = case.kept()
        assert second.as_bytes() == third.as_bytes()
        assert second["Message-ID"] == DELIVERY.message_id

    def test_what_will_not_pass_is_refused_with_a_remedy(self, case: MailerCase) -> None:
        """The outbox gives up a refused one, so the error says how it is sent again."""
        case.refuse()
        with pytest.raises(DeliveryRefused) as caught:
            case.send()
        assert "--month 2026-10 --send" in caught.value.remedy
        assert case.kept() == []

    def test_a_file_that_is_gone_is_a_refusal(self, case: MailerCase) -> None:
        """No try mends a report whose attachment was deleted."""
        gone = Attachment("/nowhere/records.zip", "application/zip")
        rendered = replace(DELIVERY.rendered, attachments=(gone,))
        with pytest.raises(DeliveryRefused):
            case.send(replace(DELIVERY, rendered=rendered))
        assert case.kept() == []

    def test_what_ends_the_try_passes_through_and_nothing_is_sent(self, case: MailerCase) -> None:
        """`still_ours` is asked before the message goes: after it, nobody could call it back."""
        error = LeaseLost("taken over")

        def taken_over() -> None:
            raise error

        with pytest.raises(LeaseLost) as caught:
            case.mailer.send(DELIVERY, taken_over)
        assert caught.value is error
        assert case.kept() == []

    def test_a_server_that_is_away_is_transient(self, case: MailerCase) -> None:
        """Nothing went wrong with the report."""
        case.away()
        with pytest.raises(Transient):
            case.send()

    def test_the_check_says_one_line_or_what_to_do(self, case: MailerCase) -> None:
        """It sends nothing, and ends in `Unavailable` with a remedy where there is no server."""
        assert "\n" not in case.mailer.check()
        assert case.kept() == []
        case.away()
        with pytest.raises(Unavailable) as caught:
            case.mailer.check()
        assert caught.value.remedy
