"""The Exchange audit search as a source: Search-UnifiedAuditLog, windows proven by a walk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

from trailkeeper.errors import Transient
from trailkeeper.microsoft.exchange_client import ExchangeClient, TokenSource, read_audit_config
from trailkeeper.microsoft.exchange_page import ExchangePage, read_page
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.microsoft.sessions import Sessions
from trailkeeper.model.search import SECOND, SearchAnswer, SearchLimits, SessionAnswer
from trailkeeper.model.search_walk import SearchPort, SearchWalk
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window, iso
from trailkeeper.ports import Clock, Pulled, RecordSink
from trailkeeper.settings import Settings

SEARCH = "Search-UnifiedAuditLog"
AUDIT_CONFIG = "Get-AdminAuditLogConfig"
_ORDER_STAYS_PROVEN = timedelta(days=7)


class ExchangeSource:
    """Implements `ports.AuditSource`. Shared by the threads of one process."""

    source = Source.EXCHANGE

    def __init__(
        self,
        settings: Settings,
        tokens: TokenSource,
        sessions: Sessions,
        clock: Clock,
        limits: SearchLimits | None = None,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._sessions = sessions
        self._clock = clock
        self._limits = limits or SearchLimits()
        self._order_proven_at: dict[str, datetime] = {}

    def client(self, tenant: str) -> ExchangeClient:
        """A fresh conversation. Raises `ConfigurationError` for an unknown tenant."""
        found = self._settings.tenant(tenant)
        session = self._sessions.of(found.cloud)
        return ExchangeClient(found, self._settings.cloud(found), session, self._tokens)

    def pull(
        self, tenant: str, window: Window, sink: RecordSink, still_ours: Callable[[], None]
    ) -> Pulled:
        """Walk `window`. An error that stops the walk comes back in `Pulled.interrupted`."""
        client = self.client(tenant)
        search = AuditSearch(client, sink, self._clock, self._limits)
        walk = SearchWalk(
            search,
            window,
            self._limits,
            busy_hour=self._busy_hour(tenant),
            order_proven=self._order_proven(tenant),
            still_ours=still_ours,
        )
        findings = walk.run()
        if walk.order_proven and not self._order_proven(tenant):
            self._order_proven_at[tenant] = self._clock.now()
        return Pulled(tuple(findings), client.requests, walk.foreign, walk.interrupted)

    def _order_proven(self, tenant: str) -> bool:
        proven_at = self._order_proven_at.get(tenant)
        return proven_at is not None and self._clock.now() - proven_at < _ORDER_STAYS_PROVEN

    def _busy_hour(self, tenant: str) -> int:
        """Ten in the morning where the tenant lives, as an hour of UTC."""
        local = self._clock.now().astimezone(self._settings.tenant(tenant).zone)
        return (10 - round((local.utcoffset() or timedelta()) / timedelta(hours=1))) % 24


class AuditSearch(SearchPort):
    """The transport of one walk: every row received is landed before anything is concluded."""

    def __init__(
        self, client: ExchangeClient, sink: RecordSink, clock: Clock, limits: SearchLimits
    ) -> None:
        self._client = client
        self._sink = sink
        self._clock = clock
        self._limits = limits
        self._reader = RecordReader(clock.now())

    def now(self) -> datetime:
        return self._clock.now()

    def pause(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def require_auditing(self) -> None:
        read_audit_config(self._client.invoke(AUDIT_CONFIG, {}))

    def ask(self, window: Window) -> SearchAnswer:
        """One call without a session, its OData pages joined (section 3.3)."""
        sent_at = self._clock.now()
        pages = self._pages(_parameters(window, self._limits.cap))
        return SearchAnswer(
            window,
            sent_at,
            [key for page in pages for key in page.records.id],
            [time for page in pages for time in page.times],
            sum(page.bogus for page in pages),
            [text for page in pages for text in page.warnings],
            max((p.result_count for p in pages if p.result_count is not None), default=None),
            _joined_flag([p.more_available for p in pages]),
        )

    def session(self, window: Window) -> SessionAnswer:
        """All pages of one ReturnLargeSet session (section 4.3).

        It ends with two pages in a row that bring nothing new, or with a short page that says there
        is no more; never by a count (D5, D6, D7).
        """
        sent_at = self._clock.now()
        parameters = {
            **_parameters(window, self._limits.cap),
            "SessionId": str(uuid4()),
            "SessionCommand": "ReturnLargeSet",
        }
        keys: set[str] = set()
        rows = idle = 0
        for _ in range(self._limits.session_cap // self._limits.cap + 10):
            pages = self._pages(parameters)
            unclean = next((w for p in pages for w in p.warnings), "")
            if unclean or any(p.bogus for p in pages):
                return SessionAnswer(sent_at, frozenset(keys), rows, False, unclean or "bogus row")
            found = [key for page in pages for key in page.records.id]
            idle = 0 if set(found) - keys else idle + 1
            keys.update(found)
            rows += len(found)
            said_done = _joined_flag([p.more_available for p in pages]) is False
            if idle == 2 or (said_done and len(found) < self._limits.cap):
                return SessionAnswer(sent_at, frozenset(keys), rows, True)
        return SessionAnswer(sent_at, frozenset(keys), rows, False, "the session did not end")

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
            if link in seen:
                raise Transient("Exchange's links lead in a circle", "The window is asked again.")
            seen.add(link)


def _parameters(window: Window, cap: int) -> dict[str, object]:
    """Whether the borders are inclusive is unconfirmed (section 4.6), so the first second is asked
    with the one before it; rows of the neighbour are known already and merge into nothing."""
    start = window.start.replace(microsecond=0) - SECOND
    end = window.end if not window.end.microsecond else window.end.replace(microsecond=0) + SECOND
    return {"StartDate": iso(start), "EndDate": iso(end), "ResultSize": cap}


def _joined_flag(flags: list[bool | None]) -> bool | None:
    said = [flag for flag in flags if flag is not None]
    return any(said) if said else None
