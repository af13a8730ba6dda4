"""The Exchange audit search as a source: Search-UnifiedAuditLog, windows proven by a walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from trailkeeper.errors import Transient, Unavailable
from trailkeeper.microsoft.exchange.client import (
    AUDIT_CONFIG,
    SEARCH,
    ExchangeClient,
    read_audit_config,
)
from trailkeeper.microsoft.exchange.page import ExchangePage, read_page
from trailkeeper.microsoft.exchange.preflight import ExchangePreflight
from trailkeeper.microsoft.http.sessions import Sessions
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.measures.density import Density, density_key
from trailkeeper.model.search.answer.rows import (
    SECOND,
    UNTIMED,
    Choice,
    SearchAnswer,
    SearchLimits,
    SessionAnswer,
    micros,
)
from trailkeeper.model.search.habits import PROVEN_FOR, SearchHabits
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.walk import SearchWalk
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window, iso
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.notes import Notebook
from trailkeeper.ports.source import Check, Pulled, RecordSink
from trailkeeper.settings import Settings

log = structlog.get_logger()


class ExchangeSource:
    """Implements `ports.source.AuditSource`. Shared by the threads of one process."""

    source = Source.EXCHANGE

    def __init__(
        self,
        settings: Settings,
        tokens: TokenSource,
        sessions: Sessions,
        clock: Clock,
        notebook: Notebook,
        limits: SearchLimits | None = None,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._sessions = sessions
        self._clock = clock
        self._notebook = notebook
        self._limits = limits or SearchLimits()

    def client(self, tenant: str) -> ExchangeClient:
        """A fresh conversation. Raises `ConfigurationError` for an unknown tenant."""
        found = self._settings.tenant(tenant)
        session = self._sessions.of(found.cloud)
        return ExchangeClient(found, self._settings.cloud(found), session, self._tokens)

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        """Walk `window`. An error that stops the walk comes back in `Pulled.interrupted`."""
        known = _known(self._notebook, tenant, self._clock.now())
        habits = known.habits
        order = OrderNote(self._notebook, tenant, self._clock)
        search = AuditSearch(self.client(tenant), sink, self._clock, self._limits, habits, order)
        walk = SearchWalk(
            search,
            window,
            self._limits,
            busy_hour=self._busy_hour(tenant, known.density),
            proven_order=order.known(),
            known_doubts=habits.doubts(self._limits),
            credibility=habits.credibility(),
            turn=turn,
            density=known.density,
        )
        findings = walk.run()
        self._learn(tenant, known, search, walk)
        return Pulled(tuple(findings), search.requests, walk.calls.foreign, walk.interrupted)

    def check(self, tenant: str) -> Iterator[Check]:
        """Run the preflight checks with a token of this minute."""
        found = self._settings.tenant(tenant)
        client = self.client(tenant)
        yield from ExchangePreflight(self._settings, found, self._tokens, client, self._clock).run()

    def _learn(self, tenant: str, known: Known, search: AuditSearch, walk: SearchWalk) -> None:
        """Apply what the walk found out to what is noted by now: others ended meanwhile. Of two
        that end at the same moment the later one's counts."""
        now = self._clock.now()
        noted = _known(self._notebook, tenant, now)
        learned = walk.calls.rows or any(finding.verdict.proven for finding in walk.findings)
        habits = replace(
            search.habits,
            # A walk that was stopped before it saw anything makes nobody known.
            probed_at=search.habits.probed_at or (now if learned else None),
            order=search.order.still_proven(search.habits.order),
        ).doubting(walk.doubts)
        habits = habits.believing(walk.credibility).beside(noted.habits)
        habits = habits.onto(noted.habits, known.habits)
        if changes := habits.changed(known.habits):
            log.warning("search_habits_changed", tenant=tenant, **changes)
        if habits != noted.habits:
            self._notebook.note(habits_key(tenant), habits.to_text(), now)
        density = walk.learned(noted.density)
        if density != noted.density:
            self._notebook.note(
                density_key(Stream(tenant, Source.EXCHANGE)), density.to_text(), now
            )

    def _busy_hour(self, tenant: str, density: Density) -> int:
        """The hour of UTC with most records; ten in the morning where the tenant lives at first."""
        busiest = density.busiest()
        if busiest is not None:
            return busiest % 24
        local = self._clock.now().astimezone(self._settings.tenant(tenant).zone)
        return (10 - round((local.utcoffset() or timedelta()) / timedelta(hours=1))) % 24


