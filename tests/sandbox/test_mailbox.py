"""The SMTP mailbox, asked by smtplib."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from sandbox import Sandbox


def letter(subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@lab.example", "b@lab.example", subject
    message.set_content("Grüße")
    return message


def kept(box: Sandbox) -> list[Message]:
    return [message_from_bytes(path.read_bytes()) for path in box.control.mail()]


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path, tenants=[]) as box:
        yield box


def test_keeps_what_it_receives(mail: Sandbox) -> None:
    """A message is one .eml file with its envelope, and no draft stays behind."""
    with smtplib.SMTP("127.0.0.1", mail["smtp_port"]) as client:
        client.send_message(letter("one"), to_addrs=["b@lab.example", "c@lab.example"])
    message = kept(mail)[0]
    assert message["Subject"] == "one"
    assert message.get_all("X-Sandbox-To") == ["b@lab.example", "c@lab.example"]
    assert [path.suffix for path in Path(mail["mailbox"]).iterdir()] == [".eml"]


def test_refusal_on_demand(mail: Sandbox) -> None:
    """A set fault answers 451 once and keeps nothing; the next try is accepted."""
    mail.control.set_fault("smtp_reply", code=451)
    with smtplib.SMTP("127.0.0.1", mail["smtp_port"]) as client:
        with pytest.raises(smtplib.SMTPDataError):
            client.send_message(letter("one"))
        client.send_message(letter("two"))
    assert [message["Subject"] for message in kept(mail)] == ["two"]


@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_refusal_at_other_stages(mail: Sandbox, stage: str) -> None:
    """A refusal can come already at MAIL FROM or RCPT TO."""
    mail.control.set_fault("smtp_reply", code=550, stage=stage)
    wanted = smtplib.SMTPSenderRefused if stage == "mail" else smtplib.SMTPRecipientsRefused
    with smtplib.SMTP("127.0.0.1", mail["smtp_port"]) as client, pytest.raises(wanted):
        client.send_message(letter("one"))
    assert kept(mail) == []


def test_drop_after_acceptance(mail: Sandbox) -> None:
    """The connection can drop after the message was kept, so that the sender cannot know."""
    mail.control.set_fault("smtp_drop_after_data")
    with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):  # noqa: SIM117
        with smtplib.SMTP("127.0.0.1", mail["smtp_port"]) as client:
            client.send_message(letter("one"))
    assert len(kept(mail)) == 1


def test_starttls_and_login(tmp_path: Path) -> None:
    """With STARTTLS and a login, plain sending and a wrong password are refused."""
    with Sandbox(
        tmp_path, tenants=[], smtp_security="starttls", smtp_login=("me", "secret")
    ) as box:
        context = ssl.create_default_context(cafile=box.ca)
        with smtplib.SMTP("127.0.0.1", box["smtp_port"]) as client:
            with pytest.raises(smtplib.SMTPException):
                client.send_message(letter("plain"))
            client.starttls(context=context)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("me", "wrong")
        with smtplib.SMTP("127.0.0.1", box["smtp_port"]) as client:
            client.starttls(context=context)
            client.login("me", "secret")
            client.send_message(letter("safe"))
        assert [message["Subject"] for message in kept(box)] == ["safe"]


def test_implicit_tls(tmp_path: Path) -> None:
    """With `tls` the connection is encrypted from its first byte."""
    with Sandbox(tmp_path, tenants=[], smtp_security="tls") as box:
        context = ssl.create_default_context(cafile=box.ca)
        with smtplib.SMTP_SSL("127.0.0.1", box["smtp_port"], context=context) as client:
            client.send_message(letter("safe"))
        assert len(kept(box)) == 1
