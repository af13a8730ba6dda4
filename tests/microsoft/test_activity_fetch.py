"""Bad blobs and bad services are told apart while a listing's blobs are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from trailkeeper.errors import Transient
from trailkeeper.microsoft.activity_fetch import Fetching
from trailkeeper.microsoft.answer import Answer
from trailkeeper.model.blob import Blob, BlobState
from trailkeeper.model.record import RecordColumns

START = datetime(2026, 10, 1, tzinfo=UTC)


class Feed:
    """Answers every blob but the bad ones; stands in for the HTTP client."""

    def __init__(self, bad: Sequence[int]) -> None:
        self.bad = {str(number) for number in bad}

    def now(self) -> datetime:
        return START + timedelta(hours=13)

    def blob(self, uri: str) -> list[Answer]:
        if uri in self.bad:
            raise Transient("the feed answered HTTP 404", "It is asked again.", "HTTP 404")
        body = b'[{"Id":"%s","CreationTime":"2026-10-01T00:00:00"}]' % uri.encode()
        return [Answer(200, body=body)]


class Sink:
    """Counts what is landed."""

    received = 0
    size = 0

    def add(self, records: RecordColumns) -> None:
        self.received += len(records)


def _fetch(bad: Sequence[int], count: int = 200) -> tuple[Fetching, datetime | None, Sink]:
    blobs = [
        Blob(
            "Audit.General", str(n), str(n), START + timedelta(seconds=n), START + timedelta(days=7)
        )
        for n in range(count)
    ]
    sink = Sink()
    with ThreadPoolExecutor(8) as pool:
        fetching = Fetching(Feed(bad), pool, 8, sink, lambda: None, START)  # type: ignore[arg-type]
        left = fetching.run(blobs)
    return fetching, left, sink


def test_bad_neighbours_do_not_hold_up_the_rest() -> None:
    """Five bad blobs side by side count a failed look each; all others are landed."""
    fetching, left, sink = _fetch(range(5))
    assert sink.received == 195
    assert left is None
    assert fetching.interrupted is None
    failed = [mark for mark in fetching.marks if mark.state is BlobState.LISTED]
    assert sorted(mark.content_id for mark in failed) == ["0", "1", "2", "3", "4"]


def test_an_outage_costs_no_blob_an_attempt() -> None:
    """When nothing comes any more, the service is down, and no blob is blamed for it."""
    fetching, left, sink = _fetch(range(100, 200))
    assert sink.received == 100
    assert left == START + timedelta(seconds=100)
    assert isinstance(fetching.interrupted, Transient)
    assert {mark.state for mark in fetching.marks} == {BlobState.DONE}