@dataclass(frozen=True, slots=True)
class Known:
    """What the notebook holds about a tenant's search."""

    habits: SearchHabits
    density: Density


def habits_key(tenant: str) -> str:
    return f"search_habits/{tenant}"


def order_key(tenant: str, word: str) -> str:
    """Where the ledger keeps when the order of a tenant's answers was proven to choose their rows,
    and when such a proof was refuted.

    A note each: walks tell at the same time, and none may overwrite what another has told.
    """
    return f"search_order/{tenant}/{word}"


def _known(notebook: Notebook, tenant: str, now: datetime) -> Known:
    habits = notebook.noted(habits_key(tenant))
    density = notebook.noted(density_key(Stream(tenant, Source.EXCHANGE)))
    return Known(
        (SearchHabits.from_text(habits[0]) if habits else SearchHabits()).fresh(now),
        Density.from_text(density[0]) if density else Density(),
    )


@dataclass(frozen=True, slots=True)
class OrderNote:
    """How a tenant's full answers are proven to choose their rows, told while its walks go on.

    Found out anew each week; a proof that did not hold counts for as long, whoever finds another.
    """

    notebook: Notebook
    tenant: str
    clock: Clock

    def known(self) -> Choice | None:
        """None while the ledger is out of reach: the walk finds out by itself."""
        with suppress(Unavailable):
            return None if self._told(_REFUTED) is not None else self._proven()
        return None

    def refuted(self) -> bool:
        """A walk that relies on a proof goes on with it while the ledger is out of reach."""
        with suppress(Unavailable):
            return self._told(_REFUTED) is not None
        return False

    def still_proven(self, before: Choice | None) -> Choice | None:
        """Which is, for the record: a proof whose week has just ended is no change."""
        with suppress(Unavailable):
            return None if self._told(_REFUTED) is not None else self._proven() or before
        return before

    def tell(self, choice: Choice | None) -> None:
        """Lost while the ledger is out of reach: then other walks find out by themselves."""
        key = order_key(self.tenant, _PROVEN if choice else _REFUTED)
        with suppress(Unavailable):
            if self._told(_REFUTED) is None and not (choice and choice == self._proven()):
                self.notebook.note(key, str(choice or ""), self.clock.now())

    def _proven(self) -> Choice | None:
        return Choice.from_text(self._told(_PROVEN) or "")

    def _told(self, word: str) -> str | None:
        noted = self.notebook.noted(order_key(self.tenant, word))
        fresh = noted is not None and self.clock.now() - noted[1] < PROVEN_FOR
        return noted[0] if noted and fresh else None


