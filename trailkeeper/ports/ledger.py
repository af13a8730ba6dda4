"""The whole ledger, for whoever builds or deletes it."""

from __future__ import annotations

from typing import Protocol

from trailkeeper.ports.identities import Identities
from trailkeeper.ports.leasing import Leasing
from trailkeeper.ports.measures import Measures
from trailkeeper.ports.merging import Merging
from trailkeeper.ports.notes import Notebook
from trailkeeper.ports.overview import Overviews
from trailkeeper.ports.parking import Parkings
from trailkeeper.ports.planning import Planning
from trailkeeper.ports.proof import Proof
from trailkeeper.ports.worklist import Worklist


class Ledger(
    Planning,
    Leasing,
    Merging,
    Proof,
    Parkings,
    Worklist,
    Measures,
    Notebook,
    Overviews,
    Identities,
    Protocol,
):
    """The truth: what is planned, owned, landed, merged, proven and owed.

    A step names the roles that it uses, and not this.
    """

    def forget_tenant(self, tenant: str) -> None:
        """Delete every row of this tenant, its identity and outbox too; late leases meet
        `LeaseLost`."""
        ...

    def close(self) -> None: ...
