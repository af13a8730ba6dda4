"""The suite of mail transports, over the toy and over SMTP to a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

import pytest

from tests.contract.mailer import MailerCase, MailerContract
from tests.plugins.toy_mailer import ToyMailer
from tests.servers.mailbox import mailbox
from trailkeeper.mail.smtp import SmtpMailer
from trailkeeper.settings import MailSettings, SmtpSettings


class TestToy(MailerContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> MailerCase:
        folder, away = tmp_path / "shelf", tmp_path / "cellar"
        folder.mkdir()

        def kept() -> list[EmailMessage]:
            return [_parsed(path.read_bytes()) for path in sorted(folder.glob("*.eml"))]

        return MailerCase(
            ToyMailer("audit@msp.example", folder),
            kept,
            accept=lambda: _moved(away, folder),
            wait=lambda: _moved(folder, away),
            refuse=(folder / "closed").touch,
            away=lambda: _moved(folder, away),
        )


def _moved(path: Path, to: Path) -> None:
    path.rename(to)


def _parsed(content: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(content, policy=default))


class TestSmtp(MailerContract):
    @pytest.fixture
    def case(self) -> Iterator[MailerCase]:
        with ExitStack() as server:
            box = server.enter_context(mailbox())
            smtp = SmtpSettings(
                host="127.0.0.1", port=box.port, security="none", timeout=timedelta(seconds=20)
            )
            replies = box.faults.at_data
            yield MailerCase(
                SmtpMailer(MailSettings(sender="audit@msp.example", smtp=smtp), str),
                lambda: [each.message for each in box.kept],
                accept=replies.clear,
                wait=lambda: replies.append("451 4.3.2 not now!"),
                refuse=lambda: replies.append("554 5.7.1 never!"),
                away=server.close,
            )
