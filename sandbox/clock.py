"""The sandbox's clocks: real time plus offsets that a test may set.

Two offsets on purpose. Moving `events` makes late records arrive and old ones fall out of
retention; moving `identity` plays a login server whose clock disagrees with the client's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

MICROSECOND = 1_000_000


class Clock:
    """Real UTC time, shifted by a settable number of seconds for each of two purposes."""

    def __init__(self) -> None:
        self.events_offset = 0.0
        self.identity_offset = 0.0

    def now(self) -> int:
        """Microseconds since 1970 as the event store sees them."""
        return int((time.time() + self.events_offset) * MICROSECOND)

    def identity_now(self) -> float:
        """Seconds since 1970 as the login server sees them."""
        return time.time() + self.identity_offset


def instant(micros: int) -> datetime:
    """An aware datetime from microseconds since 1970."""
    seconds, rest = divmod(micros, MICROSECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def micros(moment: datetime) -> int:
    """Microseconds since 1970; a naive datetime is refused."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment!r}: give a time zone")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * MICROSECOND + delta.microseconds


def parse_instant(text: str) -> int:
    """Microseconds from ISO 8601 text; without a zone it means UTC, as for the real cmdlet."""
    moment = datetime.fromisoformat(text.strip())
    return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def iso(value: int) -> str:
    """`2026-10-01T00:07:47Z` (fraction only where there is one)."""
    return instant(value).isoformat().replace("+00:00", "Z")
