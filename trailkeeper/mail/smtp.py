"""Mail over SMTP: one connection a message, verified TLS, and every reply turned into our errors.

`smtplib` is used here and nowhere else. Replies in the 400s and every trouble with the connection
are `Transient`; replies in the 500s are `DeliveryRefused` (RFC 5321, section 4.2.1). When the
connection breaks after the message was handed over, nobody knows whether it was accepted: it is
sent again with the same Message-ID, so that a receiver recognises the copy.
"""

from __future__ import annotations

import base64
import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from trailkeeper.errors import (
    AcceptanceLost,
    ConfigurationError,
    DeliveryRefused,
    Transient,
    Unavailable,
)
from trailkeeper.mail.message import compose, resend
from trailkeeper.mail.replies import SENT_AGAIN, Reply, remedy_for
from trailkeeper.mail.wording import shown
from trailkeeper.model.report import Delivery
from trailkeeper.process.crash_points import durable
from trailkeeper.settings import MailSettings, SmtpSettings
from trailkeeper.settings.addresses import AddressError, Mailbox

_log = structlog.get_logger(__name__)

PATIENT_TRIES = 6
"""tries for which a recipient who is refused for the moment (greylisting, a full mailbox) holds
back the message for all; after them the others get it, and the reply names who did not"""

