"""Requests to the Management Activity API: management-api-and-graph.md, sections 1.3, 1.7, 1.8.

Every request names the publisher, every link from a response is checked before it gets a token, and
every one is counted against the tenant's budget.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from trailkeeper.errors import AnswerTooLarge, Lost, Throttled, TrailkeeperError, Transient
from trailkeeper.microsoft.activity.faults import activity_error
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.hosts import host_allowed
from trailkeeper.microsoft.http.session import Session
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.ports.budget import Asked, Budget
from trailkeeper.ports.clock import Clock
from trailkeeper.settings import CloudSettings, TenantSettings

PUBLISHER = "PublisherIdentifier"
NEXT_PAGE = ("NextPageUri", "NextPageUrl")
"""header of the next page; one page of the documentation has the second spelling (section 1.5)"""
MAX_BLOB_BYTES = 64 << 20
_MOST_PAGES = 100
"""of one blob; none was ever seen to have a second"""
TOO_MUCH = "AF429"
TRIES = (0.3, 1.0)
"""seconds before a request that broke is sent again at once, or that was refused by chance"""
_LONGEST_WAIT = 5.0
"""for the budget; whoever has to wait longer gives the segment back"""
_TOKEN_KEPT = timedelta(minutes=2)
"""a token is good for five minutes or more when it is handed out"""
_PREPAID = 8
"""requests that are taken from the budget at once: about those of a poll, in one round trip.
What a throttled pull leaves of them is not given back: it is far less than its rest costs."""
_NONE = timedelta()
_TOLERATED_SKEW = timedelta(seconds=5)
"""the Date header has whole seconds and its answer took a while"""


class ServiceClock:
    """The service's clock, as its latest answer showed it; ours before the first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._skew = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + (self._skew if abs(self._skew) > _TOLERATED_SKEW else _NONE)

    def learn(self, answer: Answer) -> None:
        """From the Date header (section 1.4: a wrong clock shows as AF20030 or AF20055)."""
        try:
            said = parsedate_to_datetime(answer.headers.get("Date", ""))
        except (TypeError, ValueError):
            return
        if said.tzinfo is not None:
            self._skew = said - self._clock.now()


class BrokenOff(Transient):
    """A later page of a blob did not come; `pages` are those that did."""

    def __init__(self, cause: TrailkeeperError, pages: Sequence[Answer]) -> None:
        super().__init__(cause.summary, cause.remedy, cause.code, cause.request_id)
        self.pages = pages


class RefusedAlone(Transient):
    """As too much, among requests that were not: this one waits, and no other."""


