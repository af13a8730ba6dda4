"""A source whose answers are made in the background: asked for now, read much later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trailkeeper.model.stream import Source
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window
from trailkeeper.ports.source import Check, Pulled, RecordSink


class JobState(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    """the provider gave up: the window is asked for again"""
    GONE = "gone"
    """the provider no longer knows the job: the window is asked for again"""


@dataclass(frozen=True, slots=True)
class JobStatus:
    state: JobState
    again_in: float = 60.0
    """seconds until it is worth asking again, while it runs"""


class JobSource(Protocol):
    """One API that is asked by jobs. `steps.jobs.JobPull` makes an `AuditSource` of it.

    Between `start` and `read` nobody holds a lease, and no worker waits.
    """

    source: Source

    def start(self, tenant: str, window: Window, name: str) -> str:
        """Ask for `window`; the job's id.

        `name` is this question's own: where the answer to an earlier `start` was lost, its job is
        found again by this name, and not made a second time.
        """
        ...

    def status(self, tenant: str, job: str) -> JobStatus: ...

    def read(self, tenant: str, window: Window, job: str, sink: RecordSink, turn: Turn) -> Pulled:
        """Fetch what a finished job found; as `AuditSource.pull`."""
        ...

    def check(self, tenant: str) -> Iterator[Check]:
        """As `AuditSource.check`."""
        ...
