"""The sandbox's search engine without the wire, and the real walk and planning over it.

Rows stay numbers: nothing is rendered, sent or parsed, so that a month of millions of records is
walked in seconds. What is asked, in which order and for how many rows is what the service asks:
`SearchWalk`, `plan_range`, `follow_ups`, `Pace`, `Density` and `SearchHabits` are the real ones.
Time is simulated: a call takes `seconds_per_call` + rows × `seconds_per_row`, nothing else does.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sandbox.clock import Clock, micros
from sandbox.faults import FaultBook
from sandbox.parameters import Query
from sandbox.search import SearchEngine
from sandbox.tenants import Directory, Tenant
from trailkeeper.model.density import Density
from trailkeeper.model.pace import Pace
from trailkeeper.model.planning import Cadence, plan_range
from trailkeeper.model.search import SearchAnswer, SearchLimits, SessionAnswer
from trailkeeper.model.search_habits import SearchHabits
from trailkeeper.model.search_walk import SearchPort, SearchWalk
from trailkeeper.model.segment import Lease, Leased, NewSegment, Segment, SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.ports import Pulled
from trailkeeper.steps.pull import follow_ups

STREAM = Stream("contoso", Source.EXCHANGE)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SECOND = timedelta(seconds=1)
_HOUR_MICROS = 3_600_000_000


@dataclass
class Cost:
    """What was asked: `calls` of any cmdlet, `rows` of searches, and simulated `seconds`."""

    calls: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass
class Model:
    """One tenant of the sandbox, its engine, and what has been learned of it so far."""

    tenant: Tenant
    engine: SearchEngine
    limits: SearchLimits = field(default_factory=SearchLimits)
    seconds_per_call: float = 0.0
    seconds_per_row: float = 0.0
    density: Density = field(default_factory=Density)
    habits: SearchHabits = field(default_factory=SearchHabits)
    pace: Pace = field(default_factory=Pace)

    def records(self, window: Window) -> int:
        start, end = micros(window.start), micros(window.end)
        return len(self.tenant.store.between(start, end, after_start=False, with_end=False))

    def collect(self, window: Window, concurrency: int) -> Cost:
        """Plan and pull `window` with at most `concurrency` segments at a time; asserts that all of
        it is proven and every record was seen."""
        run = _Run(self, window, concurrency)
        cost = run.until_done()
        wanted = self.tenant.store.between(
            micros(window.start), micros(window.end), after_start=False, with_end=False
        )
        assert run.seen.issuperset(wanted), "records are missing"
        return cost


def model() -> Model:
    clock = Clock()
    tenant = Directory(clock).create("contoso")
    return Model(tenant, SearchEngine(clock, FaultBook(), 1))


class _Port(SearchPort):
    """Questions of one walk to the engine."""

    def __init__(self, model: Model, seen: set[int]) -> None:
        self._model = model
        self._seen = seen
        self.habits = model.habits
        self.cost = Cost()
        self.rows_by_hour: Counter[int] = Counter()

    def now(self) -> datetime:
        return NOW

    def pause(self, seconds: float) -> None:
        self.cost.seconds += seconds

    def require_auditing(self) -> None:
        self._spend(0)

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        cap = self._model.limits.cap
        start = window.start.replace(microsecond=0) - SECOND
        query = Query(micros(start), micros(window.end), cap)
        answer, _ = self._model.engine.search(self._model.tenant, query)
        self._spend(len(answer.ids))
        self._seen.update(answer.ids)
        times = [self._model.tenant.store.times[i] for i in answer.ids]
        self.rows_by_hour.update(time // _HOUR_MICROS for time in times)
        keys = [str(i) for i in answer.ids]
        count = len(answer.ids) if answer.ids else None
        said = SearchAnswer(window, NOW, keys, times, 0, (), count, answer.more)
        self.habits = self.habits.seen(said, cap)
        return said

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer:
        raise NotImplementedError("no second of these profiles is that full")

    def _spend(self, rows: int) -> None:
        self.cost.calls += 1
        self.cost.rows += rows
        self.cost.seconds += self._model.seconds_per_call + rows * self._model.seconds_per_row


class _Run:
    """One collection: segments waiting, workers busy until a simulated moment."""

    def __init__(self, model: Model, window: Window, concurrency: int) -> None:
        self._model = model
        self._concurrency = concurrency
        self._at = 0.0
        self._ids = 0
        self._waiting = plan_range(STREAM, window, Cadence(), model.density)
        self._busy: list[tuple[float, int, NewSegment, _Port, SearchWalk]] = []
        self.cost = Cost()
        self.seen: set[int] = set()

    def until_done(self) -> Cost:
        while self._waiting or self._busy:
            while self._waiting and len(self._busy) < self._model.pace.allows(self._concurrency):
                self._start()
            self._finish()
        self.cost.seconds = self._at
        return self.cost

    def _start(self) -> None:
        """The newest waiting segment first, as the ledger gives them out."""
        self._waiting.sort(key=lambda new: new.window.start)
        new = self._waiting.pop()
        model, port = self._model, _Port(self._model, self.seen)
        busiest = model.density.busiest()
        walk = SearchWalk(
            port,
            new.window,
            model.limits,
            busy_hour=10 if busiest is None else busiest % 24,
            order_proven=model.habits.order_proven,
            known_doubts=model.habits.doubts(model.limits),
            density=model.density,
        )
        walk.run()
        self._ids += 1
        heapq.heappush(self._busy, (self._at + port.cost.seconds, self._ids, new, port, walk))

    def _finish(self) -> None:
        """What is learned counts from the moment that a walk ends, not before."""
        self._at, number, new, port, walk = heapq.heappop(self._busy)
        self.cost.calls += port.cost.calls
        self.cost.rows += port.cost.rows
        model = self._model
        model.pace = model.pace.after_clean(self._concurrency)
        habits = replace(port.habits, probed_at=NOW, order_proven=walk.order_proven)
        model.habits = habits.doubting(walk.doubts)
        proven = [f.window for f in walk.findings if f.verdict.proven]
        assert len(proven) == len(walk.findings), walk.findings
        model.density = model.density.learn(proven, port.rows_by_hour)
        pulled = Pulled(tuple(walk.findings), 0, pieces=tuple(walk.pieces))
        self._waiting += follow_ups(_leased(new, number), pulled, NOW)


def _leased(new: NewSegment, number: int) -> Leased:
    segment = Segment(
        number, new.stream, new.window, new.purpose, new.round, SegmentState.LEASED, NOW, 0
    )
    return Leased(segment, Lease(number, "benchmark", 1, NOW))
