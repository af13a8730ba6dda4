"""One sealed item: `TK1.` + HMAC-SHA256 in hex + the second in which it ends + `.` + JSON.

The signature covers the whole message (task, arguments, headers), the place it was sent to and its
end: it cannot be changed, moved to another queue, or said again later. Nothing is decoded before
the signature is known to be ours.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from enum import StrEnum

LARGEST = 1 << 20
"""bytes of one item: ours have a few hundred, a worker's answer about itself some thousands"""
LONGEST_SECONDS = 86_400.0
"""An end that lies further ahead was written by a clock that ran ahead."""
_MAGIC = b"TK1."
_DIGEST = 64
_HEADER = len(_MAGIC) + _DIGEST


class Fault(StrEnum):
    """Why an item was dropped."""

    UNSIGNED = "unsigned"
    FORGED = "forged"
    """a signature that is not ours, or is of another queue"""
    EXPIRED = "expired"
    AHEAD = "ahead"
    """it ends later than any message of ours does"""
    LARGE = "large"


class ForeignError(Exception):
    """The item is not a message that may be read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Seal:
    """Closes and opens items with one key, which it never shows."""

    __slots__ = ("_key", "_now")

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"trailkeeper message key " + key).digest()
        self._now = now

    def close(self, message: bytes, place: str, seconds: float) -> bytes:
        """`message` for the queue or exchange `place`, good for so many seconds."""
        signed = b"%d.%s" % (int(self._now() + min(seconds, LONGEST_SECONDS)) + 1, message)
        return b"%s%s%s" % (_MAGIC, self._digest(signed, place), signed)

    def open(self, item: bytes, place: str) -> bytes:
        """The message. Raises `ForeignError`."""
        if not item.startswith(_MAGIC):
            raise ForeignError(Fault.UNSIGNED)
        if len(item) > LARGEST:
            raise ForeignError(Fault.LARGE)
        signed = item[_HEADER:]
        if not hmac.compare_digest(item[len(_MAGIC) : _HEADER], self._digest(signed, place)):
            raise ForeignError(Fault.FORGED)
        end, _, message = signed.partition(b".")
        left = int(end) - self._now()
        if left <= 0:
            raise ForeignError(Fault.EXPIRED)
        if left > LONGEST_SECONDS + 2:
            raise ForeignError(Fault.AHEAD)
        return message

    def _digest(self, signed: bytes, place: str) -> bytes:
        text = place.encode("utf-8", "replace") + b"\0" + signed
        return hmac.new(self._key, text, "sha256").hexdigest().encode()

    def __repr__(self) -> str:
        return "Seal(…)"
