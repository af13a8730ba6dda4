"""The sandbox's search engine without the wire, and the real walk and planning over it.

Rows stay numbers: nothing is rendered, sent or parsed, so that a month of millions of records is
walked in seconds. What is asked, in which order and for how many rows is what the service asks:
`SearchWalk`, `plan_range`, `follow_ups`, `ConcurrencyLimit`, `Density` and `SearchHabits` are the
real ones. Time is simulated: a call takes `seconds_per_call` + rows × `seconds_per_row`, nothing
else does.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sandbox.clock import Clock, micros
from sandbox.faults import FaultBook
from sandbox.parameters import Query
from sandbox.search import SearchEngine
from sandbox.tenants import Directory, Tenant
from trailkeeper.errors import NotFinished
from trailkeeper.model.concurrency import ConcurrencyLimit
from trailkeeper.model.measures.density import Density
from trailkeeper.model.planning import Cadence, plan_range
from trailkeeper.model.search.answer.rows import Choice, SearchAnswer, SearchLimits, SessionAnswer
from trailkeeper.model.search.habits import SearchHabits
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.walk import SearchWalk
from trailkeeper.model.segment import Lease, Leased, NewSegment, Segment, SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window
from trailkeeper.ports.source import Pulled
from trailkeeper.steps.pull import follow_ups

STREAM = Stream("contoso", Source.EXCHANGE)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SECOND = timedelta(seconds=1)


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
    concurrency: ConcurrencyLimit = field(default_factory=ConcurrencyLimit)

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


class _Pull(SearchPort):
    """One segment's walk, in a thread that runs only while it is its turn."""

    def __init__(self, run: _Run, number: int, new: NewSegment) -> None:
        self._run = run
        self._model = run.model
        self.number = number
        self.new = new
        self.habits = run.model.habits
        self.turn = threading.Event()
        model = run.model
        busiest = model.density.busiest()
        self.walk = SearchWalk(
            self,
            new.window,
            model.limits,
            busy_hour=10 if busiest is None else busiest % 24,
            proven_order=model.habits.order,
            known_doubts=model.habits.doubts(model.limits),
            credibility=model.habits.credibility(),
            density=model.density,
            turn=_Turn(run, self),
        )
        self.thread = threading.Thread(target=self._walk, daemon=True)

    def _walk(self) -> None:
        self.turn.wait()
        try:
            self.walk.run()
        finally:
            self._run.yielded.put(None)

    def now(self) -> datetime:
        return NOW

    def pause(self, seconds: float) -> None:
        self._run.elapse(self, seconds)

    def order_known(self) -> Choice | None:
        return self._model.habits.order

    def tell_order(self, choice: Choice | None) -> None:
        self._model.habits = replace(self._model.habits, order=choice)

    def require_auditing(self) -> None:
        self._spend(0)

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        model = self._model
        start = window.start.replace(microsecond=0) - SECOND
        query = Query(micros(start), micros(window.end), model.limits.cap)
        answer, _ = model.engine.search(model.tenant, query)
        self._run.seen.update(answer.ids)
        times = [model.tenant.store.times[i] for i in answer.ids]
        keys = [str(i) for i in answer.ids]
        count = len(answer.ids) if answer.ids else None
        said = SearchAnswer(window, NOW, keys, times, 0, (), count, answer.more)
        self.habits = self.habits.seen(said, model.limits.cap)
        self._spend(len(answer.ids))
        return said

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer:
        raise NotImplementedError("no second of these profiles is that full")

    def _spend(self, rows: int) -> None:
        self._run.cost.calls += 1
        self._run.cost.rows += rows
        model = self._model
        self._run.elapse(self, model.seconds_per_call + rows * model.seconds_per_row)


