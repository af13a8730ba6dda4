"""A source that is added is a folder of its own and two lines: no step knows its name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tests.configured import settings_of
from tests.plugins.toy_source import MISSING_AT, SLOW_TOY, TOY, SlowToySource, ToySource, add_toys
from trailkeeper.model import sources as rules
from trailkeeper.model.segment import SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.ports.source import AuditSource
from trailkeeper.settings import Settings
from trailkeeper.steps.cover import CoverStep
from trailkeeper.steps.jobs import JobPull
from trailkeeper.steps.match import MatchStep
from trailkeeper.steps.merge import MergeStep
from trailkeeper.steps.plan import plan_tenants
from trailkeeper.steps.pull import Outcome, PullStep
from trailkeeper.store.lake import DeltaLake
from trailkeeper.store.landing import FileLanding
from trailkeeper.store.ledger import SqlLedger

ORIGIN = datetime(2026, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TENANT = "contoso"
FILE = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
sources = ["toy", "slowtoy"]
since = "2026-10-01"
[certificate]
pfx = "contoso.pfx"
"""


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys are known for one test only."""
    monkeypatch.setattr(rules, "_RULES", dict(rules.known_rules()))
    add_toys()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, TENANT, FILE)


class Line:
    """The real ledger, landing and lake around the two toys."""

    def __init__(self, folder: Path, settings: Settings, ledger: SqlLedger) -> None:
        self.clock = HandClock(ORIGIN + 12 * DAY)
        self.settings, self.ledger = settings, ledger
        self.lake = DeltaLake(str(folder / "lake"))
        self.slow = SlowToySource(self.clock, ORIGIN)
        toy = ToySource(self.clock, ORIGIN)
        sources: dict[Source, AuditSource] = {
            TOY: toy,
            SLOW_TOY: JobPull(self.slow, ledger, self.clock),
        }
        landing, lease = FileLanding(folder / "landing"), timedelta(minutes=2)
        self.pull = PullStep(ledger, landing, sources, self.clock, lease, 3)
        self.merge = MergeStep(ledger, landing, self.lake, self.clock, lease)
        self.cover = CoverStep(ledger, settings.collection, frozenset(rules.known_rules()))

    def plan(self) -> int:
        return plan_tenants(self.settings, self.ledger, rules.known_rules(), self.clock.now())

    def pull_due(self) -> list[Outcome]:
        due = self.ledger.due(self.clock.now(), 1000, 3)
        return [self.pull(segment.id, "here") for segment in due]

    def pull_all(self) -> None:
        for _ in range(100):
            if not self.pull_due():
                self.clock.time += timedelta(minutes=30)
                if not self._unfinished():
                    return
        raise AssertionError("the toys never came to an end")

    def _unfinished(self) -> bool:
        window = Window(ORIGIN, self.clock.now())
        found = self.ledger.unfinished(TENANT, window)
        return any(segment.state is not SegmentState.LANDED for segment in found)

    def merge_all(self) -> int:
        stored = 0
        while counts := self.merge(TENANT, "here").stored:
            stored += counts
        return stored


@pytest.fixture
def line(tmp_path: Path, settings: Settings, ledger: SqlLedger) -> Line:
    return Line(tmp_path, settings, ledger)


def test_a_new_source_is_planned_pulled_merged_covered_and_matched(line: Line) -> None:
    """The whole line runs over two sources of which no file of the product knows."""
    assert line.plan() > 0
    line.pull_all()
    assert line.merge_all() == 12 * DAY // timedelta(minutes=20)
    asked = (ORIGIN, ORIGIN + 11 * DAY)
    tenant = line.settings.tenants[TENANT]
    covered = line.cover.of_tenant(tenant, line.clock.now(), asked)
    assert [(each.stream.source, each.is_complete) for each in covered] == [
        (TOY, True),
        (SLOW_TOY, True),
    ]
    match = MatchStep(line.ledger, line.lake, line.cover, line.clock)
    assert match(tenant, at_once=True) > 0
    measured = {each.stream.source: each.match for each in line.cover.measured(covered)}
    found = measured[TOY]
    assert found is not None
    assert sum(found.missed[TOY].values()) == 1, f"the toy lacks record {MISSING_AT}"
    assert not sum(found.missed[SLOW_TOY].values())


def test_a_job_holds_no_lease_while_it_runs(line: Line) -> None:
    """Between the question and the answer of an hour later the segment belongs to nobody, no
    attempt is charged, and the job is started once."""
    line.plan()
    stream = Stream(TENANT, SLOW_TOY)
    due = line.ledger.due(line.clock.now(), 1, 3, stream)
    assert line.pull(due[0].id, "here") is Outcome.POSTPONED
    [waiting] = line.ledger.segments([due[0].id])
    assert (waiting.state, waiting.attempts) == (SegmentState.PLANNED, 0)
    assert waiting.due_at == line.clock.now() + timedelta(minutes=30)
    line.clock.time += timedelta(hours=1)
    assert line.pull(due[0].id, "another") is Outcome.LANDED
    assert line.slow.starts == 1
    assert line.ledger.all_noted(f"job/{TENANT}/") == {}


def test_a_job_whose_start_was_never_noted_is_found_again(line: Line) -> None:
    """A process that dies between starting a job and noting it leaves one job, and not two."""
    line.plan()
    stream = Stream(TENANT, SLOW_TOY)
    [segment] = line.ledger.due(line.clock.now(), 1, 3, stream)
    line.pull(segment.id, "here")
    [(key, (noted, at))] = line.ledger.all_noted(f"job/{TENANT}/").items()
    name = noted.split('"')[1]
    line.ledger.note(key, f'["{name}", ""]', at)  # as the dead process left it
    line.clock.time += timedelta(hours=1)
    assert line.pull(segment.id, "another") is Outcome.LANDED
    assert line.slow.starts == 1


def test_a_job_that_is_gone_is_started_anew(line: Line) -> None:
    """A provider that forgot the job is asked again, as another attempt."""
    line.plan()
    stream = Stream(TENANT, SLOW_TOY)
    [segment] = line.ledger.due(line.clock.now(), 1, 3, stream)
    line.pull(segment.id, "here")
    line.slow.started.clear()
    line.clock.time += timedelta(hours=1)
    assert line.pull(segment.id, "here") is Outcome.POSTPONED
    line.clock.time += timedelta(hours=1)
    line.pull(segment.id, "here")
    assert line.slow.starts == 2
