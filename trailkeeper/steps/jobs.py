"""Pull a source that is asked by jobs: start one, give the segment back, read it once done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from trailkeeper.errors import (
    LeaseLost,
    NotFinished,
    TrailkeeperError,
    Transient,
    Unavailable,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.jobs import JobSource, JobState
from trailkeeper.ports.notes import Notebook
from trailkeeper.ports.source import Check, Pulled, RecordSink

LONGEST_JOB = timedelta(hours=8)
"""a job that runs longer is given up: the window is asked for again"""


@dataclass(frozen=True, slots=True)
class JobPull:
    """Implements `ports.source.AuditSource` over a `JobSource`.

    The ledger notes the question's name before the job is started and the job's id after it: a
    process that dies in between finds the job again by its name. Two pulls of one window never run
    at once, since a segment has one lease.
    """

    jobs: JobSource
    notebook: Notebook
    clock: Clock

    @property
    def source(self) -> Source:
        return self.jobs.source

    def check(self, tenant: str) -> Iterator[Check]:
        return self.jobs.check(tenant)

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        """Read the window's job. Raises `NotFinished` while it runs; a job that came to nothing is
        an error of the provider, and comes back in `Pulled.interrupted` as any other."""
        turn.still_ours()
        try:
            return self._read(tenant, window, sink, turn)
        except (NotFinished, LeaseLost, Unavailable):  # nobody's fault, or the step's own parts
            raise
        except TrailkeeperError as error:
            return Pulled((), requests=1, interrupted=error)

    def _read(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        key = job_key(Stream(tenant, self.source), window)
        job = self._job(key, tenant, window)
        status = self.jobs.status(tenant, job.id)
        if status.state is JobState.RUNNING and self.clock.now() - job.started_at < LONGEST_JOB:
            raise NotFinished(f"the query for {window} still runs", "", retry_after=status.again_in)
        if status.state is not JobState.FINISHED:
            self.notebook.forget(key)
            raise Transient(
                f"the query for {window} came to nothing ({status.state.value})",
                "The window is asked for again.",
            )
        pulled = self.jobs.read(tenant, window, job.id, sink, turn)
        self.notebook.forget(key)
        return pulled

    def _job(self, key: str, tenant: str, window: Window) -> _Job:
        noted = self.notebook.noted(key)
        name, job = json.loads(noted[0]) if noted else (f"trailkeeper {uuid4()}", "")
        if not noted:
            self.notebook.note(key, json.dumps([name, ""]), self.clock.now())
        if not job:
            job = self.jobs.start(tenant, window, name)
            self.notebook.note(key, json.dumps([name, job]), self.clock.now())
        return _Job(job, noted[1] if noted else self.clock.now())


@dataclass(frozen=True, slots=True)
class _Job:
    id: str
    started_at: datetime


def job_key(stream: Stream, window: Window) -> str:
    """Where the ledger keeps the job that was started for a window."""
    return f"job/{stream.tenant}/{stream.source.value}/{window}"
