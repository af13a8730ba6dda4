"""The queue, seen from the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trailkeeper.model.report import Month


class Enqueuer(Protocol):
    """Sends ids to the queue. Losing every message loses nothing: a reconciliation enqueues
    again."""

    def pull(self, segment_ids: Sequence[int]) -> None: ...

    def merge(self, tenant: str) -> None: ...

    def report(self, tenant: str, month: Month) -> None: ...

    def deliver(self, outbox_id: int) -> None: ...

    def compact(self, tenant: str) -> None: ...
