"""Lives of segments, drawn at random and held against a model that fits on a page."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.contract.ledger_words import CONTOSO, FABRIKAM, HOUR, MANY, T0, file_of, found, new, plan
from trailkeeper.errors import LeaseLost
from trailkeeper.model.segment import Landed, Leased, Merge, MergeCounts, Purpose, SegmentState
from trailkeeper.store.ledger import SqlLedger, open_ledger

PER_STREAM = 3
STREAMS = (CONTOSO, FABRIKAM)


@dataclass
class Expected:
    """What the model believes of one segment."""

    stream: int
    state: SegmentState = SegmentState.PLANNED
    due_at: datetime = T0
    deadline_at: datetime = T0
    epoch: int = 0
    attempts: int = 0

    def claimable(self, now: datetime) -> bool:
        if self.state is SegmentState.LEASED:
            return self.deadline_at <= now
        return self.state is SegmentState.PLANNED and self.due_at <= now


class Lives(RuleBasedStateMachine):
    """Workers that lease, die, wake up late and lie; one clock that only moves on."""

    leases = Bundle("leases")
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        shutil.copy(self.template, Path(self.folder) / "ledger.db")
        self.ledger: SqlLedger = open_ledger(f"sqlite:///{self.folder}/ledger.db")
        self.now = T0
        self.expected: dict[int, Expected] = {}
        self.merge: Merge | None = None

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    @rule(stream=st.integers(0, 1), hours=st.integers(0, 3), purpose=st.sampled_from(Purpose))
    def plan(self, stream: int, hours: int, purpose: Purpose) -> None:
        wanted = new(hours, STREAMS[stream], purpose)
        added = plan(self.ledger, wanted, now=self.now)
        if added:
            self.expected[self.ledger.planned_ids([wanted])[0]] = Expected(stream, due_at=self.now)

    @rule(hours=st.sampled_from([0.25, 0.5, 1, 2]))
    def wait(self, hours: float) -> None:
        self.now += hours * HOUR

    @rule(target=leases, index=st.integers(0, 9))
    def lease(self, index: int) -> object:
        if index >= len(self.expected):
            return multiple()
        id_, segment = list(self.expected.items())[index]
        live = self._live(segment.stream)
        got = self.ledger.lease(id_, "w", self.now, self.now + HOUR, PER_STREAM)
        assert (got is not None) == (segment.claimable(self.now) and live < PER_STREAM)
        if got is None:
            return multiple()
        segment.attempts += segment.state is SegmentState.LEASED
        segment.epoch += 1
        segment.state, segment.deadline_at = SegmentState.LEASED, self.now + HOUR
        assert got.lease.epoch == segment.epoch
        return got

    @rule(leased=leases)
    def renew(self, leased: Leased) -> None:
        if segment := self._held(leased, lambda: self.ledger.renew(leased.lease, self.now + HOUR)):
            segment.deadline_at = self.now + HOUR

    @rule(leased=leases, counts=st.booleans())
    def release(self, leased: Leased, counts: bool) -> None:
        later = self.now + HOUR / 2
        if segment := self._held(
            leased,
            lambda: self.ledger.release(leased.lease, later, "503", counts_as_attempt=counts),
        ):
            segment.state, segment.due_at = SegmentState.PLANNED, later
            segment.attempts += counts

    @rule(leased=leases, empty=st.booleans())
    def land(self, leased: Leased, empty: bool) -> None:
        landed = Landed(None, 0, 0, 1) if empty else file_of()
        if self._finished_by(leased):
            return
        findings = [found(leased)]
        if segment := self._held(
            leased, lambda: self.ledger.land(leased.lease, landed, findings, [], self.now)
        ):
            segment.state = SegmentState.MERGED if empty else SegmentState.LANDED

    @rule(leased=leases)
    def lose(self, leased: Leased) -> None:
        if self._finished_by(leased):
            return
        if segment := self._held(leased, lambda: self.ledger.lose(leased.lease, [], self.now)):
            segment.state = SegmentState.LOST

    @rule()
    def open_merge(self) -> None:
        got = self.ledger.open_merge("contoso", "m", self.now, self.now + HOUR, 250)
        if got is None:
            return
        if self.merge is not None:
            assert (got.id, got.entries) == (self.merge.id, self.merge.entries)
            assert got.epoch == self.merge.epoch + 1
        self.merge = got

    @rule()
    def close_merge(self) -> None:
        if self.merge is None:
            return
        counts = {entry.segment_id: MergeCounts(10, 10) for entry in self.merge.entries}
        self.ledger.close_merge(self.merge, counts, self.now)
        for entry in self.merge.entries:
            self.expected[entry.segment_id].state = SegmentState.MERGED
        self.merge = None

    @invariant()
    def states_agree(self) -> None:
        for segment in self.ledger.segments(list(self.expected)):
            expected = self.expected[segment.id]
            assert (segment.state, segment.attempts) == (expected.state, expected.attempts)

    @invariant()
    def due_agrees(self) -> None:
        due = self.ledger.due(self.now, MANY, PER_STREAM)
        for number, stream in enumerate(STREAMS):
            ours = [s.id for s in due if s.stream == stream]
            free = max(0, PER_STREAM - self._live(number))
            may = [id_ for id_, s in self.expected.items() if s.stream == number]
            claimable = [id_ for id_ in may if self.expected[id_].claimable(self.now)]
            assert len(ours) == min(free, len(claimable))
            assert set(ours) <= set(claimable)

    def _live(self, stream: int) -> int:
        return sum(
            segment.state is SegmentState.LEASED and segment.deadline_at > self.now
            for segment in self.expected.values()
            if segment.stream == stream
        )

    def _held(self, leased: Leased, call: object) -> Expected | None:
        """Make the call; LeaseLost is right exactly when the lease is not the newest."""
        segment = self.expected[leased.segment.id]
        holds = segment.epoch == leased.lease.epoch and segment.state is SegmentState.LEASED
        if holds:
            call()  # type: ignore[operator]  # every caller gives a function
            return segment
        with pytest.raises(LeaseLost):
            call()  # type: ignore[operator]  # as above
        return None

    def _finished_by(self, leased: Leased) -> bool:
        """Finished by this very lease: a repeat is allowed and has its own test."""
        segment = self.expected[leased.segment.id]
        unfinished = (SegmentState.PLANNED, SegmentState.LEASED)
        return segment.epoch == leased.lease.epoch and segment.state not in unfinished


def test_the_ledger_agrees_with_the_model(sqlite_template: Path) -> None:
    """Whatever workers do in whatever order, states, attempts, epochs and what is due agree."""
    Lives.template = sqlite_template
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
