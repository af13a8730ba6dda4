"""A listing that comes in pieces, broken or refused now and then, is whole in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.microsoft.test_activity_fetch import Sink
from trailkeeper.errors import Throttled, Transient
from trailkeeper.microsoft.activity.client import ActivityClient, ServiceClock
from trailkeeper.microsoft.activity.fetch import Fetching
from trailkeeper.microsoft.activity.listing import Pages, listed_blobs
from trailkeeper.microsoft.activity.source import _Pull
from trailkeeper.microsoft.activity.subscriptions import Subscriptions
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.model.feed.blob import Blob, BlobState
from trailkeeper.model.feed.rules import listings
from trailkeeper.model.window import Axis, Window
from trailkeeper.ports.budget import Asked
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
DAY = Window(NOW - timedelta(hours=12), NOW, Axis.AVAILABLE)
ROOT = "https://feed.example"
TYPE = "Audit.General"
PAGES = 3
"""of a listing, one blob on each"""

AF429 = Answer(403, body=b"{'error':{'code':'AF429','message':'Too many requests'}}")
REFUSALS = [
    Answer(403, body=b'{"error":{"code":"AF429","message":"Too many requests"}}'),
    AF429,
    Answer(403),
]
HTML = Answer(200, body=b"<!DOCTYPE html><html></html>")
NOTHING = Answer(200, body=b"")
FORGOTTEN = Answer(400, body=b'{"error":{"code":"AF20031","message":"Invalid nextPage."}}')

Question = tuple[str, int]
"""a content type and the number of its page"""


class Feed:
    """A session, a clock, a budget and a store of tokens: the service at its word, but for what
    `instead` answers."""

    def __init__(self, instead: Callable[[Question], Answer | None]) -> None:
        self.instead = instead
        self.asked: list[Question] = []
        self.slept = 0.0
        self.rest = 6.0
        self.together = True

    def request(self, method: str, url: str, **words: Any) -> Answer:
        query = parse_qs(urlsplit(url).query)
        if "contentType" not in query:
            return AF429  # a blob
        question = query["contentType"][0], int(query.get("page", ["1"])[0])
        self.asked.append(question)
        return self.instead(question) or self.page(*question)

    def page(self, content_type: str, number: int) -> Answer:
        created_at = (NOW - timedelta(hours=number)).isoformat()
        body = (
            f'[{{"contentId":"{content_type}{number}","contentUri":"{ROOT}/{number}",'
            f'"contentCreated":"{created_at}"}}]'
        )
        link = f"{ROOT}/?contentType={content_type}&page={number + 1}"
        return Answer(200, {"NextPageUri": link} if number < PAGES else {}, body.encode())

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def take(self, tenant: str, requests: int = 1) -> float:
        return 0.0

    def answered(self, tenant: str, asked: Asked) -> None: ...

    def refused(self, tenant: str, asked: Asked) -> bool:
        return self.together

    def slow_down(self, tenant: str, asked: Asked) -> float:
        return self.rest

    def get(self, tenant: object, resource: str) -> str:
        return "t0ken"


def once(at: Question, *answers: Answer) -> Callable[[Question], Answer | None]:
    """These answers to that question, one after another; then the real one."""
    left: Iterator[Answer] = iter(answers)
    return lambda question: next(left, None) if question == at else None


def client_of(feed: Feed) -> ActivityClient:
    tenant = SimpleNamespace(name="contoso", tenant_id="1")
    cloud = SimpleNamespace(management=ROOT)
    stand_in: Any = feed
    return ActivityClient(
        tenant,  # type: ignore[arg-type]
        cloud,  # type: ignore[arg-type]
        stand_in,
        stand_in,
        None,
        stand_in,
        feed,
        ServiceClock(feed),
    )


def listed(feed: Feed, ledger: SqlLedger, pages: Pages) -> list[str]:
    subscriptions = Subscriptions(ledger, feed)
    (listing,) = listings(DAY, NOW)
    found = listed_blobs(client_of(feed), subscriptions, TYPE, listing, lambda: None, pages)
    return [blob.content_id for blob in found]


ALL = [f"{TYPE}{number}" for number in range(1, PAGES + 1)]


@pytest.mark.parametrize("broken", [HTML, NOTHING], ids=["html", "nothing"])
def test_a_200_that_is_no_listing(ledger: SqlLedger, broken: Answer) -> None:
    """It is a broken answer like any other: asked for again at once, twice, and only that page."""
    feed = Feed(once((TYPE, 2), broken, broken))
    assert listed(feed, ledger, {}) == ALL
    assert feed.asked == [(TYPE, number) for number in (1, 2, 2, 2, 3)]
    assert 0 < feed.slept < 2


def test_never_a_listing(ledger: SqlLedger) -> None:
    """What stays broken is not asked for at once for ever."""
    feed = Feed(once((TYPE, 2), *[HTML] * 99))
    with pytest.raises(Transient, match="could not be read"):
        listed(feed, ledger, {})
    assert feed.asked == [(TYPE, number) for number in (1, 2, 2, 2)]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["json", "quoted", "empty"])
def test_refused_by_chance(ledger: SqlLedger, refusal: Answer) -> None:
    """One refusal among answers costs one wait of one connection and one request more."""
    feed = Feed(once((TYPE, 2), refusal))
    feed.together = False
    assert listed(feed, ledger, {}) == ALL
    assert feed.asked == [(TYPE, number) for number in (1, 2, 2, 3)]
    assert 0 < feed.slept < 1


def test_refused_each_time(ledger: SqlLedger) -> None:
    """What is refused however often it is asked for is throttled, though it stands alone."""
    feed = Feed(once((TYPE, 2), *[AF429] * 99))
    feed.together = False
    with pytest.raises(Throttled) as raised:
        listed(feed, ledger, {})
    assert feed.asked == [(TYPE, number) for number in (1, 2, 2, 2)]
    assert raised.value.retry_after == feed.rest


def test_a_rest_that_is_told_is_obeyed(ledger: SqlLedger) -> None:
    """With Retry-After the first refusal is no chance: all of it is obeyed."""
    told = Answer(429, {"Retry-After": "120"}, AF429.body)
    feed = Feed(once((TYPE, 2), told))
    feed.together = False
    with pytest.raises(Throttled) as raised:
        listed(feed, ledger, {})
    assert raised.value.retry_after == 120
    assert feed.asked == [(TYPE, 1), (TYPE, 2)]


def test_a_throttled_page(ledger: SqlLedger) -> None:
    """After a throttling the listing goes on at the page that was refused: a service that is
    asked for less is not asked for the pages that it has given."""
    feed = Feed(once((TYPE, 2), AF429, AF429))
    pages: Pages = {}
    for _ in range(2):
        with pytest.raises(Throttled):
            listed(feed, ledger, pages)
    assert listed(feed, ledger, pages) == ALL
    assert feed.asked == [(TYPE, number) for number in (1, 2, 2, 2, 3)]


def test_the_service_forgot_where_we_were(ledger: SqlLedger) -> None:
    """A page whose link has run out meanwhile is reached from the beginning again."""
    feed = Feed(once((TYPE, 2), AF429, FORGOTTEN))
    pages: Pages = {}
    with pytest.raises(Throttled):
        listed(feed, ledger, pages)
    assert listed(feed, ledger, pages) == ALL
    assert feed.asked == [(TYPE, number) for number in (1, 2, 2, 1, 2, 3)]


def pull_of(feed: Feed, ledger: SqlLedger, pool: ThreadPoolExecutor) -> _Pull:
    client, subscriptions = client_of(feed), Subscriptions(ledger, feed)
    subscriptions._seen["contoso"] = frozenset(TYPES), NOW
    fetching = Fetching(client, pool, 2, Sink(), lambda: None, NOW)
    return _Pull(client, subscriptions, ledger, pool, fetching, lambda: None, feed)


TYPES: Sequence[str] = ("Audit.Exchange", TYPE)


def test_throttled_beside_a_listing_that_failed(ledger: SqlLedger) -> None:
    """What is told of such a pull is the throttling: the stream has to rest before the next one,
    which a listing that could not be read says nothing of."""
    feed = Feed(lambda question: HTML if question[0] == TYPE else None)
    with ThreadPoolExecutor(2) as pool:
        pulled = pull_of(feed, ledger, pool).of(DAY, TYPES)
    assert isinstance(pulled.interrupted, Throttled)
    assert pulled.interrupted.retry_after == feed.rest
    assert not pulled.findings


def test_the_longest_rest_is_obeyed(ledger: SqlLedger) -> None:
    """Of content types that are refused side by side the one that asks for most decides."""
    soon: Mapping[str, str] = {"Retry-After": "1"}
    refused = {
        "Audit.Exchange": once(("Audit.Exchange", 1), Answer(503, soon)),
        TYPE: once((TYPE, 2), AF429),
    }
    feed = Feed(lambda question: refused[question[0]](question))
    found: dict[str, list[Blob]] = {}
    (listing,) = listings(DAY, NOW)
    with ThreadPoolExecutor(2) as pool, pytest.raises(Throttled) as raised:
        pull_of(feed, ledger, pool)._list({name: {} for name in TYPES}, listing, found)
    assert raised.value.retry_after == feed.rest
    assert not found


class Endless(Feed):
    """One content type's listing names a new page for ever; every blob is empty."""

    def request(self, method: str, url: str, **words: Any) -> Answer:
        answer = super().request(method, url, **words)
        return Answer(200, body=b"[]") if answer is AF429 else answer

    def page(self, content_type: str, number: int) -> Answer:
        answer = super().page(content_type, 1)
        if content_type != TYPE:
            return Answer(200, body=answer.body)
        link = f"{ROOT}/?contentType={content_type}&page={number + 1}"
        body = answer.body.replace(f"{TYPE}1".encode(), f"{TYPE}{number}".encode())
        return Answer(200, {"NextPageUri": link}, body)


def test_a_listing_without_end_is_left_and_named(ledger: SqlLedger) -> None:
    """Ever new links are followed a thousand times; what they listed is fetched and kept, nothing
    is proven by it, and the error names the host."""
    feed = Endless(lambda _: None)
    with ThreadPoolExecutor(2) as pool:
        pulled = pull_of(feed, ledger, pool).of(DAY, TYPES)
    assert pulled.interrupted is not None
    assert pulled.interrupted.code == "endless-listing"
    assert "feed.example" in pulled.interrupted.summary
    assert not pulled.findings
    assert sum(content_type == TYPE for content_type, _ in feed.asked) == 1000
    assert sum(mark.state is BlobState.DONE for mark in pulled.marks) == 1000 + 1
