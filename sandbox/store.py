"""What one tenant's audit log holds: sorted by time, each record with its moment of arrival.

Record numbers are permanent (the order of adding); the time order is a separate index over
them, so that sessions and served counts survive later additions.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from sandbox import rows


class Source(Protocol):
    """Where rendered rows come from: kept in memory (loaded) or made on demand (generated)."""

    def body(self, number: int, time: int) -> bytes:
        """The row's bytes without ResultIndex and ResultCount."""

    def record_type(self, number: int) -> int | None:
        """The RecordType as a number, where there is one."""

    def operation(self, number: int) -> str:
        """The row's Operations."""

    def user(self, number: int) -> str:
        """The row's UserIds."""

    def identity(self, number: int) -> str:
        """The row's Identity."""

    def text(self, number: int, time: int) -> str:
        """The AuditData text, exactly as a search returns it."""

    def content_type(self, number: int) -> int:
        """Where the feed has it: a place in `feed.contents.CONTENT_TYPES`, or NOWHERE."""


@dataclass
class KeptRow:
    """A loaded record: its text was rendered once and stays exactly as it came."""

    body: bytes
    record_type: int | None
    operation: str
    user: str
    identity: str
    content_type: int


class KeptSource:
    """Loaded rows, held in memory."""

    def __init__(self, kept: Sequence[KeptRow]) -> None:
        self._kept = kept

    def body(self, number: int, time: int) -> bytes:
        return self._kept[number].body

    def record_type(self, number: int) -> int | None:
        return self._kept[number].record_type

    def operation(self, number: int) -> str:
        return self._kept[number].operation

    def user(self, number: int) -> str:
        return self._kept[number].user

    def identity(self, number: int) -> str:
        return self._kept[number].identity

    def text(self, number: int, time: int) -> str:
        return str(rows.parsed(self._kept[number].body)["AuditData"])

    def content_type(self, number: int) -> int:
        return self._kept[number].content_type


class EventStore:
    """A tenant's records; times and arrivals are microseconds since 1970."""

    def __init__(self) -> None:
        self.keep_rows = 0  # so many rendered rows are kept, for pages that are asked for again
        self._rendered: dict[int, bytes] = {}
        self._sources: list[Source] = []
        self._source_of = array("H")
        self._number_in = array("I")
        self.times = array("q")
        self.arrivals = array("q")
        self.served = array("I")
        self._by_time = array("q")
        self._ids = array("I")
        self._longest_delay = 0

    def __len__(self) -> int:
        return len(self.times)

    def add(self, source: Source, times: Sequence[int], arrivals: Sequence[int]) -> range:
        """Take a source's records 0..n-1; gives their permanent numbers."""
        self._sources.append(source)
        return self._extend(len(self._sources) - 1, range(len(times)), times, arrivals)

    def grow(
        self, source: Source, first: int, times: Sequence[int], arrivals: Sequence[int]
    ) -> range:
        """Take the records `first`, first + 1, ... of a source that goes on growing."""
        if source not in self._sources:
            self._sources.append(source)
        numbers = range(first, first + len(times))
        return self._extend(self._sources.index(source), numbers, times, arrivals)

    def _extend(
        self, source: int, numbers: range, times: Sequence[int], arrivals: Sequence[int]
    ) -> range:
        first, count = len(self.times), len(times)
        self._source_of.extend([source] * count)
        self._number_in.extend(numbers)
        self.times.extend(times)
        self.arrivals.extend(arrivals)
        self.served.extend([0] * count)
        self._measure_delay(range(first, first + count))
        self._sort(first)
        return range(first, first + count)

    def _sort(self, first: int) -> None:
        added: Sequence[int] = range(first, len(self.times))
        if any(later < earlier for earlier, later in pairwise(self.times[first:])):
            added = sorted(added, key=self.times.__getitem__)
        if self._by_time and added and self.times[added[0]] < self._by_time[-1]:
            added = sorted([*self._ids, *added], key=self.times.__getitem__)
            self._ids = array("I")
            self._by_time = array("q")
        self._ids.extend(added)
        self._by_time.extend([self.times[i] for i in added])

    def _measure_delay(self, numbers: Iterable[int]) -> None:
        delays = (self.arrivals[i] - self.times[i] for i in numbers)
        self._longest_delay = max(self._longest_delay, max(delays, default=0))

    def delay(self, numbers: Iterable[int], arrival: int) -> int:
        """Let records arrive no earlier than `arrival`; how many were moved."""
        moved = [i for i in numbers if self.arrivals[i] < arrival]
        for i in moved:
            self.arrivals[i] = arrival
        self._measure_delay(moved)
        return len(moved)

    def between(self, start: int, end: int, after_start: bool, with_end: bool) -> array[int]:
        """Numbers in time order; both borders can be made open or closed."""
        low = (bisect_right if after_start else bisect_left)(self._by_time, start)
        high = (bisect_right if with_end else bisect_left)(self._by_time, end)
        return self._ids[low:high]

    def visible(self, numbers: array[int], now: int) -> array[int]:
        """Those of `numbers` (in time order) that have arrived by `now`."""
        # Nothing older than the longest delay can still be under way: spare it the look.
        young = bisect_left(numbers, now - self._longest_delay, key=self.times.__getitem__)
        arrivals = self.arrivals
        late = array("I", [i for i in numbers[young:] if arrivals[i] <= now])
        return numbers[:young] + late if len(late) + young < len(numbers) else numbers

    def all_ids(self) -> array[int]:
        """Every record's number, in time order."""
        return self._ids

    def body(self, i: int) -> bytes:
        found = self._rendered.get(i)
        if found is None:
            source = self._sources[self._source_of[i]]
            found = source.body(self._number_in[i], self.times[i])
            if len(self._rendered) < self.keep_rows:
                self._rendered[i] = found
        return found

    def record_type(self, i: int) -> int | None:
        return self._sources[self._source_of[i]].record_type(self._number_in[i])

    def operation(self, i: int) -> str:
        return self._sources[self._source_of[i]].operation(self._number_in[i])

    def user(self, i: int) -> str:
        return self._sources[self._source_of[i]].user(self._number_in[i])

    def identity(self, i: int) -> str:
        return self._sources[self._source_of[i]].identity(self._number_in[i])

    def text(self, i: int) -> str:
        """The AuditData text, exactly as a search returns it."""
        return self._sources[self._source_of[i]].text(self._number_in[i], self.times[i])

    def content_type(self, i: int) -> int:
        """Where the feed has it: a place in `feed.contents.CONTENT_TYPES`, or NOWHERE."""
        return self._sources[self._source_of[i]].content_type(self._number_in[i])

    def content(self, i: int) -> dict[str, Any]:
        """The AuditData object, empty when the text is no JSON object."""
        try:
            found = json.loads(self.text(i))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def forget_served(self) -> None:
        self.served = array("I", bytes(self.served.itemsize * len(self.served)))

    def count_served(self, numbers: Iterable[int], by: int = 1) -> None:
        served = self.served
        for i in numbers:
            served[i] += by