SLOWEST_UPLOAD = 100_000
"""bytes a second that a working connection takes; the largest report is through in four minutes"""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One recipient that the server, or our own check, would not take."""

    recipient: str
    reply: Reply

    def __str__(self) -> str:
        return f"{self.recipient} ({self.reply})"


class SmtpMailer:
    """Implements `ports.mail.Mailer`. `secret` resolves a reference at the moment of use.

    Raises `ConfigurationError` for a sender that is no address. Nothing connects before `send`.
    """

    def __init__(self, settings: MailSettings, secret: Callable[[str], str]) -> None:
        if settings.smtp is None:
            raise ConfigurationError("[mail] has no smtp = {…}", "Add it to trailkeeper.toml.")
        try:
            self._sender = Mailbox.parse(settings.sender)
        except AddressError as error:
            raise ConfigurationError(
                f"[mail].sender = {shown(settings.sender)!r} cannot send mail: {error}",
                "Write one address, for example audit@msp.example.",
            ) from None
        self._smtp = settings.smtp
        self._secret = secret

    @property
    def _server(self) -> str:
        return f"{self._smtp.host}:{self._smtp.port}"

    def send(self, delivery: Delivery, still_ours: Callable[[], None] = lambda: None) -> str:
        """Hand over one message; the server's last reply, and who was refused, if anybody.

        Raises `Transient`, `DeliveryRefused`, and `ConfigurationError` for a missing secret.
        """
        recipients, refusals = _checked(delivery)
        content = compose(delivery, self._sender, recipients)
        with self._translated(resend(delivery)), self._session() as session:
            refused = self._addressed(session, delivery, recipients, refusals, len(content))
            still_ours()
            return self._hand_over(session, delivery, refused, content)

    def check(self) -> str:
        """Connect, log in and say NOOP. Raises `Unavailable` with the remedy."""
        try:
            with self._translated(""), self._session() as session:
                reply = Reply.of(*session.noop())
                tls = (
                    session.sock.version() if isinstance(session.sock, ssl.SSLSocket) else "no TLS"
                )
        except (Transient, DeliveryRefused) as error:
            raise Unavailable(error.summary, error.remedy, error.code) from None
        login = "logged in" if self._smtp.username else "no login"
        return f"{self._server} answers ({tls}, {login}): {reply}"

    # --- one session ---------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A greeted, encrypted and logged-in connection; closed with QUIT unless it failed."""
        session = self._connected()
        try:
            self._log_in(session)
            yield session
            with suppress(smtplib.SMTPException, OSError):  # the message is accepted by now
                session.quit()
        finally:
            session.close()

    def _connected(self) -> smtplib.SMTP:
        smtp, timeout = self._smtp, self._smtp.timeout.total_seconds()
        name = self._sender.domain  # the default asks DNS for this machine's name, and tells it
        if smtp.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                smtp.host, smtp.port, name, timeout=timeout, context=_trust(smtp)
            )
        else:
            session = smtplib.SMTP(smtp.host, smtp.port, name, timeout=timeout)
        try:
            session.ehlo_or_helo_if_needed()
            if smtp.security == "starttls":
                session.starttls(context=_trust(smtp))
                session.ehlo_or_helo_if_needed()
        except BaseException:
            session.close()
            raise
        return session

    def _log_in(self, session: smtplib.SMTP) -> None:
        if not (self._smtp.username and self._smtp.password):
            return
        user, password = self._secret(self._smtp.username), self._secret(self._smtp.password)
        try:
            if (user + password).isascii():
                session.login(user, password)
            else:
                _log_in_utf8(session, user, password)
        except smtplib.SMTPResponseException as error:
            text = _without(Reply.of(error.smtp_code, error.smtp_error).text, user, password)
            reply = Reply.of(error.smtp_code, text)
            # The login is the service's, not the report's: mended once, every report goes out.
            raise Transient(
                f"{self._server} refuses the login: {reply}", remedy_for(reply), reply.label
            ) from None

    def _addressed(
        self,
        session: smtplib.SMTP,
        delivery: Delivery,
        recipients: Sequence[Mailbox],
        refusals: list[_Refusal],
        size: int,
    ) -> list[_Refusal]:
        """Name sender and recipients to the server; all that are refused, ours included."""
        words = [f"SIZE={size}"] if session.has_extn("size") else []
        _expect(session.mail(self._sender.address, words))
        found = [*refusals, *_offered(session, recipients)]
        self._give_up_or_wait(delivery, found)
        return found

    def _hand_over(
        self,
        session: smtplib.SMTP,
        delivery: Delivery,
        refusals: Sequence[_Refusal],
        content: bytes,
    ) -> str:
        _allow_for_upload(session, self._smtp, len(content))
        reply = self._accepted(session, content)
        for refusal in refusals:
            _log.warning(
                "recipient_refused",
                tenant=delivery.tenant,
                month=str(delivery.month),
                outbox=delivery.outbox_id,
                recipient=refusal.recipient,
                reply=str(refusal.reply),
            )
        return f"{reply}{_not_to(refusals)}"

    def _accepted(self, session: smtplib.SMTP, content: bytes) -> Reply:
        try:
            with durable("mail.accept"):
                return _expect(session.data(content))
        except smtplib.SMTPServerDisconnected as error:
            why: Exception = error
        except OSError as error:
            if isinstance(error, smtplib.SMTPException):  # the server's own words
                raise
            why = error
        raise AcceptanceLost(
            f"the connection to {self._server} ended before it answered to the report: {_why(why)}",
            SENT_AGAIN,
        )

    def _give_up_or_wait(self, delivery: Delivery, refusals: Sequence[_Refusal]) -> None:
        """Raise when nobody takes the message, or while it is worth waiting for somebody."""
        passing = [r for r in refusals if r.reply.is_transient]
        nobody = len(refusals) == len(delivery.recipients)
        if passing and (nobody or delivery.attempt <= PATIENT_TRIES):
            raise Transient(
                f"{self._server} does not take the report for {passing[0]} yet",
                SENT_AGAIN,
                passing[0].reply.label,
            )
        if nobody:
            first = refusals[0].reply
            raise DeliveryRefused(
                f"{self._server} takes the report for none of its recipients{_not_to(refusals)}",
                f"{remedy_for(first)} {resend(delivery)}",
                first.label,
            )

    # --- errors, translated once ---------------------------------------------------------------

    @contextmanager
    def _translated(self, afterwards: str) -> Iterator[None]:
        """`smtplib` and socket errors in, ours out; `afterwards` ends the remedy of a refusal.

        The cause is cut off: its frames hold the login.
        """
        try:
            yield
        except smtplib.SMTPResponseException as error:
            raise self._answered(Reply.of(error.smtp_code, error.smtp_error), afterwards) from None
        except ssl.SSLCertVerificationError as error:
            raise Transient(
                f"the certificate of {self._server} is not trusted: {shown(error.verify_message)}",
                "Name its authority in [mail].smtp.ca_bundle; use the host it names.",
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            raise Transient(
                f"{self._server} does not offer what [mail].smtp asks for: {shown(error, 200)}",
                "Set security and login to what the server offers, often starttls on port 587.",
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise Transient(
                f"the connection to {self._server} failed: {_why(error)}",
                "Check host, port and security of [mail].smtp, and whether the server runs and "
                "lets this machine in.",
            ) from None

    def _answered(self, reply: Reply, afterwards: str) -> Transient | DeliveryRefused:
        if reply.is_transient:
            summary = f"{self._server} does not take the report yet: {reply}"
            return Transient(summary, SENT_AGAIN, reply.label)
        remedy = f"{remedy_for(reply)} {afterwards}".strip()
        return DeliveryRefused(f"{self._server} refused: {reply}", remedy, reply.label)


def _checked(delivery: Delivery) -> tuple[list[Mailbox], list[_Refusal]]:
    """The usable recipients, and a refusal of our own for each that is none."""
    good: list[Mailbox] = []
    bad: list[_Refusal] = []
    for text in delivery.recipients:
        try:
            good.append(Mailbox.parse(text))
        except AddressError as error:
            bad.append(_Refusal(shown(text), Reply(553, f"not sent: {error}")))
    if not good:
        reason = _not_to(bad) if bad else ": it has no recipients"
        raise DeliveryRefused(
            f"the report cannot be addressed{reason}",
            f"Mend [report].to in tenants/{delivery.tenant}.toml. {resend(delivery)}",
        )
    return good, bad


def _offered(session: smtplib.SMTP, recipients: Sequence[Mailbox]) -> list[_Refusal]:
    """Name every recipient to the server; those that it does not take."""
    refusals = []
    for mailbox in recipients:
        reply = Reply.of(*session.rcpt(mailbox.address))
        if reply.code == 421:  # the server closes the connection (RFC 5321, section 3.8)
            raise smtplib.SMTPResponseException(reply.code, reply.text)
        if not reply.is_positive:
            refusals.append(_Refusal(mailbox.address, reply))
    return refusals


def _allow_for_upload(session: smtplib.SMTP, smtp: SmtpSettings, size: int) -> None:
    """Python's timeout is for *all* bytes of one send, not for the next ones to be taken."""
    if session.sock is not None:
        session.sock.settimeout(smtp.timeout.total_seconds() + size / SLOWEST_UPLOAD)


def _expect(answer: tuple[int, bytes]) -> Reply:
    reply = Reply.of(*answer)
    if not reply.is_positive:
        raise smtplib.SMTPResponseException(reply.code, reply.text)
    return reply


def _log_in_utf8(session: smtplib.SMTP, user: str, password: str) -> None:
    """AUTH PLAIN with UTF-8 (RFC 4616); `smtplib.login` writes ASCII only."""
    if "PLAIN" not in session.esmtp_features.get("auth", "").split():
        raise smtplib.SMTPNotSupportedError("AUTH PLAIN, which a non-ASCII password needs")
    response = base64.b64encode(f"\0{user}\0{password}".encode()).decode("ascii")
    _expect(session.docmd("AUTH", f"PLAIN {response}"))


def _without(text: str, user: str, password: str) -> str:
    """A server's sentence without what we told it: some servers repeat the command that failed."""
    for secret in (f"\0{user}\0{password}", password, user):
        for form in (secret, base64.b64encode(secret.encode()).decode("ascii")):
            text = text.replace(form, "…")
    return text


def _trust(smtp: SmtpSettings) -> ssl.SSLContext:
    """Certificates and names are always verified; there is no switch to turn that off."""
    try:
        return ssl.create_default_context(cafile=str(smtp.ca_bundle) if smtp.ca_bundle else None)
    except OSError as error:
        raise ConfigurationError(
            f"[mail].smtp.ca_bundle = {smtp.ca_bundle} cannot be used: "
            f"{(error.strerror or str(error)).lower()}",
            "Name a PEM file with the certificates of the mail server's authority.",
        ) from None


def _not_to(refusals: Sequence[_Refusal]) -> str:
    return f"; not delivered to {', '.join(map(str, refusals))}" if refusals else ""


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return shown(error, 200)
