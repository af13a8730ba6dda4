"""Pull one segment: lease it, land what the source gives, mark what was proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Protocol

import structlog

from trailkeeper.errors import (
    ConfigurationError,
    LeaseLost,
    Lost,
    NeedsPerson,
    NotFinished,
    Throttled,
    TrailkeeperError,
    Transient,
)
from trailkeeper.model.feed.rules import refused_types
from trailkeeper.model.segment import (
    MISSING,
    Finding,
    Landed,
    Leased,
    NewSegment,
    Purpose,
    Segment,
    Verdict,
)
from trailkeeper.model.sources import rules_of
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, subtract, union
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.landing import Landing
from trailkeeper.ports.leasing import Leasing
from trailkeeper.ports.notes import Notebook
from trailkeeper.ports.parking import PAUSED, Parking, Parkings
from trailkeeper.ports.planning import Planning
from trailkeeper.ports.proof import Proof
from trailkeeper.ports.source import AuditSource, Pulled
from trailkeeper.steps.content_types import ask_what_was_missed, asked_again, note_content_types
from trailkeeper.steps.fairness import Fairness
from trailkeeper.steps.heartbeat import Heartbeat
from trailkeeper.steps.identify import Require, anybody
from trailkeeper.steps.slots import Slots, SlotTurn, hint

log = structlog.get_logger()


class PullLedger(Planning, Leasing, Parkings, Proof, Notebook, Protocol):
    """What a pull needs of the ledger."""


RETRY_AFTER = (
    timedelta(seconds=30),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
    timedelta(days=3),
    timedelta(days=7),
)
"""when a suspect or missing part is asked again; after the last it stays suspect until re-read"""
LONGEST_BACKOFF = timedelta(hours=1)
PARKED_RETRY = timedelta(hours=24)
"""a parked tenant is tried again daily: the person may have acted without telling us"""
MISCONFIGURED_RETRY = timedelta(hours=1)
"""the same where a file of ours is at fault: looking again asks nobody"""
_MISSED_FOR_A_MOMENT = 3
"""failed attempts for which a certificate's file may only be on its way: it is replaced by hand"""


class Outcome(StrEnum):
    LANDED = "landed"
    EMPTY = "empty"
    """landed without a record: there is nothing to merge"""
    NOT_OURS = "not_ours"
    """not due, owned by somebody else, parked, or its stream or tenant has what it may have"""
    POSTPONED = "postponed"
    """back to planned, due later"""
    PARKED = "parked"
    LOST = "lost"


