"""Two sources that nobody needs, as a newcomer would add them: rules, adapter, nothing else.

`toy` answers at once and lacks one record; `slowtoy` is asked by jobs and has them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.planning import plan_range, plan_stream
from trailkeeper.model.segment import Finding, Verdict
from trailkeeper.model.sources import SourceRules, register
from trailkeeper.model.stream import Source
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Axis, Window
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.jobs import JobState, JobStatus
from trailkeeper.ports.source import Check, Pulled, RecordSink

TOY = Source.define("toy", Axis.OCCURRED)
SLOW_TOY = Source.define("slowtoy", Axis.OCCURRED)
STEP = timedelta(minutes=20)
"""between two records"""
MISSING_AT = 7
"""`toy` lacks the record of this number"""

RULES = SourceRules(
    title="Toy",
    plan=lambda stream, begin, known, now, watermark: plan_stream(
        stream, begin, known.search, known.density, now, watermark
    ),
    cut=lambda stream, window, known: plan_range(stream, window, known.search, known.density),
)


def add_toys() -> None:
    """What the two lines in the tables do for a source of the product."""
    register(TOY, RULES)
    register(SLOW_TOY, RULES)


def records(window: Window, origin: datetime, *, without: int | None = None) -> list[str]:
    """A record every `STEP` from `origin` on, those of `window`."""
    texts = []
    for number in range((window.end - origin) // STEP + 1):
        at = origin + number * STEP
        if window.contains(at) and number != without:
            said = {"Id": f"id-{number}", "CreationTime": f"{at:%Y-%m-%dT%H:%M:%S}"}
            texts.append(json.dumps({**said, "Workload": "Toy", "Operation": "Played"}))
    return texts


def _delivered(texts: list[str], window: Window, sink: RecordSink, now: datetime) -> Pulled:
    if texts:
        sink.add(RecordReader(now).read(texts, [None] * len(texts), [None] * len(texts)))
    verdict = Verdict.COMPLETE if texts else Verdict.EMPTY_CONFIRMED
    return Pulled((Finding(window, verdict, now, "", {"rows": len(texts)}),), requests=1)


def _checks(trouble: TrailkeeperError | None) -> Iterator[Check]:
    if trouble:
        yield Check("shelf", False, trouble.summary, trouble.remedy)
        return
    yield Check("shelf", True, "the toys are on it")
    yield Check("toy", True, "toys need no more preflight checks")


@dataclass
class ToySource:
    """Implements `ports.source.AuditSource`."""

    clock: Clock
    origin: datetime
    source: Source = TOY
    trouble: TrailkeeperError | None = None
    """what the provider says instead of an answer"""

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        turn.still_ours()
        if self.trouble:
            return Pulled((), requests=1, interrupted=self.trouble)
        found = records(window, self.origin, without=MISSING_AT)
        return _delivered(found, window, sink, self.clock.now())

    def check(self, tenant: str) -> Iterator[Check]:
        return _checks(self.trouble)


@dataclass
class SlowToySource:
    """Implements `ports.jobs.JobSource`: an hour from question to answer."""

    clock: Clock
    origin: datetime
    source: Source = SLOW_TOY
    started: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """name → job and when it was started"""
    starts: int = 0
    trouble: TrailkeeperError | None = None
    """raised instead of every answer, as a client of a real service does"""

    def start(self, tenant: str, window: Window, name: str) -> str:
        self._answer()
        if name not in self.started:
            self.starts += 1
            self.started[name] = (f"job-{self.starts}", self.clock.now())
        return self.started[name][0]

    def status(self, tenant: str, job: str) -> JobStatus:
        self._answer()
        at = dict(self.started.values()).get(job)
        if at is None:
            return JobStatus(JobState.GONE)
        done = self.clock.now() - at >= timedelta(hours=1)
        return JobStatus(JobState.FINISHED if done else JobState.RUNNING, again_in=1800.0)

    def read(self, tenant: str, window: Window, job: str, sink: RecordSink, turn: Turn) -> Pulled:
        turn.still_ours()
        return _delivered(records(window, self.origin), window, sink, self.clock.now())

    def check(self, tenant: str) -> Iterator[Check]:
        return _checks(self.trouble)

    def _answer(self) -> None:
        if self.trouble:
            raise self.trouble
