"""How late one tenant's records arrive: what each round of re-reading still found.

A record that a re-read at some age brings for the first time arrived between the reading before and
that one. Where the last round still finds some, one more is added. None is ever left out: a round
that found nothing for weeks may be the one that a late record waits for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_ENOUGH_TIME = timedelta(weeks=4)


def lateness_key(tenant: str) -> str:
    """Where the ledger keeps a tenant's lateness."""
    return f"lateness/{tenant}"


@dataclass(frozen=True, slots=True)
class Lateness:
    """By round of re-reading, the first at index 0: records received, and those of them new."""

    since: datetime | None = None
    received: tuple[int, ...] = ()
    new: tuple[int, ...] = ()

    def learn(self, round_: int, received: int, new: int, now: datetime) -> Lateness:
        """Add one merged re-read of round `round_` (from 1)."""
        length = max(round_, len(self.received))
        received_by = [*self.received, *[0] * (length - len(self.received))]
        new_by = [*self.new, *[0] * (length - len(self.new))]
        received_by[round_ - 1] += received
        new_by[round_ - 1] += new
        return Lateness(self.since or now, tuple(received_by), tuple(new_by))

    def ages(self, usual: Sequence[timedelta], now: datetime) -> tuple[timedelta, ...]:
        """The ages to read at: the usual ones, and twice the last where that still finds some."""
        known = self.since is not None and now - self.since >= _ENOUGH_TIME
        late = usual and len(self.new) >= len(usual) and self.new[len(usual) - 1] > 0
        return (*usual, 2 * usual[-1]) if known and late else tuple(usual)

    def to_text(self) -> str:
        since = self.since.isoformat() if self.since else None
        return json.dumps([since, self.received, self.new])

    @classmethod
    def from_text(cls, text: str) -> Lateness:
        """What `to_text` wrote; anything else counts as nothing known."""
        try:
            since, received, new = json.loads(text)
            began = datetime.fromisoformat(since).astimezone(UTC)
            counts = tuple(map(int, received)), tuple(map(int, new))
        except (ValueError, TypeError):
            return cls()
        return cls(began, *counts) if len(counts[0]) == len(counts[1]) else cls()
