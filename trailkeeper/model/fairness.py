"""How many pulling processes one tenant may hold while others have work, or are about to.

A pull cannot be interrupted in the middle of an answer, and a service may take minutes for one. So
what a tenant holds is bounded before it is taken: by those who wait now, and, while the tenant is
not known to be quick, by those who come again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from trailkeeper.model.stream import Stream

LONG_PULL = timedelta(seconds=20)
"""a pull that holds its process longer is no quick one: a poll takes a second or two"""
COMES_AGAIN = timedelta(hours=1)
"""a tenant that was pulled so lately will be again, whether or not it waits at this moment"""


class Speed(StrEnum):
    """How long the last pull of a stream held its process; not known at first."""

    QUICK = "quick"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who holds and who wants the `processes`, as seen by one tenant that wants one more.

    `held`: its own; `not_quick`: held for streams that are not known to be quick, of any tenant.
    `waiting`, `active`: other tenants with work that is due, and those that come again.
    """

    processes: int
    held: int
    not_quick: int
    waiting: int
    active: int

    def allows(self, speed: Speed | None) -> bool:
        """Whether one more pull of this speed leaves the others their share."""
        others = self.waiting if speed is Speed.QUICK else max(self.waiting, self.active)
        if not max(others, self.active):
            return True  # alone: it may have all
        if self.held >= share(self.processes, others):
            return False
        return speed is not Speed.LONG or self.not_quick < max(self.processes - 1, 1)


def share(processes: int, others: int) -> int:
    """Of one tenant beside so many: an equal part, at least one, and never the last process."""
    return max(1, min(-(-processes // (others + 1)), processes - 1))


def speed_key(stream: Stream) -> str:
    """Where the ledger keeps a stream's speed."""
    return f"speed/{stream}"