class StoppedError(Exception):
    """This process is about to end: give the segment back, as if it had never been taken."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class PullStep:
    """The pull step with everything it needs; one per process."""

    ledger: PullLedger
    landing: Landing
    sources: Mapping[Source, AuditSource]
    clock: Clock
    lease_length: timedelta
    per_stream: int
    """most segments of one stream at a time; the stream's own limit may be lower"""
    stopping: Callable[[], bool] = _never
    """asked between requests: True gives the segment back at once instead of finishing it"""
    require: Require = anybody
    fairness: Fairness | None = None
    """where this process is one of those that all tenants share"""

    def __call__(
        self, segment_id: int, owner: str, enqueue: Callable[[], None] = lambda: None
    ) -> Outcome:
        """Pull one segment if it is ours to pull; see `of`."""
        found = self.ledger.segments([segment_id])
        return self.of(found[0], owner, enqueue) if found else Outcome.NOT_OURS

    def of(
        self, segment: Segment, owner: str, enqueue: Callable[[], None] = lambda: None
    ) -> Outcome:
        """Pull this segment if it is ours to pull.

        `enqueue` is called while it is pulled, when others may take more of its stream.
        Provider errors end in the ledger (postponed, parked, lost), not in an exception.
        Raises `Unavailable` when the disk or the ledger is out of reach, `ConfigurationError`
        before anything is asked when the tenant's name stands for another directory by now.
        """
        self.require(segment.stream.tenant)
        now = self.clock.now()
        until = now + self.lease_length
        slots = Slots(self.ledger, self.clock, self.per_stream)
        limit = slots.concurrency(segment.stream)
        allowed = limit.allows(self.per_stream)
        shared = self.fairness.processes() if self.fairness else None
        leased = self.ledger.lease(segment.id, owner, now, until, allowed, shared)
        if leased is None:
            return Outcome.NOT_OURS
        outcome = Outcome.POSTPONED
        try:
            outcome = self._held(SlotTurn(slots, leased, limit, enqueue), now)
        finally:
            self._told(leased, now, outcome)
        return outcome

    def _told(self, leased: Leased, since: datetime, outcome: Outcome) -> None:
        """How long the process was held, for the shares of the next ones."""
        if self.fairness:
            landed = outcome in (Outcome.LANDED, Outcome.EMPTY)
            with hint("held"):
                self.fairness.held(leased.segment.stream, since, landed=landed)

    def _held(self, turn: SlotTurn, now: datetime) -> Outcome:
        """Pull what is leased, whatever comes of it."""
        leased = turn.leased
        with structlog.contextvars.bound_contextvars(
            tenant=leased.segment.stream.tenant,
            source=leased.segment.stream.source.value,
            segment=leased.segment.id,
            window=str(leased.segment.window),
            epoch=leased.lease.epoch,
        ):
            try:
                return self._pull(turn)
            except LeaseLost:
                log.warning("segment_taken_over")
                return Outcome.NOT_OURS
            except StoppedError:
                self.ledger.release(leased.lease, now, "", counts_as_attempt=False)
                return Outcome.POSTPONED
            except NotFinished as error:
                return self._waits(leased, error)
            except TrailkeeperError as error:
                return self._failed(turn, error)

    def _pull(self, turn: SlotTurn) -> Outcome:
        leased = turn.leased
        segment = leased.segment
        source = self.sources[segment.stream.source]
        renew = partial(self.ledger.renew, leased.lease)
        with (
            Heartbeat(renew, self.clock, self.lease_length) as heart,
            self.landing.open(leased.lease, segment.stream.tenant) as writer,
        ):
            turn.check = partial(self._still_ours, heart)
            pulled = source.pull(segment.stream.tenant, segment.window, writer, turn)
            if not pulled.findings and not writer.received and pulled.interrupted:
                raise pulled.interrupted
            landed = Landed(
                writer.seal(), writer.received, writer.size, pulled.requests, pulled.foreign
            )
            self._mark(turn, landed, pulled)
        _log_landed(landed, pulled)
        return Outcome.LANDED if landed.file else Outcome.EMPTY

    def _still_ours(self, heart: Heartbeat) -> None:
        """Called between requests: ends the pull when we have to stop, or lost the segment."""
        if self.stopping():
            raise StoppedError
        heart.check()

    def _mark(self, turn: SlotTurn, landed: Landed, pulled: Pulled) -> None:
        _bind_window(turn)
        now = self.clock.now()
        leased = turn.leased
        planned = [
            *follow_ups(leased, pulled, now, landed.size),
            *self._repairs(leased, pulled, now),
            *asked_again(self.ledger, leased.segment.stream, pulled, now),
        ]
        self.ledger.land(leased.lease, landed, pulled.findings, planned, now, pulled.marks)
        # Only whoever still owned the segment may speak for the stream.
        note_content_types(self.ledger, leased.segment.stream, pulled, now, PARKED_RETRY)
        ask_what_was_missed(self.ledger, leased.segment.stream, pulled, now)
        turn.ended(pulled.interrupted)
        if _left_much(leased, pulled, landed.size):
            turn.left()
        self._interrupted(leased, pulled.interrupted)
        if pulled.interrupted is None and leased.parked:
            self._mended(leased.segment.stream)

    def _repairs(self, leased: Leased, pulled: Pulled, now: datetime) -> list[NewSegment]:
        """What this source lost may still be had from another one."""
        if not any(finding.verdict is Verdict.LOST for finding in pulled.findings):
            return []
        stream = leased.segment.stream
        streams = self.ledger.streams(stream.tenant)
        return rules_of(stream.source).repair(pulled.findings, streams, now)

    def _mended(self, stream: Stream) -> None:
        """A parked source that answers again is parked no longer; a pause is the operator's."""
        now = self.clock.now()
        if any(
            parking.source is stream.source
            and not parking.content_type  # that one is lifted when its own type answers
            and parking.code != PAUSED
            and parking.retry_at is not None
            and parking.retry_at <= now  # this was its daily try, not an answer from before
            for parking in self.ledger.parkings(stream.tenant)
        ):
            self.ledger.unpark(stream.tenant, stream.source)
            log.info("tenant_unparked", tenant=stream.tenant, source=stream.source.value)

    def _interrupted(self, leased: Leased, error: TrailkeeperError | None) -> None:
        """What an error means for the tenant, when part of the window was proven before it."""
        if isinstance(error, Throttled):
            self._throttled(leased, error)
        elif error and _needs_person(leased, error):
            self._park(leased, error)

    def _waits(self, leased: Leased, error: NotFinished) -> Outcome:
        """The provider works on the answer: nobody holds the segment meanwhile."""
        due_at = self.clock.now() + timedelta(seconds=error.retry_after)
        self.ledger.release(leased.lease, due_at, "", counts_as_attempt=False)
        log.info("segment_deferred", reason=error.summary, due_at=due_at)
        return Outcome.POSTPONED

    def _failed(self, turn: SlotTurn, error: TrailkeeperError) -> Outcome:
        """Nothing was landed: back to planned, parked or lost."""
        _bind_window(turn)
        now = self.clock.now()
        leased = turn.leased
        if isinstance(error, Lost):
            finding = Finding(leased.segment.window, Verdict.LOST, now, error.summary)
            self.ledger.lose(leased.lease, [finding], now)
            log.warning("segment_lost", reason=error.summary)
            return Outcome.LOST
        needs_person = _needs_person(leased, error)
        due_at = now if needs_person else now + _pause(leased, error)
        counts = not (needs_person or isinstance(error, Throttled))
        self.ledger.release(leased.lease, due_at, str(error), counts_as_attempt=counts)
        # Only whoever still owned the segment may speak for the stream.
        turn.ended(error)
        self._interrupted(leased, error)
        if needs_person:
            return Outcome.PARKED
        if not isinstance(error, Transient):
            log.error("segment_failed", reason=error.summary, code=error.code)
            raise error
        log.warning(
            "segment_postponed",
            reason=error.summary,
            code=error.code,
            request_id=error.request_id,
            due_at=due_at,
        )
        return Outcome.POSTPONED

    def _throttled(self, leased: Leased, error: Throttled) -> None:
        until = self.clock.now() + timedelta(seconds=error.retry_after)
        self.ledger.postpone(leased.segment.stream, until)
        log.warning("tenant_throttled", seconds=error.retry_after, code=error.code)

    def _park(self, leased: Leased, error: TrailkeeperError) -> None:
        now = self.clock.now()
        rests = PARKED_RETRY if isinstance(error, NeedsPerson) else MISCONFIGURED_RETRY
        stream = leased.segment.stream
        self.ledger.park(
            Parking(
                tenant=stream.tenant,
                source=stream.source,
                parked_at=now,
                code=error.code,
                summary=error.summary,
                remedy=error.remedy,
                retry_at=now + rests,
            )
        )
        log.error(
            "tenant_parked",
            reason=error.summary,
            remedy=error.remedy,
            code=error.code,
            request_id=error.request_id,
        )


