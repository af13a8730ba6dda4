"""How many requests a tenant gets."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Asked(StrEnum):
    """What a request to the feed was about. A service that refuses one kind may give the other."""

    LISTING = "listing"
    """subscriptions and listings"""
    BLOB = "blob"


class Budget(Protocol):
    """How many requests one tenant gets; shared by all workers where they share a Redis."""

    def take(self, tenant: str, requests: int = 1) -> float:
        """Count so many requests: 0.0 goes ahead, otherwise in how many seconds they may be sent.

        Those that are not sent after all are not given back.
        """
        ...

    def answered(self, tenant: str, asked: Asked) -> None:
        """It came: several of a kind show that their last rest was enough."""
        ...

    def refused(self, tenant: str, asked: Asked) -> bool:
        """One was refused as too much: whether refusals come together now, as those of a service
        that throttles do. Otherwise it was by chance: that request waits a moment, and no other."""
        ...

    def slow_down(self, tenant: str, asked: Asked) -> float:
        """The service said that it was too much: fewer from now on; seconds to rest."""
        ...
