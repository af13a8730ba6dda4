"""The search itself: what a call finds, its page, its session with the server-side cursor.

Sessions keep their cursor here, on the server: a page that got lost on the way is lost, and the
same SessionId with other parameters goes on with the *old* query (reference 4.3).
"""

from __future__ import annotations

import random
from array import array
from collections import OrderedDict

from sandbox.answers import Answer, Session
from sandbox.clock import Clock
from sandbox.faults import FaultBook
from sandbox.feed.packing import lot
from sandbox.lies import next_page
from sandbox.parameters import Query
from sandbox.store import EventStore
from sandbox.tenants import Tenant

_SESSIONS_KEPT = 2_000


class SearchEngine:
    """Runs queries over the tenants' stores."""

    def __init__(self, clock: Clock, book: FaultBook, seed: int) -> None:
        self._clock = clock
        self._book = book
        self._seed = seed
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def search(self, tenant: Tenant, query: Query) -> tuple[Answer, Session | None]:
        """One call of the cmdlet."""
        if query.session_id:
            session = self._session(tenant, query)
            return next_page(tenant, session, query, self._clock.now()), session
        return self._single(tenant, query), None

    def _matching(self, tenant: Tenant, query: Query) -> array[int]:
        """Arrived records of the window that pass the filters, oldest first."""
        switches = tenant.switches
        if not switches.ingestion:
            return array("I")
        ids = tenant.store.between(
            query.start, query.end, not switches.start_inclusive, switches.end_inclusive
        )
        if switches.unsearched_share:
            ids = array("I", [i for i in ids if lot("unsearched", i) >= switches.unsearched_share])
        return filtered(tenant.store, tenant.store.visible(ids, self._clock.now()), query)

    def _single(self, tenant: Tenant, query: Query) -> Answer:
        """Without a session: one page of at most ResultSize, and no way to the rest."""
        ids = self._matching(tenant, query)
        rng = random.Random(f"{self._seed}/{query.start}/{query.end}")
        page = ordered(ids, query.size, tenant.switches.order, rng)
        page = self._repeated(tenant, page, rng)[: query.size]
        return Answer(page, 1, len(ids), len(ids) > len(page))

    def _repeated(self, tenant: Tenant, ids: list[int], rng: random.Random) -> list[int]:
        plan = self._book.draw("query", tenant.name)
        params = plan.get("duplicate_rows")
        rate = tenant.switches.duplicate_rate
        rate = rate if params is None else float(params.get("rate", 0.04))
        return with_duplicates(ids, rate, rng)

    def _session(self, tenant: Tenant, query: Query) -> Session:
        key = (tenant.name, query.session_id)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self._begin(tenant, query)
        session.commands.add(query.command)
        self._sessions.move_to_end(key)
        while len(self._sessions) > _SESSIONS_KEPT:
            self._sessions.popitem(last=False)
        return session

    def _begin(self, tenant: Tenant, query: Query) -> Session:
        ids = self._matching(tenant, query)
        rng = random.Random(f"{self._seed}/{query.session_id}")
        rows = list(ids[-50_000:])[::-1]
        if query.command == "ReturnLargeSet":
            rng.shuffle(rows)
        rows = self._repeated(tenant, rows, rng)
        plan = self._book.draw("session", tenant.name)
        return Session(query, rows, len(ids), {query.command}, plan)


def filtered(store: EventStore, ids: array[int], query: Query) -> array[int]:
    """Apply RecordType, Operations, UserIds and, reading the text, the others."""
    if query.record_type is not None:
        ids = array("I", [i for i in ids if store.record_type(i) == query.record_type])
    for key, fetch in (("Operations", store.operation), ("UserIds", store.user)):
        if key in query.filters:
            wanted = {value.lower() for value in query.filters[key]}
            ids = array("I", [i for i in ids if fetch(i).lower() in wanted])
    deep = [key for key in _TEXT_FIELDS if key in query.filters]
    if deep or query.free_text:
        ids = array("I", [i for i in ids if _matches_text(store, i, query, deep)])
    return ids


_TEXT_FIELDS = {
    "IPAddresses": ("ClientIP", "ClientIPAddress", "ActorIpAddress"),
    "ObjectIds": ("ObjectId",),
    "SiteIds": ("Site",),
}


def _matches_text(store: EventStore, i: int, query: Query, deep: list[str]) -> bool:
    if query.free_text and query.free_text.lower() not in store.text(i).lower():
        return False
    content = store.content(i)
    return all(
        any(
            str(content.get(name, "")).lower() in {w.lower() for w in query.filters[key]}
            for name in _TEXT_FIELDS[key]
        )
        for key in deep
    )


def ordered(ids: array[int], size: int, order: str, rng: random.Random) -> list[int]:
    """At most `size` of `ids` (oldest first) in the order that the tenant's service gives."""
    if order == "oldest":
        return list(ids[:size])
    if order == "arbitrary" and len(ids) > size:
        page = rng.sample(ids, size)
    else:
        page = list(ids[max(0, len(ids) - size) :])[::-1]
    if order in ("shuffled", "arbitrary"):
        rng.shuffle(page)
    return page


def with_duplicates(ids: list[int], rate: float, rng: random.Random) -> list[int]:
    """`rate` of the rows once more, at other places, also across later pages."""
    if not rate or not ids:
        return ids
    found = list(ids)
    for _ in range(max(1, round(len(ids) * rate))):
        found.insert(rng.randrange(len(found) + 1), rng.choice(ids))
    return found
