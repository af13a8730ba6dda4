"""A real SMTP server on a free loopback port that keeps what it accepts, and fails when told to.

with mailbox(security="starttls", login=("audit", "pw")) as box:
    ...
    box.kept[0].message["Subject"]
"""

# ruff: noqa: N802 -- aiosmtpd finds its hooks by these names
from __future__ import annotations

import ssl
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Kept:
    """One message that the server accepted."""

    content: bytes
    sender: str
    recipients: tuple[str, ...]
    encrypted: bool
    helo: str

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, message_from_bytes(self.content, policy=default))


@dataclass
class Faults:
    """What goes wrong. Replies are used up one a time; "" is none, one ending in "!" stays."""

    at_rcpt: dict[str, list[str]] = field(default_factory=dict)
    """recipient → replies instead of 250"""
    at_mail: list[str] = field(default_factory=list)
    at_data: list[str] = field(default_factory=list)
    at_auth: list[str] = field(default_factory=list)
    drop_before_data: int = 0
    drop_after_data: int = 0
    """the message is kept, and the connection cut before the sender learns it"""


@dataclass
class Mailbox:
    host: str
    port: int
    ca_bundle: Path | None
    faults: Faults
    kept: list[Kept] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """commands by name, refused ones included"""


class _Handler:
    """aiosmtpd's hooks; each may answer for itself or let the server do the usual."""

    def __init__(self, box: Mailbox) -> None:
        self.box = box

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        self.box.seen["EHLO"] += 1
        session.host_name = hostname
        return responses

    async def handle_NOOP(
        self, server: SMTP, session: Session, envelope: Envelope, argument: str
    ) -> str:
        self.box.seen["NOOP"] += 1
        return "250 2.0.0 OK"

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: Sequence[str],
    ) -> str:
        self.box.seen["MAIL"] += 1
        if refusal := _next(self.box.faults.at_mail):
            return refusal
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: Sequence[str],
    ) -> str:
        self.box.seen["RCPT"] += 1
        if refusal := _next(self.box.faults.at_rcpt.get(address, [])):
            return refusal
        if self.box.faults.drop_before_data:
            self.box.faults.drop_before_data -= 1
            _cut(server)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.box.seen["DATA"] += 1
        if refusal := _next(self.box.faults.at_data):
            return refusal
        self.box.kept.append(
            Kept(
                content=cast(bytes, envelope.original_content),
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                encrypted=cast(Any, server.transport).get_extra_info("ssl_object") is not None,
                helo=session.host_name or "",
            )
        )
        if self.box.faults.drop_after_data:
            self.box.faults.drop_after_data -= 1
            _cut(server)
        return f"250 2.0.0 kept as {len(self.box.kept)}"


class _Controller(Controller):
    """Binds port 0: choosing a port first and binding it later is a race."""

    async def _listen(self) -> Any:
        server = await self.loop.create_server(
            self._factory_invoker, host=self.hostname, port=0, ssl=self.ssl_context
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _create_server(self) -> Any:
        return self._listen()


def _next(replies: list[str]) -> str:
    if not replies:
        return ""
    if replies[0].endswith("!"):
        return replies[0].removesuffix("!")
    return replies.pop(0)


def _cut(server: SMTP) -> None:
    cast(Any, server.transport).abort()


@contextmanager
def mailbox(
    security: str = "none",
    login: tuple[str, str] | None = None,
    faults: Faults | None = None,
    certificate_for: str = "127.0.0.1",
    size_limit: int = 50_000_000,
) -> Iterator[Mailbox]:
    """Run the server; `security` is none, starttls or tls."""
    with tempfile.TemporaryDirectory() as folder:
        context, bundle = (
            _tls(Path(folder), certificate_for) if security != "none" else (None, None)
        )
        box = Mailbox("127.0.0.1", 0, bundle, faults or Faults())

        def authenticated(
            server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
        ) -> AuthResult:
            box.seen["AUTH"] += 1
            if refusal := _next(box.faults.at_auth):
                return AuthResult(success=False, handled=False, message=refusal)
            assert isinstance(given, LoginPassword)
            right = login and (given.login, given.password) == tuple(p.encode() for p in login)
            return AuthResult(success=bool(right), handled=False)

        controller = _Controller(
            _Handler(box),
            hostname=box.host,
            ready_timeout=20,
            ssl_context=context if security == "tls" else None,
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            authenticator=authenticated if login else None,
            auth_required=bool(login),
            auth_require_tls=security == "starttls",
            data_size_limit=size_limit,
        )
        controller.start()
        box.port = controller.port
        try:
            yield box
        finally:
            controller.stop()


def _tls(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    bundle = folder / "mail-ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    return context, bundle
