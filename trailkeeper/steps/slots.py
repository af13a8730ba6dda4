"""The places of a stream: how many segments it may have under lease, and who takes one.

A pull holds one slot. Between its requests it says how the service took them (`answered`), sees
whether slots are free (`room`) and gives a part of its window to others (`share`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from trailkeeper.errors import TrailkeeperError, Transient, Unavailable
from trailkeeper.model.concurrency import ConcurrencyLimit
from trailkeeper.model.segment import Leased, NewSegment, Segment, SegmentState
from trailkeeper.model.stream import Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.leasing import Leasing
from trailkeeper.ports.notes import Notebook

log = structlog.get_logger()

_ALL = 10_000
"""segments of one stream: more were never due at a time"""


class SlotLedger(Leasing, Notebook, Protocol):
    """What a turn needs of the ledger."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What every turn of one process stands on. `most` bounds any stream; its limit may be
    lower."""

    ledger: SlotLedger
    clock: Clock
    most: int

    def concurrency(self, stream: Stream) -> ConcurrencyLimit:
        noted = self.ledger.noted(concurrency_key(stream))
        return ConcurrencyLimit.from_text(noted[0]) if noted else ConcurrencyLimit()

    def free(self, stream: Stream) -> int:
        """How many more segments of `stream` could be pulled now, if there were any.

        Segments that wait take the slots first: with more of them than slots it is negative.
        """
        now = self.clock.now()
        unfinished = self.ledger.unfinished(stream.tenant, _always(stream))
        mine = [segment for segment in unfinished if segment.stream == stream]
        busy = sum(s.state is SegmentState.LEASED for s in mine)
        waiting = sum(s.state is SegmentState.PLANNED and s.due_at <= now for s in mine)
        return self.concurrency(stream).allows(self.most) - busy - waiting

    def newer_under_way(self, segment: Segment) -> bool:
        """Whether a segment of newer time of the same stream is under a live lease."""
        stream, end = segment.stream, segment.window.end
        newer = {
            other.id
            for other in self.ledger.unfinished(stream.tenant, _always(stream))
            if other.state is SegmentState.LEASED
            and other.stream == stream
            and other.window.start >= end
        }
        if not newer:
            return False
        dead = self.ledger.due(self.clock.now(), _ALL, _ALL, stream)
        return bool(newer - {other.id for other in dead})

    def went(self, stream: Stream, *, clean: bool) -> bool:
        """Adjust the stream's limit; whether it allows more now. Two workers at once may lose one
        step."""
        before = self.concurrency(stream)
        after = before.after_clean(self.most) if clean else before.after_trouble()
        if after != before:
            self.ledger.note(concurrency_key(stream), after.to_text(), self.clock.now())
        return after.allows(self.most) > before.allows(self.most)


class SlotTurn(Turn):
    """The turn of one leased segment."""

    def __init__(
        self, slots: Slots, leased: Leased, limit: ConcurrencyLimit, enqueue: Callable[[], None]
    ) -> None:
        """`limit`: when the segment was leased. `enqueue` is called when others may take more of
        the stream than before."""
        self._slots = slots
        self._limit = limit
        self._enqueue = enqueue
        self._spoke = False
        self.leased = leased
        """as it stands in the ledger: narrower once something was shared"""
        self.check: Callable[[], None] = lambda: None
        """raises what ends the pull"""

    def still_ours(self) -> None:
        self.check()

    def answered(self, *, clean: bool) -> None:
        self._spoke = True
        with hint("answered"):
            if self._slots.went(self.leased.segment.stream, clean=clean):
                self._enqueue()

    def ended(self, error: TrailkeeperError | None) -> None:
        """A source that does not speak of single answers is taken by its whole pull, and by what
        ended it early. A pull that a person, or something of ours, ended says nothing of the limit.

        A poll that had all the slots there are asks the ledger nothing.
        """
        if self._spoke or not (error is None or isinstance(error, Transient)):
            return
        at_most = self._limit == self._limit.after_clean(self._slots.most)
        if error or not at_most:
            self.answered(clean=error is None)

    def left(self) -> None:
        """Pieces were planned that others may take at once."""
        with hint("left"):
            self._enqueue()

    def room(self) -> int:
        with hint("room"):
            return self._slots.free(self.leased.segment.stream)
        return 0  # type: ignore[unreachable]  # it is reached where the hint failed

    def newer_under_way(self) -> bool:
        with hint("newer"):
            return self._slots.newer_under_way(self.leased.segment)
        return False  # type: ignore[unreachable]  # it is reached where the hint failed

    def share(self, kept: Window, given: Sequence[Window]) -> bool:
        """Narrow our segment and plan the others in one step; raises `LeaseLost`."""
        segment = self.leased.segment
        now = self._slots.clock.now()
        new = [
            NewSegment(segment.stream, window, segment.purpose, segment.round, now)
            for window in given
        ]
        if not self._slots.ledger.share(self.leased.lease, kept, new, now):
            return False
        self.leased = replace(self.leased, segment=replace(segment, window=kept))
        log.info("segment_shared", kept=str(kept), given=[str(window) for window in given])
        with hint("share"):
            self._enqueue()
        return True


@contextmanager
def hint(what: str) -> Iterator[None]:
    """Slots are hints: a ledger that is out of reach for a moment ends no pull because of them.
    The lease does, once it could not be renewed for too long."""
    try:
        yield
    except Unavailable as error:
        log.warning("slot_count_failed", what=what, reason=str(error))


def concurrency_key(stream: Stream) -> str:
    """Where the ledger keeps a stream's limit."""
    return f"concurrency/{stream}"


def _always(stream: Stream) -> Window:
    return Window(
        datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC), stream.source.axis
    )
