"""Collect a range here and now: plan it, pull it, merge it, until nothing near is left.

The same steps that the workers run, driven by this process. Everything that counts is in the
ledger: two of these at once, or one that was killed and is started again, share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any, Protocol

from trailkeeper.errors import ConfigurationError, TrailkeeperError, Transient, Unavailable
from trailkeeper.model.segment import MergeCounts, NewSegment, Purpose, Segment, SegmentState
from trailkeeper.model.sources import Known, rules_of
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, subtract
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.leasing import BESIDE, Segments
from trailkeeper.ports.notes import Notes
from trailkeeper.ports.parking import PAUSED, Parking, Parkings
from trailkeeper.ports.planning import Planning
from trailkeeper.process.threads import Crew
from trailkeeper.steps.plan import known_density
from trailkeeper.steps.pull import Outcome


class CollectLedger(Planning, Segments, Parkings, Notes, Protocol):
    """What a collection needs of the ledger."""


PATIENCE = timedelta(minutes=2)
"""what is due again within this is waited for; what is due later is left to the service"""
_TICK_SECONDS = 0.5
_HUNGRY_SECONDS = 0.05
"""between looks for shared work while a slot is free for it"""
_ASK_AGAIN = timedelta(seconds=2)
"""before a segment that somebody else holds is tried again"""

Wanted = tuple[Stream, Window]


@dataclass(frozen=True, slots=True)
class CollectProgress:
    """How far a collection is; counts of segments and of records merged here."""

    segments: int
    finished: int
    pulling: int
    elsewhere: int
    """held by other processes"""
    merged: MergeCounts
    trouble: str = ""
    """why the segment that is tried next failed the last time; empty when none did"""

    @property
    def is_waiting(self) -> bool:
        return self.finished < self.segments and not self.pulling


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of a collection; what is proven is asked from the ledger, not from here."""

    merged: MergeCounts
    parked: tuple[Parking, ...]
    """of the sources asked for, as they stand at the end"""
    failures: tuple[TrailkeeperError, ...]
    """what stopped single segments for now; they stay in the ledger"""
    left: tuple[Segment, ...]
    """unfinished ones that were not waited for"""


class Flag(Protocol):
    """The part of `threading.Event` that is used here."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Pullers:
    """Processes that pull a source's segments instead of this one; `pull` is theirs, by name."""

    executor: Executor
    pull: Callable[[int, str], Outcome]


@dataclass(frozen=True, slots=True)
class CollectStep:
    """One per command. `pull` and `merge` are the steps; `threads` segments of a stream are pulled
    at a time, as workers do; the stream's pace may allow fewer.

    Sources without `pullers` are pulled by threads of this process.
    `stopping` set: what is being pulled goes back to the ledger and the collection ends early.
    """

    ledger: CollectLedger
    clock: Clock
    pull: Callable[[int, str], Outcome]
    merge: Callable[[str, str], MergeCounts]
    owner: str
    threads: int
    known: Known
    lease_length: timedelta
    stopping: Flag = field(default_factory=Event)
    pullers: Mapping[Source, Pullers] = field(default_factory=dict)

    def plan(self, tenant: str, wanted: Sequence[Wanted]) -> int:
        """Put the range into the ledger; how many segments were added.

        Lifts parkings of these sources first: the operator asks because the cause is mended. One
        that an operator asked for (`PAUSED`) stays.
        """
        self._unpark(tenant, {stream.source for stream, _ in wanted})
        now = self.clock.now()
        added = 0
        for stream, window in wanted:
            new = self._asked(stream, window, now)
            added += self.ledger.plan(stream, lambda _, new=new: new, now)  # type: ignore[misc]  # bound early
        return added

    def __call__(
        self,
        tenant: str,
        wanted: Sequence[Wanted],
        on_progress: Callable[[CollectProgress], None],
    ) -> Collected:
        """Pull and merge what is planned of `wanted` until it is done, far off, or parked.

        Raises `Unavailable` and `ConfigurationError`; every other error of one segment is kept in
        `Collected.failures` and the others go on.
        """
        size = self.threads * max(1, len(wanted))
        try:
            with Crew(size, "collect") as threads, Crew(1, "merge") as merger:
                return _Run(self, tenant, wanted, on_progress, threads, merger).until_done()
        except BrokenExecutor:
            raise Unavailable(
                "a pulling process was killed",
                "See whether memory ran out. The same command goes on from here, once the lease of "
                "what was being pulled has run out.",
            ) from None

    def watch(
        self,
        tenant: str,
        wanted: Sequence[Wanted],
        on_progress: Callable[[CollectProgress], None],
    ) -> Collected:
        """Wait while workers do the same; ends when nothing moved for longer than a lease lasts."""
        return _Run(self, tenant, wanted, on_progress).until_done()

    def _unpark(self, tenant: str, sources: Iterable[Source]) -> None:
        parkings = self.ledger.parkings(tenant)
        if any(p.source is None and p.code == PAUSED for p in parkings):
            return
        for parking in parkings:
            if parking.code != PAUSED and parking.source in (None, *sources):
                self.ledger.unpark(tenant, parking.source)

    def _asked(self, stream: Stream, window: Window, now: datetime) -> list[NewSegment]:
        """The range in segments, but for what an earlier call has planned and not finished.

        A segment that waits for a later time gets a twin that is due now: an operator who asks
        again does not mean "after the back-off".
        """
        under_way = [
            segment
            for segment in self.ledger.unfinished(stream.tenant, window)
            if segment.stream == stream and segment.purpose is Purpose.COLLECT
        ]
        waiting = [s for s in under_way if s.state is SegmentState.PLANNED and s.due_at > now]
        twins = [NewSegment(stream, s.window, s.purpose, s.round + 1) for s in waiting]
        rest = subtract([window], [segment.window for segment in under_way])
        return [*twins, *(new for part in rest for new in self._cut(stream, part))]

    def _cut(self, stream: Stream, window: Window) -> list[NewSegment]:
        known = replace(self.known, density=known_density(self.ledger, stream))
        return rules_of(stream.source).cut(stream, window, known)