class _Turn(Turn):
    """As `trailkeeper.steps.pull` plays it, over the simulated ledger."""

    def __init__(self, run: _Run, pull: _Pull) -> None:
        self._run = run
        self._pull = pull

    def answered(self, *, clean: bool) -> None:
        model, ceiling = self._run.model, self._run.concurrency
        model.concurrency = (
            model.concurrency.after_clean(ceiling) if clean else model.concurrency.after_trouble()
        )

    def room(self) -> int:
        return self._run.room()

    def newer_under_way(self) -> bool:
        return self._run.newer_under_way(self._pull)

    def share(self, kept: Window, given: Sequence[Window]) -> bool:
        self._pull.new = replace(self._pull.new, window=kept)
        self._run.waiting += [replace(self._pull.new, window=each) for each in given]
        return True


class _Run:
    """One collection: segments waiting, and pulls that take turns in simulated time."""

    def __init__(self, model: Model, window: Window, concurrency: int) -> None:
        self.model = model
        self.cost = Cost()
        self.seen: set[int] = set()
        self.yielded: queue.Queue[None] = queue.Queue()
        self.concurrency = concurrency
        self._numbers = itertools.count(1)
        self.waiting = plan_range(STREAM, window, Cadence(), model.density)
        self._busy: dict[int, _Pull] = {}
        self._due: list[tuple[float, int]] = []
        self._deferred: list[tuple[float, NewSegment]] = []

    def until_done(self) -> Cost:
        while self.waiting or self._busy or self._deferred:
            self._due_again()
            while self.waiting and len(self._busy) < self.model.concurrency.allows(
                self.concurrency
            ):
                self._start()
            if not self._busy:
                self.cost.seconds = min(due for due, _ in self._deferred)
                continue
            self.cost.seconds, number = heapq.heappop(self._due)
            self._resume(self._busy[number])
        return self.cost

    def _due_again(self) -> None:
        now = self.cost.seconds
        self.waiting += [new for due, new in self._deferred if due <= now]
        self._deferred = [each for each in self._deferred if each[0] > now]

    def newer_under_way(self, pull: _Pull) -> bool:
        end = pull.new.window.end
        return any(other.new.window.start >= end for other in self._busy.values())

    def room(self) -> int:
        """As `trailkeeper.steps.slots` counts."""
        allowed = self.model.concurrency.allows(self.concurrency)
        return allowed - len(self._busy) - len(self.waiting)

    def elapse(self, pull: _Pull, seconds: float) -> None:
        """Called by a pull: let simulated time pass."""
        pull.turn.clear()
        heapq.heappush(self._due, (self.cost.seconds + seconds, pull.number))
        self.yielded.put(None)
        pull.turn.wait()

    def _start(self) -> None:
        """The newest waiting segment first, as the ledger gives them out."""
        self.waiting.sort(key=lambda new: new.window.start)
        pull = _Pull(self, next(self._numbers), self.waiting.pop())
        self._busy[pull.number] = pull
        pull.thread.start()
        self._resume(pull)

    def _resume(self, pull: _Pull) -> None:
        pull.turn.set()
        self.yielded.get()
        if not any(number == pull.number for _, number in self._due):
            self._finish(self._busy.pop(pull.number))

    def _finish(self, pull: _Pull) -> None:
        """What is learned counts from the moment that a walk ends, not before."""
        pull.thread.join()
        model, walk = self.model, pull.walk
        if isinstance(walk.interrupted, NotFinished) and not walk.findings:
            due = self.cost.seconds + walk.interrupted.retry_after
            self._deferred.append((due, pull.new))
            return
        order = model.habits.order or walk.order.proven
        habits = replace(pull.habits, probed_at=NOW, order=order)
        model.habits = habits.doubting(walk.doubts).believing(walk.credibility)
        assert all(f.verdict.proven for f in walk.findings), walk.findings
        model.density = walk.learned(model.density)
        pulled = Pulled(tuple(walk.findings), 0)
        self.waiting += follow_ups(_leased(pull.new, pull.number), pulled, NOW)


def _leased(new: NewSegment, number: int) -> Leased:
    segment = Segment(
        number, new.stream, new.window, new.purpose, new.round, SegmentState.LEASED, NOW, 0
    )
    return Leased(segment, Lease(number, "benchmark", 1, NOW))
