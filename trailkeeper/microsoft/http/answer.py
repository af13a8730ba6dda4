"""One HTTP answer, and how its body is read: raw, bounded, and inflated only if it is gzip."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from requests.structures import CaseInsensitiveDict

from trailkeeper.errors import AnswerTooLarge, Transient

_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"
_FIRST_PIECE = 1 << 12
"""of a member, most of which are either the only one or tiny"""
_MOST_MEMBERS = 1 << 17
"""of one gzip stream: some servers end one at every flush"""
_REQUEST_ID_HEADERS = ("request-id", "x-ms-request-id", "client-request-id")


def _no_headers() -> Mapping[str, str]:
    return CaseInsensitiveDict()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole. The body stays out of `repr`: it holds tokens and records."""

    status: int
    headers: Mapping[str, str] = field(default_factory=_no_headers, repr=False)
    """looked up without regard to case"""
    body: bytes = field(default=b"", repr=False)
    """inflated when it was gzip, whatever Content-Encoding said; NULs are left in"""
    request_id: str = ""
    url: str = field(default="", repr=False)
    received_at: datetime | None = None

    @property
    def retry_after(self) -> float | None:
        """Seconds that Retry-After asks for, in full; None when it is absent or unreadable."""
        text = CaseInsensitiveDict(self.headers).get("Retry-After", "")
        return retry_after(text, self._sent_at())

    def _sent_at(self) -> datetime | None:
        """The server's own clock if it shows it: a date is meant in the server's time."""
        date = CaseInsensitiveDict(self.headers).get("Date", "")
        return _http_date(date) or self.received_at


def retry_after(text: str, now: datetime | None) -> float | None:
    """Parse Retry-After as seconds or as an HTTP date seen at `now` (RFC 9110, section 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), _LONGEST_WAIT)
    until = _http_date(text)
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), _LONGEST_WAIT)


# A week: longer is a mistake of somebody's clock, and would park the tenant silently.
_LONGEST_WAIT = 7 * 86400.0


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def request_id(headers: Mapping[str, str]) -> str:
    """The id that the provider's support asks for; empty when the answer has none."""
    for name in _REQUEST_ID_HEADERS:
        if value := headers.get(name):
            return "".join(c for c in value if c.isprintable())[:100]
    return ""


class RawBody(Protocol):
    """The part of urllib3's response that is used here."""

    def read1(self, amt: int | None = ..., decode_content: bool | None = ...) -> bytes: ...


def read_bounded(raw: RawBody, declared: str, max_bytes: int) -> bytes:
    """The body as sent, at most `max_bytes`. Raises `AnswerTooLarge`.

    `read1` returns whatever one read of the socket gives; the deadline is below, in the adapter.
    """
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    while chunk := raw.read1(_CHUNK, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def inflated(body: bytes, max_bytes: int) -> bytes:
    """`body`, gunzipped if it begins like gzip, at most `max_bytes` long.

    Content-Encoding is not asked: Exchange labels plain error bodies as gzip (reference A, section
    3.5). It may have several members, one after another (RFC 1952, section 2.2); the time taken
    grows with its length, however many there are. Raises `AnswerTooLarge`; `Transient` when the
    stream is broken, cut short, or of more members than anybody sends.
    """
    if not body.startswith(_GZIP):
        return body
    parts: list[bytes] = []
    room, at, rest = max_bytes, 0, memoryview(body)
    for _ in range(_MOST_MEMBERS):
        at, room = _member(rest, at, room, max_bytes, parts)
        if rest[at : at + 2] != _GZIP:
            return b"".join(parts)
    raise Transient(
        f"the answer's gzip stream has more than {_MOST_MEMBERS} members", "It is asked again."
    )


def _member(
    body: memoryview, at: int, room: int, max_bytes: int, parts: list[bytes]
) -> tuple[int, int]:
    """Inflate the member at `at` into `parts`; where it ended, and the room that is left.

    It is fed in pieces: zlib copies what lies behind a member, and a whole body copied for each of
    its members takes quadratic time.
    """
    member, size = zlib.decompressobj(wbits=31), _FIRST_PIECE
    while not member.eof:
        piece = body[at : at + size]
        if not piece:
            raise Transient("the answer's gzip stream ends too early", "It is asked again.")
        try:
            part = member.decompress(piece, room + 1)
        except zlib.error:
            raise Transient("the answer's gzip stream is broken", "It is asked again.") from None
        room -= len(part)
        if room < 0:
            raise _too_large(max_bytes)
        parts.append(part)
        at += len(piece) - len(member.unused_data)
        size = _CHUNK
    return at, room


def _too_large(max_bytes: int) -> AnswerTooLarge:
    return AnswerTooLarge(
        f"the answer is larger than {max_bytes} bytes", "A narrower window is asked instead."
    )
