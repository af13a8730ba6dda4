"""`ports.Ledger` over SQL: one engine, one transaction a method.

The parts are apart because they change for different reasons; together they are one port.
"""

from __future__ import annotations

from trailkeeper.store.database import open_database
from trailkeeper.store.ledger.clocks import Clocks
from trailkeeper.store.ledger.damage import Damage
from trailkeeper.store.ledger.identities import IdentityRows
from trailkeeper.store.ledger.lags import Measures
from trailkeeper.store.ledger.leasing import Leasing
from trailkeeper.store.ledger.merging import Merging
from trailkeeper.store.ledger.overview import Overviews
from trailkeeper.store.ledger.planning import Planning
from trailkeeper.store.ledger.proof import Proof
from trailkeeper.store.ledger.standstill import Standstill
from trailkeeper.store.ledger.worklist import BlobWorklist


class SqlLedger(
    Planning,
    Leasing,
    Merging,
    Damage,
    Proof,
    Overviews,
    Standstill,
    BlobWorklist,
    Measures,
    IdentityRows,
    Clocks,
):
    """The ledger on SQLite or PostgreSQL; safe for threads, and for any number of processes."""


def open_ledger(url: str, *, create: bool = True) -> SqlLedger:
    """The ledger at `url`, made and migrated if `create`. Raises as `open_database` does."""
    return SqlLedger(open_database(url, create=create))
