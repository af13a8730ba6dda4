from __future__ import annotations

import base64
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
import structlog

from tests.mail.reports import MONTH, figures, month_report, write_csv
from tests.servers.mailbox import Faults, Mailbox, mailbox
from trailkeeper.errors import (
    AcceptanceLost,
    ConfigurationError,
    DeliveryRefused,
    TrailkeeperError,
    Transient,
    Unavailable,
)
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.mail.smtp import PATIENT_TRIES, SmtpMailer
from trailkeeper.model.report import Delivery, Rendered
from trailkeeper.settings import GraphMailSettings, MailSettings, SmtpSettings

ONE, TWO = "security@contoso.example", "ciso@contoso.example"
SECRETS = {"env:MAIL_USER": "audit", "env:MAIL_PASSWORD": "pw-canary-5f1d"}
LOGIN = (SECRETS["env:MAIL_USER"], SECRETS["env:MAIL_PASSWORD"])

Security = Literal["none", "starttls", "tls"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("report")
    return ReportRenderer().render(month_report(figures()), folder, write_csv)


def _delivery(rendered: Rendered, *recipients: str, attempt: int = 1) -> Delivery:
    return Delivery(
        outbox_id=7,
        tenant="contoso",
        month=MONTH,
        message_id="<contoso.2026-10.1@msp.example>",
        recipients=recipients or (ONE,),
        rendered=rendered,
        attempt=attempt,
        epoch=attempt,
    )


def _mailer(
    port: int, security: Security = "none", *, login: bool = False, bundle: Path | None = None
) -> SmtpMailer:
    smtp = SmtpSettings(
        host="127.0.0.1",
        port=port,
        security=security,
        username="env:MAIL_USER" if login else None,
        password="env:MAIL_PASSWORD" if login else None,
        ca_bundle=bundle,
        timeout=timedelta(seconds=20),
    )
    settings = MailSettings(sender="Audit <audit@msp.example>", smtp=smtp)
    return SmtpMailer(settings, SECRETS.__getitem__)


def _refused(
    rendered: Rendered, faults: Faults, *recipients: str, attempt: int = 1
) -> tuple[TrailkeeperError, Mailbox]:
    """Send once into a server with `faults`; the error, and what the server saw."""
    delivery = _delivery(rendered, *recipients, attempt=attempt)
    with mailbox(faults=faults) as box, pytest.raises(TrailkeeperError) as caught:
        _mailer(box.port).send(delivery)
    return caught.value, box


@contextmanager
def _raw_server(*lines: bytes) -> Iterator[int]:
    """A port that says `lines` to whoever connects first, one for each thing it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for line in lines:
                    connection.sendall(line)
                    if not connection.recv(4096):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(timeout=20)


# --- the ways to connect -----------------------------------------------------------------------


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("login", [False, True])
def test_message_arrives_over_each_kind_of_connection(
    rendered: Rendered, security: Security, login: bool
) -> None:
    """Plain, STARTTLS and TLS, with and without a login: one message, encrypted where asked."""
    with mailbox(security, LOGIN if login else None) as box:
        mailer = _mailer(box.port, security, login=login, bundle=box.ca_bundle)
        reply = mailer.send(_delivery(rendered, ONE, TWO))
    assert reply == "250 2.0.0 kept as 1"
    (kept,) = box.kept
    assert kept.encrypted is (security != "none")
    assert (kept.sender, kept.recipients) == ("audit@msp.example", (ONE, TWO))
    assert kept.message["Subject"] == rendered.subject
    assert box.seen["AUTH"] == int(login)


def test_server_hears_the_senders_domain_not_the_machines_name(rendered: Rendered) -> None:
    """EHLO names the domain of the sender: the machine's own name is nobody's business."""
    with mailbox() as box:
        _mailer(box.port).send(_delivery(rendered))
    assert box.kept[0].helo == "msp.example"


def test_login_outside_ascii_works(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password with umlauts is sent as UTF-8."""
    monkeypatch.setitem(SECRETS, "env:MAIL_PASSWORD", "pässwörd")
    with mailbox("starttls", (LOGIN[0], "pässwörd")) as box:
        _mailer(box.port, "starttls", login=True, bundle=box.ca_bundle).send(_delivery(rendered))
    assert len(box.kept) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_unknown_authority_stops_before_login(rendered: Rendered, security: Security) -> None:
    """A certificate that nobody vouches for gets neither password nor report."""
    with mailbox(security, LOGIN) as box, pytest.raises(Transient) as caught:
        _mailer(box.port, security, login=True).send(_delivery(rendered))
    assert "not trusted" in caught.value.summary
    assert "ca_bundle" in caught.value.remedy
    assert not box.seen["AUTH"]


def test_certificate_for_another_name_is_not_trusted(rendered: Rendered) -> None:
    """The right authority with the wrong name is refused too."""
    with (
        mailbox("tls", certificate_for="other.example") as box,
        pytest.raises(Transient, match="not trusted"),
    ):
        _mailer(box.port, "tls", bundle=box.ca_bundle).send(_delivery(rendered))


def test_server_without_starttls_gets_nothing(rendered: Rendered) -> None:
    """When STARTTLS is configured and not offered, nothing is sent in the clear."""
    with mailbox() as box, pytest.raises(Transient) as caught:
        _mailer(box.port, "starttls").send(_delivery(rendered))
    assert "does not offer" in caught.value.summary
    assert not box.seen["MAIL"]


def test_unreadable_ca_bundle_is_a_fault_of_the_configuration(
    rendered: Rendered, tmp_path: Path
) -> None:
    """A bundle that is not there is named, with what to put there."""
    with mailbox("tls") as box, pytest.raises(ConfigurationError, match="ca_bundle"):
        _mailer(box.port, "tls", bundle=tmp_path / "absent.pem").send(_delivery(rendered))


# --- faults ------------------------------------------------------------------------------------


def test_greylisted_message_is_tried_again_with_the_same_id(rendered: Rendered) -> None:
    """451 is transient, carries its code, and the second try is accepted unchanged."""
    faults = Faults(at_rcpt={ONE: ["451 4.7.1 Greylisted, try again in 300 seconds"]})
    with mailbox(faults=faults) as box:
        mailer = _mailer(box.port)
        with pytest.raises(Transient, match="Greylisted") as caught:
            mailer.send(_delivery(rendered))
        assert caught.value.code == "451 4.7.1"
        mailer.send(_delivery(rendered, attempt=2))
    assert [kept.message["Message-ID"] for kept in box.kept] == ["<contoso.2026-10.1@msp.example>"]


@pytest.mark.parametrize("stage", ["at_mail", "at_data"])
def test_fours_are_transient_and_fives_final_at_every_stage(rendered: Rendered, stage: str) -> None:
    """MAIL and DATA follow the same rule as RCPT, and the server's sentence is kept."""
    error, _ = _refused(rendered, Faults(**{stage: ["452 4.3.1 Out of space"]}))
    assert type(error) is Transient
    assert "Out of space" in error.summary
    error, _ = _refused(rendered, Faults(**{stage: ["554 5.7.1 Looks like spam"]}))
    assert type(error) is DeliveryRefused
    assert "554 5.7.1 Looks like spam" in error.summary
    assert "--tenant contoso --month 2026-10 --send" in error.remedy


def test_unknown_recipient_is_final_and_points_to_the_configuration(rendered: Rendered) -> None:
    """550 5.1.1 for the only recipient: refused, with the key to correct."""
    error, box = _refused(rendered, Faults(at_rcpt={ONE: ["550 5.1.1 No such user"]}))
    assert type(error) is DeliveryRefused
    assert error.code == "550 5.1.1"
    assert "[report].to" in error.remedy
    assert not box.kept


def test_end_of_basic_authentication_has_its_own_remedy(rendered: Rendered) -> None:
    """550 5.7.30 tells to use another relay or Graph; meanwhile the report waits."""
    sentence = "550 5.7.30 Basic authentication is not supported for Client Submission!"
    faults = Faults(at_auth=[sentence])
    with mailbox("starttls", LOGIN, faults) as box, pytest.raises(Transient) as caught:
        _mailer(box.port, "starttls", login=True, bundle=box.ca_bundle).send(_delivery(rendered))
    assert caught.value.code == "550 5.7.30"
    assert "no longer takes a password" in caught.value.remedy


def test_one_refused_recipient_does_not_cost_the_others_their_report(rendered: Rendered) -> None:
    """The accepted get the message; the reply and the log name who did not."""
    faults = Faults(at_rcpt={TWO: ["550 5.1.1 No such user"]})
    with mailbox(faults=faults) as box, structlog.testing.capture_logs() as logs:
        reply = _mailer(box.port).send(_delivery(rendered, ONE, TWO))
    assert box.kept[0].recipients == (ONE,)
    assert reply == f"250 2.0.0 kept as 1; not delivered to {TWO} (550 5.1.1 No such user)"
    assert [(log["event"], log["recipient"]) for log in logs] == [("recipient_refused", TWO)]


def test_recipient_that_is_no_address_is_left_out_and_named(rendered: Rendered) -> None:
    """A typing error in one address reaches no server and stops nobody else."""
    with mailbox() as box:
        reply = _mailer(box.port).send(_delivery(rendered, ONE, "a@b.example\r\nRCPT TO:<c@d>"))
    assert box.kept[0].recipients == (ONE,)
    assert box.seen["RCPT"] == 1
    assert "not delivered to a@b.example RCPT TO:<c@d>" in reply


@pytest.mark.parametrize("recipients", [("nobody",), ("nobody", "")])
def test_report_without_a_usable_recipient_is_refused_unsent(
    rendered: Rendered, recipients: tuple[str, ...]
) -> None:
    """No server is troubled when there is nobody to write to."""
    error, box = _refused(rendered, Faults(), *recipients)
    assert type(error) is DeliveryRefused
    assert "tenants/contoso.toml" in error.remedy
    assert not box.seen


def test_message_waits_for_a_greylisted_recipient_then_goes_without(rendered: Rendered) -> None:
    """While it is young nobody gets the message alone; later the others stop waiting."""
    faults = Faults(at_rcpt={TWO: ["452 4.2.2 Mailbox full!"]})
    with mailbox(faults=faults) as box:
        mailer = _mailer(box.port)
        with pytest.raises(Transient, match="Mailbox full"):
            mailer.send(_delivery(rendered, ONE, TWO, attempt=PATIENT_TRIES))
        assert not box.kept
        reply = mailer.send(_delivery(rendered, ONE, TWO, attempt=PATIENT_TRIES + 1))
    assert box.kept[0].recipients == (ONE,)
    assert f"not delivered to {TWO} (452 4.2.2 Mailbox full)" in reply


def test_connection_cut_before_data_is_transient(rendered: Rendered) -> None:
    """Nothing was handed over; it is tried again."""
    error, box = _refused(rendered, Faults(drop_before_data=1))
    assert type(error) is Transient
    assert not box.kept


def test_connection_cut_after_data_repeats_the_same_bytes(rendered: Rendered) -> None:
    """When the outcome is unknown the second copy can be recognised: it is identical."""
    with mailbox(faults=Faults(drop_after_data=1)) as box:
        mailer = _mailer(box.port)
        with pytest.raises(AcceptanceLost, match="connection"):
            mailer.send(_delivery(rendered))
        mailer.send(_delivery(rendered, attempt=2))
    first, second = box.kept
    assert first.content == second.content


def test_nobody_listening_is_transient(rendered: Rendered) -> None:
    """A refused connection names server and keys to check."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Transient, match=f"127.0.0.1:{port}") as caught:
        _mailer(port).send(_delivery(rendered))
    assert "[mail].smtp" in caught.value.remedy


def test_server_that_closes_for_the_day_is_transient(rendered: Rendered) -> None:
    """421 in the greeting or at any recipient ends this try only."""
    with _raw_server(b"421 4.3.2 Shutting down\r\n") as port, pytest.raises(Transient):
        _mailer(port).send(_delivery(rendered))
    error, _ = _refused(rendered, Faults(at_rcpt={ONE: ["421 4.3.2 Shutting down"]}), ONE, TWO)
    assert type(error) is Transient


def test_something_that_speaks_no_smtp_is_transient(rendered: Rendered) -> None:
    """A web server at the port ends in a sentence, not in a traceback."""
    with _raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(Transient):
        _mailer(port).send(_delivery(rendered))


def test_message_above_the_servers_limit_is_refused_with_a_remedy(rendered: Rendered) -> None:
    """The size is enqueued, so that the server can refuse before the bytes are sent."""
    with mailbox(size_limit=20_000) as box, pytest.raises(DeliveryRefused) as caught:
        _mailer(box.port).send(_delivery(rendered))
    assert "too large" in caught.value.remedy
    assert not box.seen["DATA"]


# --- secrets -----------------------------------------------------------------------------------


def test_refused_login_shows_no_secret(rendered: Rendered) -> None:
    """Neither error nor traceback holds the password, even when the server repeats it."""
    password = LOGIN[1]
    plain = base64.b64encode(f"\0{LOGIN[0]}\0{password}".encode()).decode()
    faults = Faults(at_auth=[f"535 5.7.8 Bad login {plain} {password}!"])
    with mailbox("tls", LOGIN, faults) as box, pytest.raises(Transient) as caught:
        _mailer(box.port, "tls", login=True, bundle=box.ca_bundle).send(_delivery(rendered))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert password not in shown
    assert plain not in shown
    assert "username and password" in caught.value.remedy


def test_servers_sentence_is_cleaned_and_bounded(rendered: Rendered) -> None:
    """Escape sequences and endless lines of a server do not reach logs or terminals."""
    hostile = "554 5.7.1 \x1b[31mred\u202e " + "x" * 400
    error, _ = _refused(rendered, Faults(at_mail=[hostile]))
    assert "\x1b" not in error.summary
    assert "\u202e" not in error.summary
    assert len(error.summary) < 400


# --- check and construction --------------------------------------------------------------------


def test_check_logs_in_and_says_how_the_server_was_reached() -> None:
    """One line with server, TLS version and login; no message is begun."""
    with mailbox("starttls", LOGIN) as box:
        line = _mailer(box.port, "starttls", login=True, bundle=box.ca_bundle).check()
    assert line == f"127.0.0.1:{box.port} answers (TLSv1.3, logged in): 250 2.0.0 OK"
    assert box.seen["AUTH"] == box.seen["NOOP"] == 1
    assert not box.seen["MAIL"]


def test_check_of_a_plain_server_says_that_nothing_is_encrypted() -> None:
    """Without TLS and login the line says so."""
    with mailbox() as box:
        assert "(no TLS, no login)" in _mailer(box.port).check()


def test_failed_check_is_unavailable_with_the_remedy() -> None:
    """A refused login and a dead port both end in `Unavailable` that says what to do."""
    with mailbox("tls", ("audit", "another")) as box, pytest.raises(Unavailable) as caught:
        _mailer(box.port, "tls", login=True, bundle=box.ca_bundle).check()
    assert "username and password" in caught.value.remedy
    with pytest.raises(Unavailable) as caught:
        _mailer(box.port).check()
    assert "[mail].smtp" in caught.value.remedy


@pytest.mark.parametrize("sender", ["", "audit", "a@b.example\r\nBcc: c@d.example"])
def test_sender_that_is_no_address_is_refused_at_construction(sender: str) -> None:
    """A wrong sender stops the start, not the month's end: the settings refuse it, and a transport
    that is built without them as well."""
    smtp = SmtpSettings(host="127.0.0.1", port=25, security="none")
    with pytest.raises(ValueError, match="mail address"):
        MailSettings(sender=sender, smtp=smtp)
    unchecked = MailSettings.model_construct(sender=sender, smtp=smtp)
    with pytest.raises(ConfigurationError, match="sender"):
        SmtpMailer(unchecked, SECRETS.__getitem__)


def test_settings_for_graph_are_not_for_smtp() -> None:
    """The wrong table in the configuration is named."""
    settings = MailSettings(
        sender="a@b.example", graph=GraphMailSettings(tenant="msp", mailbox="a@b.example")
    )
    with pytest.raises(ConfigurationError, match="smtp"):
        SmtpMailer(settings, SECRETS.__getitem__)
