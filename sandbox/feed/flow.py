"""Records that occur while the sandbox runs, at a rate that may change at any time."""

from __future__ import annotations

import random
import uuid
from array import array
from dataclasses import dataclass, field

from sandbox.clock import MICROSECOND
from sandbox.feed.switches import FeedSwitches
from sandbox.generator import GeneratedSource
from sandbox.rhythm import Timeline, people_kind
from sandbox.store import EventStore

_ACTORS = 500


@dataclass
class Flow:
    """One tenant's live records; made only when somebody looks."""

    rate: float = 0.0  # records a second since `since`
    since: int = 0  # microseconds since 1970: up to here everything has occurred
    _source: GeneratedSource | None = None
    _line: Timeline = field(default_factory=Timeline)
    _rng: random.Random | None = None

    def advance(
        self, store: EventStore, tenant: tuple[str, str], switches: FeedSwitches, now: int
    ) -> None:
        """Everything of [since, now) at the rate so far; then the switch's rate counts."""
        if self.rate and now > self.since:
            self._occur(store, tenant, now)
        self.rate, self.since = switches.feed_rate, max(now, self.since)

    def _occur(self, store: EventStore, tenant: tuple[str, str], now: int) -> None:
        if self._source is None:
            # Another run of the same folder must not make the same records again.
            self._rng = random.Random(f"{tenant[0]}/{uuid.uuid4()}")
            self._source = GeneratedSource(str(self._rng.random()), *tenant, self._line)
        first = len(self._line.seconds)
        self._draw(now)
        times = array("q", [second * MICROSECOND for second in self._line.seconds[first:]])
        store.grow(self._source, first, times, times)

    def _draw(self, now: int) -> None:
        rng = self._rng or random.Random()
        at = self.since + rng.expovariate(self.rate) * MICROSECOND
        draw = people_kind(rng)
        while at < now:
            self._line.note(int(at) // MICROSECOND, draw(), rng.randrange(_ACTORS))
            at += rng.expovariate(self.rate) * MICROSECOND
