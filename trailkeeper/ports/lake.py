"""The tables of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol
from zoneinfo import ZoneInfo

from trailkeeper.model.measures.match import Match
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.report import Figures
from trailkeeper.model.review.control import About, Found
from trailkeeper.model.review.rule import Rule
from trailkeeper.model.segment import (
    LandedSegment,
    Merge,
    MergeCounts,
)
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window


class Lake(Protocol):
    """One table per tenant; each record once."""

    def merge(
        self, merge: Merge, files: Sequence[tuple[LandedSegment, Path]]
    ) -> dict[int, MergeCounts]:
        """Fold the files into the tenant's table in one commit; counts by segment id.

        Safe to repeat: a merge whose id the table already carries changes nothing and returns the
        counts of that commit. Raises `Transient` when another writer won the commit.
        """
        ...

    def export_jsonl(self, tenant: str, window: Window | None, out: BinaryIO) -> int: ...

    def export_csv(self, tenant: str, window: Window | None, out: BinaryIO) -> int: ...

    def export_parquet(self, tenant: str, window: Window | None, out: Path) -> int:
        """Records by time, then Id, streamed; returns how many. All three give the same records."""
        ...

    def figures(self, tenant: str, window: Window, zone: ZoneInfo) -> Figures: ...

    def review(
        self, tenant: str, window: Window, rules: Sequence[Rule], about: About, language: str
    ) -> dict[str, Found]:
        """What each rule found of `window`, by its id, told in `language`.

        Raises `ConfigurationError` for a rule that cannot be compiled.
        """
        ...

    def match(
        self,
        tenant: str,
        hours: Sequence[datetime],
        since: Mapping[Source, datetime | None],
        ignored: Sequence[int] = (),
    ) -> Match:
        """Match by Id what occurred in `hours` (the first instant of each) of one UTC day.

        `since`: the sources that are matched, each with when it began to be followed, None when it
        never was; `ignored`: record types that one of them is not asked for.
        """
        ...

    def arrivals(
        self,
        tenant: str,
        source: Source,
        window: Window,
        looks: Sequence[tuple[Window, datetime]],
        on_time: timedelta,
    ) -> dict[str, Spread]:
        """By workload: from occurrence in `window` to first seen by `source`.

        `looks`: disjoint windows, each with when its time was first asked for; records outside of
        them do not count. Seen within `on_time` of that is in time, and in the first class.
        """
        ...

    def forget_sightings(self, tenant: str, before: date) -> None:
        """Delete what matching needs of events before a day; the records stay."""
        ...

    def compact(self, tenant: str, retain: timedelta) -> None: ...

    def remove(self, tenant: str) -> None: ...

    def require_ours(self, tenant: str) -> None:
        """Raises `ConfigurationError` when the tenant's table holds another directory's records.

        Every method but `remove` refuses such a table; this one opens it for no other reason."""
        ...

    def require(self, tenant: str) -> None:
        """Raises `Unavailable` when the tenant's records should be there and are not."""
        ...

    def check(self) -> None:
        """Raises `Unavailable` when the lake cannot be written."""
        ...