class _Run:
    """One collection under way. Without executors it only watches."""

    def __init__(
        self,
        step: CollectStep,
        tenant: str,
        wanted: Sequence[Wanted],
        on_progress: Callable[[CollectProgress], None],
        threads: Executor | None = None,
        merger: Executor | None = None,
    ) -> None:
        self._step = step
        self._ledger = step.ledger
        self._clock = step.clock
        self._tenant = tenant
        self._wanted = dict(wanted)
        self._on_progress = on_progress
        self._threads = threads
        self._merger = merger
        self._pulling: dict[Future[Outcome], Segment] = {}
        self._merging: Future[MergeCounts] | None = None
        self._merge_after = step.clock.now()
        self._try_after: dict[int, datetime] = {}
        self._failures: dict[int, TrailkeeperError] = {}
        self._merged = MergeCounts()
        self._seen: set[int] = set()
        self._parked: list[Parking] = []
        self._standing: frozenset[tuple[int, SegmentState]] = frozenset()
        self._moved_at = step.clock.now()

    def until_done(self) -> Collected:
        try:
            while True:
                segments = self._unfinished()
                self._notice(segments)
                if not self._step.stopping.is_set():
                    self._start_pulls(segments)
                self._start_merge(segments)
                self._tell(segments)
                if not (self._busy or self._worth_waiting(segments)):
                    return self._result(segments)
                self._wait()
        except BaseException:
            self._step.stopping.set()  # the threads give back what they pull
            raise

    @property
    def _busy(self) -> bool:
        return bool(self._pulling or self._merging)

    def _unfinished(self) -> list[Segment]:
        """Everything unfinished in the range, whoever planned it."""
        spans: dict[Axis, list[Window]] = {}
        for window in self._wanted.values():
            spans.setdefault(window.axis, []).append(window)
        found = (
            segment
            for windows in spans.values()
            for window in dict.fromkeys(windows)
            for segment in self._ledger.unfinished(self._tenant, window)
        )
        return list({s.id: s for s in found if s.stream in self._wanted}.values())

    def _notice(self, segments: Sequence[Segment]) -> None:
        """Keep count, and remember when anything last moved and what is parked."""
        sources = {None, *(stream.source for stream in self._wanted)}
        self._parked = [p for p in self._ledger.parkings(self._tenant) if p.source in sources]
        self._seen.update(segment.id for segment in segments)
        standing = frozenset((segment.id, segment.state) for segment in segments)
        if standing != self._standing:
            self._standing, self._moved_at = standing, self._clock.now()

    def _tell(self, segments: Sequence[Segment]) -> None:
        states = [segment.state for segment in segments]
        failed = [segment for segment in segments if segment.error]
        next_try = min(failed, key=lambda segment: segment.due_at, default=None)
        self._on_progress(
            CollectProgress(
                segments=len(self._seen),
                finished=len(self._seen) - len(segments),
                pulling=len(self._pulling),
                elsewhere=max(states.count(SegmentState.LEASED) - len(self._pulling), 0),
                merged=self._merged,
                trouble=next_try.error if next_try else "",
            )
        )

    # --- pulling ---

    def _start_pulls(self, segments: Sequence[Segment]) -> None:
        if self._threads is None:
            return
        for segment in sorted(segments, key=lambda s: (s.purpose.rank, s.window.start)):
            busy = sum(pulling.stream == segment.stream for pulling in self._pulling.values())
            if busy < self._step.threads and self._may_try(segment):
                here = Pullers(self._threads, self._step.pull)
                pullers = self._step.pullers.get(segment.stream.source, here)
                owner = f"{self._step.owner}{BESIDE}"
                future = pullers.executor.submit(pullers.pull, segment.id, owner)
                self._pulling[future] = segment

    def _may_try(self, segment: Segment) -> bool:
        """Planned and due, or held by somebody whose lease may have run out by now."""
        now = self._clock.now()
        return (
            segment.state in (SegmentState.PLANNED, SegmentState.LEASED)
            and segment.due_at <= now
            and all(segment.id != pulling.id for pulling in self._pulling.values())
            and segment.id not in self._failures
            and self._try_after.get(segment.id, now) <= now
            and not self._is_parked(segment)
        )

    def _pulled(self, future: Future[Outcome]) -> None:
        segment_id = self._pulling.pop(future).id
        try:
            outcome = future.result()
        except (Unavailable, ConfigurationError):
            raise
        except TrailkeeperError as error:
            self._failures[segment_id] = error
            return
        if outcome is Outcome.NOT_OURS:
            self._try_after[segment_id] = self._clock.now() + _ASK_AGAIN
        else:
            self._moved_at = self._clock.now()
            self._try_after.clear()  # there is a slot again

    # --- merging ---

    def _start_merge(self, segments: Sequence[Segment]) -> None:
        landed = any(segment.state is SegmentState.LANDED for segment in segments)
        if landed and self._merger and not self._merging and self._clock.now() >= self._merge_after:
            owner = f"{self._step.owner}:merge"
            self._merging = self._merger.submit(self._step.merge, self._tenant, owner)

    def _merge_done(self) -> None:
        assert self._merging is not None  # noqa: S101 - the caller has just seen it finish
        future, self._merging = self._merging, None
        try:
            counts = future.result()
        except Transient:
            counts = MergeCounts()  # another writer won the commit; its turn, then ours
        if counts == MergeCounts():
            self._merge_after = self._clock.now() + _ASK_AGAIN
        self._merged += counts

    # --- waiting ---

    def _wait(self) -> None:
        futures: list[Future[Any]] = list(self._pulling)
        if self._merging:
            futures.append(self._merging)
        if not futures:
            self._clock.sleep(_TICK_SECONDS)
            return
        # A pull that is going on may share its window at any time, where a slot is free for it.
        hungry = 0 < len(self._pulling) < self._step.threads * len(self._wanted)
        seconds = _HUNGRY_SECONDS if hungry else _TICK_SECONDS
        wait(futures, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in [f for f in self._pulling if f.done()]:
            self._pulled(future)
        if self._merging and self._merging.done():
            self._merge_done()

    def _worth_waiting(self, segments: Sequence[Segment]) -> bool:
        """Somebody else is at work in the range, or something is due again soon.

        What is due and yet cannot be taken (its stream rests after a throttling, or no worker runs)
        is waited for as long as anything moved within the patience.
        """
        if self._step.stopping.is_set():
            return False
        now = self._clock.now()
        near = [
            s
            for s in segments
            if s.due_at <= now + PATIENCE and s.id not in self._failures and not self._is_parked(s)
        ]
        idle = now - self._moved_at
        if not self._threads:
            return bool(near) and idle < self._step.lease_length + PATIENCE
        if any(s.state is not SegmentState.PLANNED or s.due_at > now for s in near):
            return True
        return bool(near) and idle < PATIENCE

    def _is_parked(self, segment: Segment) -> bool:
        return any(p.stops(segment.stream.source) for p in self._parked)

    def _result(self, segments: Sequence[Segment]) -> Collected:
        return Collected(
            self._merged, tuple(self._parked), tuple(self._failures.values()), tuple(segments)
        )
