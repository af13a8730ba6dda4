"""Reading a socket until a deadline, whatever the other end drips.

A socket's own timeout is a bound on silence: a server that sends a byte now and then never meets
it. Here every single read is given what is left of one deadline, and what it brings is counted.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

HEAD_BYTES = 256 << 10
"""status lines and headers of one answer: far more than any service sends"""


class Breach(TimeoutError):
    """The other end kept to no bound; the text is a half sentence whose subject it is."""


class Bound:
    """The limits of one exchange: when it ends, and how many bytes it may bring.

    `breach` remembers how it was broken first: libraries in between wrap, repeat or hide the error.
    """

    def __init__(self, seconds: float, most_bytes: int, ends_at: float | None = None) -> None:
        """`ends_at`: monotonic seconds, for an exchange that has begun before."""
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds if ends_at is None else ends_at
        self.room = most_bytes
        self.most_bytes = most_bytes
        self.breach: Breach | None = None

    def left(self, stage: str = "its answer") -> float:
        """Seconds left. Raises `Breach` when there are none."""
        seconds = self.ends_at - time.monotonic()
        if seconds <= 0:
            raise self.broken(f"had not ended {stage} after {self.seconds:g} s")
        return seconds

    def count(self, received: int) -> None:
        """Raises `Breach` for more bytes than the exchange may bring."""
        self.room -= received
        if self.room < 0:
            raise self.broken(f"sent more than {self.most_bytes} bytes, frames included")

    def broken(self, how: str) -> Breach:
        self.breach = self.breach or Breach(how)
        return self.breach


_current: ContextVar[Bound | None] = ContextVar("bound", default=None)


@contextmanager
def bounded(bound: Bound) -> Iterator[Bound]:
    """Inside, what this thread reads through `BoundReader` keeps to `bound`."""
    token = _current.set(bound)
    try:
        yield bound
    finally:
        _current.reset(token)


def current_bound() -> Bound | None:
    return _current.get()


class BoundReader(io.RawIOBase):
    """A socket's raw reader that keeps to a bound. Wrap it in `io.BufferedReader`.

    It begins in an answer's head: status lines, headers and all that comes before them.
    """

    def __init__(self, sock: Any, bound: Bound, head_bytes: int = HEAD_BYTES) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._bound = bound
        self._silence: float | None = sock.gettimeout()
        self._head_bytes = head_bytes
        self._head_room: int | None = head_bytes

    def head_ended(self) -> None:
        """What comes from now on is body: only the whole exchange's bounds hold."""
        self._head_room = None

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def readinto(self, buffer: Any) -> int | None:
        """Raises `Breach`, and `TimeoutError` for a silence as long as the socket's timeout."""
        left = self._bound.left(self._stage)
        received = self._read(buffer, left)
        if received:
            self._bound.count(received)
            self._count_head(received)
        return received

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    @property
    def _stage(self) -> str:
        return "its answer" if self._head_room is None else "its status line and headers"

    def _read(self, buffer: Any, left: float) -> int | None:
        if self._silence is not None and self._silence <= left:
            received: int | None = self._raw.readinto(buffer)
            return received
        self._sock.settimeout(left)
        try:
            received = self._raw.readinto(buffer)
        except TimeoutError:
            self._bound.left(self._stage)
            raise
        finally:
            self._sock.settimeout(self._silence)
        return received

    def _count_head(self, received: int) -> None:
        if self._head_room is None:
            return
        self._head_room -= received
        # A buffer's worth may be body already.
        if self._head_room < -io.DEFAULT_BUFFER_SIZE:
            raise self._bound.broken(
                f"sent more than {self._head_bytes >> 10} KiB of status lines and headers"
            )
