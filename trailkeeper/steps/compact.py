"""Join a tenant's small files, and what else is done for it a few times a day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.notes import Notebook
from trailkeeper.settings import Settings
from trailkeeper.steps.arrivals import ArrivalStep
from trailkeeper.steps.match import MatchStep

TURNS = 12
TURN = timedelta(minutes=30)
"""a twelfth of the tenants at a time: a thousand tables at once would hold up every merge"""
NOT_AGAIN = timedelta(hours=3)
"""after one compaction, whoever asks for another; the next turn is six hours later"""
VACUUM_AFTER = timedelta(days=1)
"""how long files that a compaction replaced stay for readers that began before it"""


def whose_turn(tenants: Iterable[str], now: datetime) -> list[str]:
    """The tenants whose tables are compacted in this half hour."""
    return sorted(tenants)[int(now.timestamp() // TURN.total_seconds()) % TURNS :: TURNS]


@dataclass(frozen=True, slots=True)
class CompactStep:
    settings: Settings
    ledger: Notebook
    lake: Lake
    arrivals: ArrivalStep
    match: MatchStep
    clock: Clock

    def __call__(self, tenant: str) -> bool:
        """Whether it was due: configured, its turn now or a moment ago, and not compacted lately.

        The compaction last: a merge that commits meanwhile may end it, and nothing else with it.
        """
        now = self.clock.now()
        tenants = self.settings.tenants
        if tenant not in {*whose_turn(tenants, now), *whose_turn(tenants, now - TURN / 2)}:
            return False
        if not self.ledger.claim(f"compacted/{tenant}", now, now - NOT_AGAIN):
            return False
        self.arrivals(tenants[tenant])
        self.match.then_forget(tenants[tenant])
        self.lake.compact(tenant, VACUUM_AFTER)
        return True
