"""A blob's later pages: bounded, kept to the feed's host, and no harm to the pages before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from tests.microsoft.test_activity_fetch import Sink
from trailkeeper.errors import AnswerTooLarge
from trailkeeper.microsoft.activity import client as activity_client
from trailkeeper.microsoft.activity import fetch as activity_fetch
from trailkeeper.microsoft.activity.client import ActivityClient, ServiceClock
from trailkeeper.microsoft.activity.fetch import Fetching
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.model.feed.blob import MOST_ATTEMPTS, Blob, BlobState
from trailkeeper.ports.budget import Asked

NOW = datetime(2026, 10, 1, tzinfo=UTC)
ROOT = "https://feed.example"
RECORD = b'[{"Id":"%d","CreationTime":"2026-10-01T00:00:00"}]'


class Still:
    """A clock, a budget and a store of tokens that never say no."""

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None: ...

    def take(self, tenant: str, requests: int = 1) -> float:
        return 0.0

    def answered(self, tenant: str, asked: Asked) -> None: ...

    def get(self, tenant: object, resource: str) -> str:
        return "t0ken"


class Pages:
    """Stands in for the session: a record a page, and behind each the next of `links`."""

    def __init__(self, links: Iterator[str]) -> None:
        self.links = links
        self.asked: list[str] = []

    def request(self, method: str, url: str, *, max_bytes: int, **words: Any) -> Answer:
        self.asked.append(url)
        link = next(self.links, "")
        headers: Mapping[str, str] = {"NextPageUri": link} if link else {}
        body = RECORD % len(self.asked)
        if len(body) > max_bytes:
            raise AnswerTooLarge(f"the answer is larger than {max_bytes} bytes")
        return Answer(200, headers, body)


def fetched(
    links: Iterator[str], attempts: int, expires_at: datetime = NOW + timedelta(days=7)
) -> tuple[Fetching, Sink, Pages]:
    """One blob at `ROOT`, after so many failed looks."""
    still, pages, sink = Still(), Pages(links), Sink()
    client = ActivityClient(
        SimpleNamespace(name="contoso"),  # type: ignore[arg-type]
        SimpleNamespace(management=ROOT),  # type: ignore[arg-type]
        pages,  # type: ignore[arg-type]
        still,  # type: ignore[arg-type]
        None,
        still,  # type: ignore[arg-type]
        still,
        ServiceClock(still),
    )
    blob = Blob("Audit.General", "1", f"{ROOT}/1", NOW, expires_at, attempts)
    with ThreadPoolExecutor(1) as pool:
        fetching = Fetching(client, pool, 1, sink, lambda: None, NOW)
        fetching.run([blob])
    return fetching, sink, pages


def endless() -> Iterator[str]:
    return (f"{ROOT}/1?page={number}" for number in count())


@pytest.mark.parametrize("attempts", [0, MOST_ATTEMPTS - 1])
@pytest.mark.parametrize("to", ["elsewhere", "itself", "for ever", "too much"])
def test_a_page_that_does_not_come(monkeypatch: pytest.MonkeyPatch, to: str, attempts: int) -> None:
    """It is a failed look at the blob, told to nobody else's host; after the last look the pages
    that came are kept."""
    if to == "too much":
        for room in (activity_client, activity_fetch):
            monkeypatch.setattr(room, "MAX_BLOB_BYTES", 5 * len(RECORD))
        monkeypatch.setattr(activity_fetch, "AHEAD_BYTES", 2 * len(RECORD))
    else:
        monkeypatch.setattr(activity_client, "_MOST_PAGES", 5)
    links = {
        "elsewhere": iter(["https://elsewhere.example/1"] * 9),
        "itself": iter([f"{ROOT}/1"] * 9),
        "for ever": endless(),
        "too much": endless(),
    }
    fetching, sink, pages = fetched(links[to], attempts)
    (mark,) = fetching.marks
    last = attempts + 1 == MOST_ATTEMPTS
    assert mark.state is (BlobState.SET_ASIDE if last else BlobState.LISTED)
    assert (sink.received > 0) is last
    assert all(url.startswith(f"{ROOT}/1") for url in pages.asked)
    assert len(pages.asked) < 30


def test_the_last_look_is_that_after_which_the_blob_is_gone() -> None:
    """Of a blob that has expired what came is kept, too: nobody asks for it again."""
    fetching, sink, _ = fetched(iter([f"{ROOT}/1"] * 9), 0, expires_at=NOW)
    assert [mark.state for mark in fetching.marks] == [BlobState.LOST]
    assert sink.received == 1


def test_too_much_ahead_of_its_turn_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages count together: a blob that is too large with its last one comes whole later."""
    monkeypatch.setattr(activity_fetch, "AHEAD_BYTES", 2 * len(RECORD))
    links = [f"{ROOT}/2", f"{ROOT}/3", ""]
    fetching, sink, pages = fetched(iter(links * 2), 0)
    assert [(mark.state, mark.attempts) for mark in fetching.marks] == [(BlobState.DONE, 0)]
    assert sink.received == 3
    assert pages.asked == [f"{ROOT}/{number}" for number in (1, 2, 3, 1, 2, 3)]


def test_all_pages_are_read() -> None:
    """In order, each once."""
    fetching, sink, pages = fetched(iter([f"{ROOT}/2", f"{ROOT}/3"]), 0)
    assert [mark.state for mark in fetching.marks] == [BlobState.DONE]
    assert sink.received == 3
    assert pages.asked == [f"{ROOT}/{number}" for number in (1, 2, 3)]
