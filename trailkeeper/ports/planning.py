"""What is planned of each stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from trailkeeper.model.planning import Watermark
from trailkeeper.model.segment import (
    NewSegment,
    Segment,
)
from trailkeeper.model.stream import Source, Stream


class Watermarks(Protocol):
    """How far each stream is planned."""

    def watermarks(self, source: Source) -> dict[Stream, Watermark]:
        """The watermark of every stream of `source` that was ever planned."""
        ...

    def watermark(self, stream: Stream) -> Watermark | None: ...

    def planned_ids(self, segments: Sequence[NewSegment]) -> list[int]:
        """Ids of the unfinished (planned, leased, landed) segments with these identities, in order.

        An identity whose segment has finished meanwhile, or was never planned, has no id here.
        """
        ...


class Planning(Watermarks, Protocol):
    """How far each stream is planned, and what comes next.

    Every method is one transaction. Raises `Unavailable` when the database is out of reach.
    """

    def plan(
        self,
        stream: Stream,
        planner: Callable[[Watermark | None], Iterable[NewSegment]],
        now: datetime,
    ) -> int:
        """Read the stream's watermark, add what `planner` yields, move the watermark.

        A segment whose (stream, window, purpose, round) exists already is left alone; for COLLECT
        and RETRY only while the existing one is unfinished, so that the same range can be asked for
        again. INCREMENTAL and BACKFILL segments move `fresh_until` and `first_at`, REREAD moves its
        round's `reread_until`; others move nothing. Returns how many segments were added.
        """
        ...

    def plan_all(
        self,
        planners: Mapping[Stream, Callable[[Watermark | None], Iterable[NewSegment]]],
        now: datetime,
    ) -> list[Segment]:
        """As `plan` for several streams in one transaction; the segments that were added."""
        ...

    def set_back(self, now: datetime, ahead: datetime) -> dict[Stream, datetime]:
        """Streams that are planned beyond `ahead`, by a clock that was put right since; until when.

        Their open segments that reach beyond `now` are dropped and their watermarks move back, so
        that this time is planned again as it comes; what else waits of them is due now. A worker
        that holds one of those finds its lease lost. A transaction for each stream.
        """
        ...

    def shorten_waits(self, now: datetime, lease: timedelta, longest: timedelta) -> None:
        """No lease, of a segment or a merge, ends later than `lease` from now; a parking that is
        to be retried later than `longest` from now is retried now."""
        ...