class ActivityClient:
    """One tenant's side of the feed for one pull; its threads share it."""

    def __init__(
        self,
        tenant: TenantSettings,
        cloud: CloudSettings,
        session: Session,
        tokens: TokenSource,
        publisher: UUID | None,
        budget: Budget,
        clock: Clock,
        service_clock: ServiceClock,
    ) -> None:
        self._tenant = tenant
        self._root = cloud.management
        self._session = session
        self._tokens = tokens
        self._publisher = publisher
        self._budget = budget
        self._clock = clock
        self._guard = threading.Lock()
        self._token: tuple[str, datetime] | None = None
        self._requests = 0
        self._paying = threading.Lock()
        self._prepaid = 0
        self._service_clock = service_clock

    @property
    def tenant(self) -> str:
        return self._tenant.name

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return self._requests

    def now(self) -> datetime:
        """The service's clock."""
        return self._service_clock.now()

    def pause(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def url(self, operation: str, **query: str) -> str:
        """Of one operation of this tenant's feed. The tenant is the GUID (section 1.1)."""
        base = f"{self._root}/api/v1.0/{self._tenant.tenant_id}/activity/feed/{operation}"
        return f"{base}?{urlencode(query, safe=':')}" if query else base

    def get(self, url: str, asked: Asked = Asked.LISTING, most: int = MAX_BLOB_BYTES) -> Answer:
        """A 200. Broken answers, and those refused by chance, are asked for again at once, twice;
        then raised as `Transient` and `Throttled`.

        Raises `Throttled`, `NeedsPerson`, `Lost`, `Bug` as `activity_error` says; `AnswerTooLarge`
        for more than `most` bytes; `Transient` for a link to another host, which is never followed.
        """
        checked = self._checked(url)
        for pause in TRIES:
            try:
                return self._asked("GET", checked, asked, most)
            except (Throttled, AnswerTooLarge):
                raise
            except Transient as error:
                if error.code.startswith("AF200"):  # said on purpose: the caller knows what to do
                    raise
                self._clock.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - spreads threads
        return self._at_last("GET", checked, asked, most)

    def blob(self, url: str, most: int) -> list[Answer]:
        """`get` of records, as many pages as the answer names: one client was seen to follow them
        here too (section 1.5), and what lies behind a link would be missed without a word.

        Raises `AnswerTooLarge` for more than `most` bytes in all its pages, while it may be asked
        for more, and `BrokenOff` besides.
        """
        pages = [self.get(url, Asked.BLOB, most)]
        try:
            self._follow(url, pages, most)
        except Throttled:
            raise
        except (Transient, Lost) as error:
            if isinstance(error, AnswerTooLarge) and most < MAX_BLOB_BYTES:
                raise
            raise BrokenOff(error, pages) from None
        return pages

    def _follow(self, url: str, pages: list[Answer], most: int) -> None:
        """Add what lies behind the first page. Raises as `get`, and when there is no end of it."""
        asked, size = {url}, len(pages[0].body)
        while link := self.next_page(pages[-1]):
            if link in asked or len(asked) == _MOST_PAGES:
                raise Transient("the pages of a blob do not end", "It is fetched again later.")
            asked.add(link)
            page = self.get(link, Asked.BLOB, most - size)
            size += len(page.body)
            pages.append(page)

    def post(self, url: str) -> Answer:
        return self._at_last("POST", self._checked(url), Asked.LISTING)

    def next_page(self, answer: Answer) -> str | None:
        """Where the listing goes on, as given; None at its end."""
        return next((link for name in NEXT_PAGE if (link := answer.headers.get(name))), None)

    def _at_last(self, method: str, url: str, asked: Asked, most: int = MAX_BLOB_BYTES) -> Answer:
        """Not again after this: one that is refused even now is throttled."""
        try:
            return self._asked(method, url, asked, most)
        except RefusedAlone as error:
            raise self._throttled(error, asked, 0.0) from None

    def _asked(self, method: str, url: str, asked: Asked, most: int = MAX_BLOB_BYTES) -> Answer:
        answer = self._sent(method, url, most)
        if answer.status in (401, 403) and not _too_much(answer, activity_error(answer)):
            # Roles and consent reach only newly issued tokens.
            with self._guard:
                self._token = None
                self._tokens.drop(self._tenant, self._root)
            answer = self._sent(method, url, most)
        if answer.status != 200:
            raise self._fault(answer, asked)
        self._budget.answered(self.tenant, asked)
        return answer

    def _fault(self, answer: Answer, asked: Asked) -> TrailkeeperError:
        error = activity_error(answer)
        if _too_much(answer, error):
            together = self._budget.refused(self.tenant, asked)
            if together or answer.retry_after is not None:
                return self._throttled(error, asked, answer.retry_after or 0.0)
            return RefusedAlone(error.summary, error.remedy, TOO_MUCH, error.request_id)
        return error

    def _throttled(self, error: TrailkeeperError, asked: Asked, told: float) -> Throttled:
        """No Retry-After was ever seen (section 1.8): our own patience grows instead. One that is
        `told` after all, in seconds, is obeyed."""
        rest = max(self._budget.slow_down(self.tenant, asked), told)
        return Throttled(error.summary, error.remedy, TOO_MUCH, error.request_id, rest)

    def _sent(self, method: str, url: str, most: int) -> Answer:
        self._wait_for_budget()
        with self._guard:
            self._requests += 1
            token = self._fresh_token()
        answer = self._session.request(
            method,
            url,
            headers={"Accept": "application/json"},
            body=b"" if method == "POST" else None,
            token=token,
            max_bytes=most,
        )
        self._service_clock.learn(answer)
        return answer

    def _wait_for_budget(self) -> None:
        """One thread pays for all: many that pay at once would leave most of it unused."""
        with self._paying:
            if not self._prepaid:
                self._take_from_budget()
                self._prepaid = _PREPAID
            self._prepaid -= 1

    def _take_from_budget(self) -> None:
        while (seconds := self._budget.take(self.tenant, _PREPAID)) > 0:
            if seconds > _LONGEST_WAIT:
                raise Throttled(
                    f"the feed's budget of requests for {self.tenant} is used up",
                    "It goes on by itself within a minute.",
                    "budget",
                    "",
                    seconds,
                )
            self._clock.sleep(seconds)

    def _fresh_token(self) -> str:
        """Under the guard: one thread asks, the others wait and use the same."""
        now = self._clock.now()
        if self._token is None or self._token[1] + _TOKEN_KEPT <= now:
            self._token = (self._tokens.get(self._tenant, self._root), now)
        return self._token[0]

    def _checked(self, link: str) -> str:
        """`link` with the publisher named. It must stay on the feed's own host before it gets the
        token: it may have come from a response (section 1.5)."""
        if not host_allowed(link, [urlsplit(self._root).netloc]):
            raise Transient(
                "the feed sent a link that leads to another host",
                "It was not followed; it is asked for again later.",
                "foreign-link",
            )
        if self._publisher is None:
            return link
        query = urlsplit(link).query
        named = {name.lower() for name in parse_qs(query, keep_blank_values=True)}
        if PUBLISHER.lower() in named:
            return link
        return f"{link}{'&' if query else '?'}{PUBLISHER}={self._publisher}"


def _too_much(answer: Answer, error: TrailkeeperError) -> bool:
    """AF429 comes as 403, too, and sometimes without a body; a refused permission has its code."""
    nameless = answer.status == 403 and not answer.body.strip(b"\0 \r\n")
    return nameless or answer.status == 429 or error.code == TOO_MUCH
