"""An SMTP server that keeps every message it accepts as one `.eml` file."""

from __future__ import annotations

import asyncio
import os
import ssl
import uuid
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.faults import FaultBook, Plan


class Mailbox:
    """Messages go to `folder`, named by time of arrival; a file is there whole or not at all."""

    def __init__(self, folder: Path, book: FaultBook) -> None:
        self.folder = folder
        self._book = book
        folder.mkdir(parents=True, exist_ok=True)

    def messages(self) -> list[Path]:
        return sorted(self.folder.glob("*.eml"))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The name that aiosmtpd calls at the end of a message."""
        plan = self._book.draw("smtp_data", "")
        if refusal := _refusal(plan):
            return refusal
        self._keep(envelope)
        if plan.get("smtp_drop_after_data") is not None and server.transport is not None:
            server.transport.close()
        return "250 2.0.0 OK kept"

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """At MAIL FROM."""
        if refusal := _refusal(self._book.draw("smtp_mail", "")):
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """At RCPT TO."""
        if refusal := _refusal(self._book.draw("smtp_rcpt", "")):
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    def _keep(self, envelope: Envelope) -> None:
        content = envelope.original_content or b""
        lines = [f"X-Sandbox-From: {envelope.mail_from}"]
        lines += [f"X-Sandbox-To: {address}" for address in envelope.rcpt_tos]
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.eml"
        draft = self.folder / f".{name}"
        with draft.open("wb") as out:
            out.write("\r\n".join(lines).encode("utf-8", "replace") + b"\r\n" + content)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(self.folder / name)


def _refusal(plan: Plan) -> str:
    if (params := plan.get("smtp_reply")) is None:
        return ""
    return f"{int(params.get('code', 451))} {params.get('text', '4.3.0 Try again later')}"


def server_of(
    mailbox: Mailbox,
    security: str,
    context: ssl.SSLContext,
    login: tuple[str, str] | None,
    loop: asyncio.AbstractEventLoop,
) -> SMTP:
    """One SMTP conversation; AUTH is demanded when a login is set."""

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        words = (given.login, given.password) if isinstance(given, LoginPassword) else None
        good = login is not None and words == (login[0].encode(), login[1].encode())
        return AuthResult(success=good, handled=False)

    return SMTP(
        mailbox,
        loop=loop,
        hostname="sandbox",
        enable_SMTPUTF8=True,
        data_size_limit=64 * 2**20,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        auth_required=login is not None,
        auth_require_tls=security == "starttls",
        authenticator=authenticate if login else None,
    )


async def listen(
    mailbox: Mailbox,
    port: int,
    security: str,
    context: ssl.SSLContext,
    login: tuple[str, str] | None,
) -> asyncio.Server:
    """Start the server; `security` is none, starttls or tls."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: server_of(mailbox, security, context, login, loop),
        "127.0.0.1",
        port,
        ssl=context if security == "tls" else None,
    )
