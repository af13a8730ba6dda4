"""Bad blobs and bad services are told apart while a listing's blobs are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Semaphore

import pytest

from trailkeeper.errors import AnswerTooLarge, Transient
from trailkeeper.microsoft.activity import fetch as activity_fetch
from trailkeeper.microsoft.activity.fetch import Fetching
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.model.feed.blob import Blob, BlobState
from trailkeeper.model.record import RecordColumns

LARGE, SMALL = 20_000, 1_000
START = datetime(2026, 10, 1, tzinfo=UTC)


class Feed:
    """Answers every blob but the bad ones; stands in for the HTTP client."""

    def __init__(self, bad: Sequence[int]) -> None:
        self.bad = {str(number) for number in bad}

    def now(self) -> datetime:
        return START + timedelta(hours=13)

    def blob(self, uri: str, most: int) -> list[Answer]:
        if uri in self.bad:
            raise Transient("the feed answered HTTP 404", "It is asked again.", "HTTP 404")
        body = b'[{"Id":"%s","CreationTime":"2026-10-01T00:00:00"}]' % uri.encode()
        return [Answer(200, body=body)]


class HeavyFeed(Feed):
    """Every second blob is large; the first one comes when the others have no thread left."""

    def __init__(self) -> None:
        super().__init__([])
        self.held: dict[str, int] = {}
        """bytes of the answers given and not landed yet, by uri"""
        self.most_held = 0
        self.at_their_turn: list[str] = []
        self._others = Semaphore(0)

    def blob(self, uri: str, most: int) -> list[Answer]:
        if most > SMALL:
            self.at_their_turn.append(uri)
        if uri == "0":
            for _ in range(15):
                self._others.acquire(timeout=60)
        (answer,) = super().blob(uri, most)
        size = LARGE if int(uri) % 2 else SMALL
        try:
            if size > most:
                raise AnswerTooLarge("too large")
            self.held[uri] = size
            self.most_held = max(self.most_held, sum(self.held.values()))
        finally:
            self._others.release()
        return [replace(answer, body=answer.body.ljust(size))]


class Sink:
    """Counts what is landed."""

    received = 0
    size = 0

    def add(self, records: RecordColumns) -> None:
        self.received += len(records)


class Landed(Sink):
    """Lets go of what a heavy feed gave."""

    def __init__(self, feed: HeavyFeed) -> None:
        self._feed = feed

    def add(self, records: RecordColumns) -> None:
        super().add(records)
        self.size += sum(self._feed.held.pop(uri) for uri in records.id)


def _fetch(feed: Feed, sink: Sink, count: int = 200) -> tuple[Fetching, datetime | None]:
    blobs = [
        Blob(
            "Audit.General", str(n), str(n), START + timedelta(seconds=n), START + timedelta(days=7)
        )
        for n in range(count)
    ]
    with ThreadPoolExecutor(8) as pool:
        fetching = Fetching(feed, pool, 8, sink, lambda: None, START)  # type: ignore[arg-type]
        left = fetching.run(blobs)
    return fetching, left


def test_bad_neighbours_do_not_hold_up_the_rest() -> None:
    """Five bad blobs side by side count a failed look each; all others are landed."""
    sink = Sink()
    fetching, left = _fetch(Feed(range(5)), sink)
    assert sink.received == 195
    assert left is None
    assert fetching.interrupted is None
    failed = [mark for mark in fetching.marks if mark.state is BlobState.LISTED]
    assert sorted(mark.content_id for mark in failed) == ["0", "1", "2", "3", "4"]


def test_an_outage_costs_no_blob_an_attempt() -> None:
    """When nothing comes any more, the service is down, and no blob is blamed for it."""
    sink = Sink()
    fetching, left = _fetch(Feed(range(100, 200)), sink)
    assert sink.received == 100
    assert left == START + timedelta(seconds=100)
    assert isinstance(fetching.interrupted, Transient)
    assert {mark.state for mark in fetching.marks} == {BlobState.DONE}


def test_large_blobs_do_not_pile_up_behind_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its turn is small: a large blob is fetched at its own turn, one at a time."""
    monkeypatch.setattr(activity_fetch, "AHEAD_BYTES", SMALL)
    feed = HeavyFeed()
    sink = Landed(feed)
    fetching, left = _fetch(feed, sink)
    assert (sink.received, left, fetching.interrupted) == (200, None, None)
    assert feed.held == {}
    assert feed.most_held <= LARGE + 16 * SMALL
    assert feed.at_their_turn == [str(number) for number in range(1, 200, 2)]


def test_large_blobs_do_not_pile_up_in_one_landing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull that has enough asks for no large one more: it is left, and fetched by the next."""
    monkeypatch.setattr(activity_fetch, "AHEAD_BYTES", SMALL)
    monkeypatch.setattr(activity_fetch, "ENOUGH_BYTES", LARGE)
    feed = HeavyFeed()
    fetching, left = _fetch(feed, Landed(feed))
    assert feed.at_their_turn == ["1"]
    assert left == START + timedelta(seconds=3)
    assert (fetching.interrupted, fetching.troubles) == (None, [])
    assert {mark.content_id for mark in fetching.marks} >= {"0", "1", "2", "4"}


def test_a_blob_too_large_by_itself_is_a_failed_look() -> None:
    """One that passes the bound of a single answer is not asked for without end."""

    class Endless(Feed):
        def blob(self, uri: str, most: int) -> list[Answer]:
            raise AnswerTooLarge(f"the answer is larger than {most} bytes")

    sink = Sink()
    fetching, left = _fetch(Endless([]), sink, 1)
    assert (left, sink.received) == (None, 0)
    assert [(mark.state, mark.attempts) for mark in fetching.marks] == [(BlobState.LISTED, 1)]
