"""What a worker found in its queues that is not ours: counted in a file, said now and then.

A file of its own beside the metrics that come from the ledger: each worker's main process counts
what it alone dropped.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter, write_to_textfile

from wire.envelope import Fault

log = structlog.get_logger()

_SAY_SECONDS = 10.0
"""A flood is one line in so many seconds, and not one for each message."""


class Drops:
    """Counts, and passes the counts on; use one a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counter = Counter(
            "trailkeeper_messages_dropped",
            "Items in a queue that were not signed by us, or whose time was over.",
            ("node", "queue", "reason"),
            registry=self._registry,
        )
        self._unsaid: Tally[tuple[str, Fault]] = Tally()
        self._say_at = 0.0
        self._node = ""
        self._path: Path | None = None

    def begin(self, node: str, folder: Path) -> None:
        """Write the counts of this node to `folder` from now on."""
        self._node = node
        self._path = folder / f"trailkeeper-dropped-{node.partition('@')[0] or 'worker'}.prom"
        self._write()

    def __call__(self, queue: str, fault: Fault, count: int) -> None:
        self._unsaid[queue, fault] += count
        if time.monotonic() >= self._say_at:
            self.say()

    def say(self) -> None:
        """Log and write what came since the last time."""
        self._say_at = time.monotonic() + _SAY_SECONDS
        unsaid, self._unsaid = self._unsaid, Tally()
        for (queue, fault), count in unsaid.items():
            self._counter.labels(self._node, queue, fault.value).inc(count)
            log.warning("messages_dropped", queue=queue[:100], reason=fault.value, count=count)
        if unsaid:
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_to_textfile(str(self._path), self._registry)
        except OSError as error:
            log.warning("metrics_write_failed", reason=(error.strerror or str(error)).lower())


dropped = Drops()
"""of this process"""