class AuditSearch(SearchPort):
    """The transport of one walk: every row received is landed before anything is concluded."""

    def __init__(
        self,
        client: ExchangeClient,
        sink: RecordSink,
        clock: Clock,
        limits: SearchLimits,
        habits: SearchHabits,
        order: OrderNote,
    ) -> None:
        self._client = client
        self._sink = sink
        self._clock = clock
        self._limits = limits
        self._reader = RecordReader(clock.now())
        self.habits = habits
        """what was known, and what every answer since has taught"""
        self.order = order

    @property
    def requests(self) -> int:
        return self._client.requests

    def now(self) -> datetime:
        return self._clock.now()

    def pause(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def order_known(self) -> Choice | None:
        return self.order.known()

    def order_refuted(self) -> bool:
        return self.order.refuted()

    def tell_order(self, choice: Choice | None) -> None:
        self.order.tell(choice)

    def full(self, times: int = 1) -> bool:
        return self._sink.size >= times * _ATTEMPT_BYTES

    def require_auditing(self) -> None:
        read_audit_config(self._client.invoke(AUDIT_CONFIG, {}))

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        """One call without a session, its OData pages joined (section 3.3)."""
        sent_at = self._clock.now()
        pages = self._pages(self._parameters(window, record_type, tight=tight))
        answer = SearchAnswer(
            window,
            sent_at,
            [key for page in pages for key in page.records.id],
            [time for page in pages for time in page.times],
            sum(page.bogus for page in pages),
            [text for page in pages for text in page.warnings],
            max((p.result_count for p in pages if p.result_count is not None), default=None),
            _joined_flag([p.more_available for p in pages]),
            frozenset[str]().union(*(page.types for page in pages)),
        )
        if not (record_type or tight):
            self.habits = self.habits.seen(answer, self._limits.cap)
        return answer

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer:
        """All pages of one ReturnLargeSet session (section 4.3).

        It ends with two pages in a row that bring nothing new, or with a short page that says there
        is no more; never by a count (D5, D6, D7). One that goes on saying that there is more has
        not ended well, whatever it gave.
        """
        sent_at = self._clock.now()
        parameters = {
            **self._parameters(window, record_type, tight=tight),
            "SessionId": str(uuid4()),
            "SessionCommand": "ReturnLargeSet",
        }
        keys: set[str] = set()
        types: set[str] = set()
        rows = idle = 0
        unclean, ended = "", False
        for _ in range(self._limits.session_cap // self._limits.cap + 10):
            pages = self._pages(parameters)
            found = [key for page in pages for key in page.records.id]
            idle = 0 if set(found) - keys else idle + 1
            keys.update(found)
            types.update(*(page.types for page in pages))
            rows += len(found)
            if unclean := _trouble(pages, window):
                break
            said = _joined_flag([p.more_available for p in pages])
            if idle == 2 or (said is False and len(found) < self._limits.cap):
                ended = said is not True
                break
        return SessionAnswer(sent_at, frozenset(keys), rows, ended, unclean, frozenset(types))

    def _parameters(self, window: Window, record_type: str, *, tight: bool) -> dict[str, object]:
        """Whether the borders are inclusive is unconfirmed (section 4.6), so the first second is
        asked with the one before it; rows of the neighbour merge into nothing."""
        start, end = window.start.replace(microsecond=0) - SECOND, window.end
        if end.microsecond:
            end = end.replace(microsecond=0) + SECOND
        if tight:
            start, end = start + SECOND / 2, end - SECOND / 2
        asked: dict[str, object] = {
            "StartDate": iso(start),
            "EndDate": iso(end),
            "ResultSize": self._limits.cap,
        }
        return {**asked, "RecordType": record_type} if record_type else asked

    def _pages(self, parameters: dict[str, object]) -> list[ExchangePage]:
        """The pages of one cmdlet call; their texts are landed and let go at once."""
        pages: list[ExchangePage] = []
        link: str | None = None
        seen: set[str] = set()
        while True:
            answer = self._client.invoke(SEARCH, parameters, link)
            page = read_page(answer.body, self._reader, answer.headers.get("X-Warnings", ""))
            self._sink.add(page.records)
            page.records.raw.clear()
            pages.append(page)
            link = page.next_link
            if link is None:
                return pages
            if link in seen or len(pages) >= _MOST_PAGES:
                raise Transient("Exchange's links never end", "The window is asked again.")
            seen.add(link)


_PROVEN, _REFUTED = "proven", "refuted"
_MOST_PAGES = 100
"""OData pages of one call: 5,000 rows are five pages of a thousand where they are split at all"""
_ATTEMPT_BYTES = 64 << 20
"""raw text that one attempt lands: it is merged in one piece"""


def _trouble(pages: Sequence[ExchangePage], window: Window) -> str:
    """Why this page of a session may not be believed; empty when it may."""
    if any(page.bogus for page in pages):
        return "bogus row"
    low, high = micros(window.start - 2 * SECOND), micros(window.end + SECOND)
    if any(not low <= t <= high for page in pages for t in page.times if t != UNTIMED):
        return "rows of another window"
    return next((w for p in pages for w in p.warnings), "")


def _joined_flag(flags: list[bool | None]) -> bool | None:
    said = [flag for flag in flags if flag is not None]
    return any(said) if said else None
