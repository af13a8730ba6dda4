"""What was measured of a tenant."""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from trailkeeper.model.feed.lag import ContentLag
from trailkeeper.model.window import Window


class Measured(Protocol):
    """What was measured, to be read only."""

    def measures(self, tenant: str, topic: str, first: date, last: date) -> dict[date, str]:
        """The values kept for the days from `first` to `last`."""
        ...

    def lags(self, tenant: str, window: Window) -> list[ContentLag]:
        """How long records of the feed were on their way, by content type; of what became available
        in `window`, in whole days where its blobs are forgotten already."""
        ...


class Measures(Measured, Protocol):
    """What was measured of a tenant, a value a day (UTC): derived from what is stored, and kept
    because what it was derived from is not kept for ever."""

    def measure(self, tenant: str, topic: str, day: date, value: str, now: datetime) -> None:
        """Keep the day's value in place of an earlier one."""
        ...
