"""Remove what nobody needs any more: merged landing files, and what crashed attempts left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from trailkeeper.ports.clock import Clock
from trailkeeper.ports.landing import Landing
from trailkeeper.ports.merging import Merging
from trailkeeper.ports.worklist import Worklist

log = structlog.get_logger()


class ReapLedger(Merging, Worklist, Protocol):
    """What reaping needs of the ledger."""


KEEP_MERGED = timedelta(hours=24)
"""merged landing files are kept a day, as a second copy while the lake is young"""
KEEP_ORPHANS = timedelta(hours=24)
"""longer than any lease: an unknown file older than this belongs to no living attempt"""

KEEP_BLOBS = timedelta(hours=24)
"""after their expiry: by then no listing shows them any more"""


@dataclass(frozen=True, slots=True)
class ReapStep:
    ledger: ReapLedger
    landing: Landing
    clock: Clock

    def __call__(self) -> int:
        """How many files were removed. Running twice removes nothing more."""
        now = self.clock.now()
        merged = self.ledger.merged_files(now - KEEP_MERGED)
        for entry in merged:
            if entry.landed.file is not None:
                self.landing.remove(entry.stream.tenant, entry.landed.file)
        self.ledger.forget_files([entry.segment_id for entry in merged])
        orphans = self._remove_orphans()
        self.ledger.forget_blobs(now - KEEP_BLOBS)
        if merged or orphans:
            log.info("landing_reaped", merged=len(merged), orphans=orphans)
        return len(merged) + orphans

    def _remove_orphans(self) -> int:
        """Files that no unmerged segment needs: a fenced attempt's, or a killed one's."""
        old = list(self.landing.orphans(self.clock.now() - KEEP_ORPHANS))
        needed = self.ledger.known_files()
        removed = [place for place in old if place not in needed]
        for tenant, file in removed:
            self.landing.remove(tenant, file)
        return len(removed)