def _bind_window(turn: SlotTurn) -> None:
    """From now on the log speaks of what is left of the window, and not of what was shared."""
    structlog.contextvars.bind_contextvars(window=str(turn.leased.segment.window))


def _needs_person(leased: Leased, error: TrailkeeperError) -> bool:
    """What no retry of ours mends: the provider says so, or our own files stay wrong."""
    stays_wrong = leased.segment.attempts >= _MISSED_FOR_A_MOMENT
    return isinstance(error, NeedsPerson) or (stays_wrong and isinstance(error, ConfigurationError))


def follow_ups(
    leased: Leased, pulled: Pulled, now: datetime, landed_bytes: int = 0
) -> list[NewSegment]:
    """Segments for what this pull did not prove: the unproven later, the unasked soon."""
    segment = leased.segment
    retry = segment.round + 1 if segment.purpose is Purpose.RETRY else 1
    # What lacks a refused content type is asked for again when that answers, not before.
    unproven = [
        f.window
        for f in pulled.findings
        if f.verdict in (Verdict.SUSPECT, Verdict.GAP)
        and (MISSING in f.evidence or not refused_types(f))
    ]
    if retry > len(RETRY_AFTER):
        unproven = []
    unasked = _unasked(leased, pulled)
    soon = now + (_pause(leased, pulled.interrupted) if pulled.interrupted else timedelta())
    if unasked == [segment.window]:  # the very same question: only a retry may be planned again
        unproven, unasked = [*unproven, *unasked], []
    later = max(soon, now + RETRY_AFTER[min(retry, len(RETRY_AFTER)) - 1])
    if pulled.interrupted:
        later = soon  # what stopped the pull was not the window's fault
    purpose = segment.purpose
    is_poll = purpose is Purpose.INCREMENTAL and rules_of(segment.stream.source).polled
    if is_poll and (pulled.interrupted or _left_much(leased, pulled, landed_bytes)):
        purpose = Purpose.BACKFILL  # a backlog: it must not hold up the next fresh poll
    return [
        *(NewSegment(segment.stream, w, Purpose.RETRY, retry, later) for w in union(unproven)),
        *(
            NewSegment(segment.stream, piece, purpose, segment.round, soon)
            for window in unasked
            for piece in window.split(*pulled.cuts)
        ),
    ]


def _unasked(leased: Leased, pulled: Pulled) -> list[Window]:
    return subtract([leased.segment.window], [f.window for f in pulled.findings])


def _left_much(leased: Leased, pulled: Pulled, landed_bytes: int) -> bool:
    """Whether the pull ended because it had enough: others may take the rest now."""
    if pulled.interrupted:
        return False
    enough = rules_of(leased.segment.stream.source).large_bytes
    large = enough is not None and landed_bytes >= enough
    return bool(pulled.cuts) or (large and bool(_unasked(leased, pulled)))


def _pause(leased: Leased, error: TrailkeeperError) -> timedelta:
    if isinstance(error, Throttled):
        return timedelta(seconds=error.retry_after)
    return back_off(leased.segment)


def back_off(segment: Segment) -> timedelta:
    """Until a segment that failed once more is tried again."""
    tries = segment.attempts + (segment.round if segment.purpose is Purpose.RETRY else 0)
    return min(timedelta(seconds=5 * 2 ** min(tries, 20)), LONGEST_BACKOFF)


def _log_landed(landed: Landed, pulled: Pulled) -> None:
    log.info(
        "segment_landed",
        received=landed.received,
        bytes=landed.size,
        requests=landed.requests,
        foreign=landed.foreign,
        verdicts=_verdicts(pulled.findings),
        interrupted=str(pulled.interrupted) if pulled.interrupted else None,
    )


def _verdicts(findings: Sequence[Finding]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for finding in findings:
        counted[finding.verdict.value] = counted.get(finding.verdict.value, 0) + 1
    return counted
