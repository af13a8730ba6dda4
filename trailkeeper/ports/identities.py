"""Whose records are kept under which tenant's name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from trailkeeper.model.identity import Identity


class Identities(Protocol):
    """Written once per name, and forgotten only with all that is kept under it.

    Every method is one transaction. Raises `Unavailable` when the database is out of reach.
    """

    def identity(self, tenant: str) -> Identity | None:
        """Whose records the ledger keeps under this name; None before the first use of it."""
        ...

    def identities(self) -> Mapping[str, Identity]:
        """As `identity`, of every name that was ever used."""
        ...

    def adopt(self, wanted: Mapping[str, Identity], now: datetime) -> Mapping[str, Identity]:
        """Keep each identity under its name unless that has one; whose each name is from now on,
        ours or that of whoever came first."""
        ...
