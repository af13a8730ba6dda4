"""What a mail server says, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trailkeeper.mail.wording import shown

SENT_AGAIN = "It is sent again later."
"""what a delivery that may pass by itself is told; whoever only looks needs another word"""

_TEXT_LIMIT = 300
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """Three digits and a sentence, cleaned: a server's words end up in logs and reports."""

    code: int
    text: str

    @classmethod
    def of(cls, code: int, text: bytes | str) -> Reply:
        decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return cls(code, shown(decoded, _TEXT_LIMIT) if decoded.strip() else "")

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """Everything unheard of may pass too; only the 500s are final (RFC 5321, 4.2.1)."""
        return not 500 <= self.code < 600

    @property
    def enhanced(self) -> str:
        """The status of RFC 3463, such as 5.7.30; empty when the server gives none."""
        match = _ENHANCED.match(self.text)
        return match[0] if match else ""

    @property
    def label(self) -> str:
        return f"{self.code} {self.enhanced}".rstrip()

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


_LOGIN = "Check username and password of [mail].smtp: the server does not take them."

# By enhanced status first, by the three digits otherwise. Order does not matter: keys are exact.
_REMEDIES: dict[str, str] = {
    # management-api-and-graph.md, section 4.4: Exchange Online ends passwords for submission
    "5.7.30": (
        "Exchange Online no longer takes a password for sending: point [mail].smtp at another "
        "relay, or send through [mail].graph."
    ),
    "5.7.139": (
        "Exchange Online does not take a password from this mailbox: let an administrator allow "
        "SMTP AUTH for it, point [mail].smtp at another relay, or send through [mail].graph."
    ),
    "5.1.1": "Correct [report].to in the tenant's file: the server knows no such mailbox.",
    "5.1.10": "Correct [report].to in the tenant's file: the server knows no such mailbox.",
    "5.3.4": "The message is too large for the server: raise its limit for this sender.",
    "5.7.60": "Give the login of [mail].smtp the right to send as [mail].sender.",
    "5.7.8": _LOGIN,
    "530": "The server wants a login or TLS first: set username, password and security.",
    "535": _LOGIN,
    "534": _LOGIN,
    "538": _LOGIN,
    "552": "The message is too large for the server: raise its limit for this sender.",
    "553": "Correct the address: [report].to in the tenant's file, or [mail].sender.",
}

_OTHERWISE = "Ask whoever runs the mail server, quoting its sentence, and mend the cause."


def remedy_for(reply: Reply) -> str:
    return _REMEDIES.get(reply.enhanced) or _REMEDIES.get(str(reply.code)) or _OTHERWISE
