"""A mail transport that nobody needs, as a newcomer would add it: messages lie in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trailkeeper.errors import DeliveryRefused, Transient, Unavailable
from trailkeeper.mail.message import compose, resend
from trailkeeper.model.report import Delivery
from trailkeeper.settings.addresses import Mailbox


class ToyMailer:
    """Implements `ports.mail.Mailer`. The folder is the service: gone, it does not answer; with a
    file `closed` in it, it takes nothing any more."""

    def __init__(self, sender: str, folder: Path) -> None:
        self._sender = Mailbox.parse(sender)
        self._folder = folder

    def send(self, delivery: Delivery, still_ours: Callable[[], None]) -> str:
        content = compose(delivery, self._sender, [*map(Mailbox.parse, delivery.recipients)])
        if not self._folder.is_dir():
            raise Transient("the shelf is away", "It is tried again.")
        if (self._folder / "closed").exists():
            raise DeliveryRefused("the shelf is closed", resend(delivery))
        still_ours()
        (self._folder / f"{delivery.outbox_id}-{delivery.attempt}.eml").write_bytes(content)
        return "put on the shelf"

    def check(self) -> str:
        if not self._folder.is_dir():
            raise Unavailable(f"there is no {self._folder}", "Put up the shelf.")
        return f"{self._folder} takes mail"
