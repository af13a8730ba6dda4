"""A tenant's blobs: columns, not objects, so that a thousand tenants stay small."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Any

from sandbox.clock import MICROSECOND, instant
from sandbox.feed.contents import CONTENT_TYPES, NOWHERE
from sandbox.feed.packing import Packer, again_at, available_at, lot
from sandbox.feed.switches import FeedSwitches
from sandbox.store import EventStore

_ROUND = 10**6  # what fits into the digits of a content id behind the milliseconds


class Feed:
    """Blobs 0..n-1 in the order of their making; times are microseconds since 1970."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._taken = 0  # records of the store that were handed to the packers
        self._packers: dict[int, Packer] = {}
        self._listed_at: dict[int, int] = {}  # by content type: nothing older is made any more
        self.created = array("q")
        self.expires = array("q")
        self.kinds = array("B")
        self.listed = array("I")
        self.fetched = array("I")
        self.fetched_at = array("q")  # for the first time; 0 = never
        self._first = array("I", [0])
        self._members = array("I")
        self._by_created: dict[int, tuple[array[int], array[int]]] = {}
        self.partial: set[int] = set()  # shown in part by the latest listing (partial_view)
        self.cursed: dict[int, tuple[str, dict[str, Any]]] = {}  # faults that stay with a blob

    def __len__(self) -> int:
        return len(self.created)

    def advance(self, now: int, switches: FeedSwitches) -> None:
        """Make every blob that is due by `now`."""
        self._take(switches)
        for kind, packer in self._packers.items():
            for created, numbers in packer.cut(now, switches):
                self._keep(kind, created, numbers, switches)

    def _take(self, switches: FeedSwitches) -> None:
        store = self._store
        for number in range(self._taken, len(store)):
            kind = store.content_type(number)
            if kind == NOWHERE or lot("unlisted", number) < switches.unlisted_share:
                continue
            packer = self._packers.setdefault(kind, Packer())
            at = available_at(switches, number, store.times[number], store.arrivals[number])
            packer.take(at, number)
            for later in again_at(switches, number, at):
                packer.take(later, number)
        self._taken = len(store)

    def _keep(self, kind: int, created: int, numbers: list[int], switches: FeedSwitches) -> None:
        # What was listed has been looked at: the service adds nothing in its past.
        created = max(created, self._listed_at.get(kind, 0))
        index = len(self.created)
        self.created.append(created)
        self.expires.append(created + int(switches.content_days * 86_400 * MICROSECOND))
        self.kinds.append(kind)
        self.listed.append(0)
        self.fetched.append(0)
        self.fetched_at.append(0)
        self._members.extend(numbers)
        self._first.append(len(self._members))
        keys, order = self._by_created.setdefault(kind, (array("q"), array("I")))
        at = bisect_right(keys, created)
        keys.insert(at, created)
        order.insert(at, index)

    def between(
        self, kind: int, start: int, end: int, now: int, switches: FeedSwitches
    ) -> list[int]:
        """Blobs of [start, end) of contentCreated that a listing shows by now."""
        keys, order = self._by_created.get(kind, (array("q"), array("I")))
        found = order[bisect_left(keys, start) : bisect_left(keys, min(end, now + 1))]
        return [i for i in found if self.expires[i] > now and not self._hidden(i, now, switches)]

    def _hidden(self, index: int, now: int, switches: FeedSwitches) -> bool:
        if not switches.hidden_share or lot("hidden", index) >= switches.hidden_share:
            return False
        return now < self.created[index] + int(switches.hidden_seconds * MICROSECOND)

    def looked_at(self, kind: int, now: int) -> None:
        """Blobs made from here on are newer than `now`, in whole milliseconds."""
        self._listed_at[kind] = (now // 1000 + 1) * 1000

    def members(self, index: int) -> array[int]:
        """The numbers of a blob's records."""
        return self._members[self._first[index] : self._first[index + 1]]

    def content_id(self, index: int) -> str:
        """`<time>$<time>$audit_sharepoint$Audit_SharePoint`, the times with a serial number."""
        moment = instant(self.created[index])
        stamp = f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}{index % _ROUND:06d}"
        name = CONTENT_TYPES[self.kinds[index]].replace(".", "_")
        return f"{stamp}${stamp}${name.lower()}${name}"

    def find(self, content_id: str) -> int | None:
        """The blob of this id, or None."""
        serial = content_id.partition("$")[0][17:]
        if len(serial) != 6 or not serial.isdecimal():
            return None
        at = range(int(serial), len(self), _ROUND)
        return next((i for i in at if self.content_id(i) == content_id), None)

    def count_fetch(self, index: int, now: int) -> None:
        self.fetched[index] += 1
        self.fetched_at[index] = self.fetched_at[index] or now

    def forget_served(self) -> None:
        """As if nothing had been listed or fetched yet."""
        for column in (self.listed, self.fetched, self.fetched_at):
            column[:] = array(column.typecode, bytes(column.itemsize * len(column)))

    def body(self, index: int, part: slice | None = None) -> bytes:
        """The JSON array that a GET brings, or `part` of it."""
        members = self.members(index)
        if index in self.partial:
            members = members[len(members) // 2 :]
        members = members[part] if part else members
        texts = map(self._store.text, members)
        # A lone surrogate cannot travel in UTF-8: it goes as the escape that it once was.
        return b"[%b]" % ",".join(texts).encode("utf-8", "backslashreplace")
