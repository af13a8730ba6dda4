"""The body of a blob: records cut out as received, and what is no list of records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trailkeeper.microsoft.activity.blob import UnreadableBlob, lag_seconds, read_blob
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.feed.blob import Blob

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def reader() -> RecordReader:
    return RecordReader(NOW)


def test_each_record_keeps_its_text() -> None:
    """Key order, duplicate keys, escapes, big numbers and blanks inside stay as received."""
    first = r'{"Id":"a","n":12345678901234567890.10,"n":1, "t":"\u00e4\ud800"}'
    second = '{"CreationTime":"2026-11-20T11:00:00","Id":"b"}'
    found = read_blob(f"[{first} ,\n {second}]".encode(), reader())
    assert found.raw == [first, second]
    assert found.id == ["a", "b"]


def test_a_byte_order_mark_is_no_harm() -> None:
    """A body that begins with one is read all the same."""
    assert read_blob(b'\xef\xbb\xbf[{"Id":"a"}]', reader()).id == ["a"]


@pytest.mark.parametrize("body", [b'[{"Id":', b'{"value":[]}', b'["\xff"', b"", b"<html>", b"null"])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    """Anything but a list of records is told apart from an empty blob."""
    with pytest.raises(UnreadableBlob) as caught:
        read_blob(body, reader(), "request-1")
    assert caught.value.request_id == "request-1"
    assert caught.value.remedy


def test_strange_items_do_not_hide_the_records() -> None:
    """Of a list that holds other things as well, the records are still there."""
    with pytest.raises(UnreadableBlob) as caught:
        read_blob(b'["x",{"Id":"a"},7,null]', reader())
    assert caught.value.readable.id == ["a"]


def test_lag_is_the_median_records() -> None:
    """From the median occurrence to the blob's creation, without records that have no time."""
    blob = Blob("Audit.General", "x", "https://x", NOW, NOW + timedelta(days=7))
    texts = [
        '{"Id":"a","CreationTime":"2026-11-20T11:59:00"}',
        '{"Id":"b","CreationTime":"2026-11-20T11:00:00"}',
        '{"Id":"c","CreationTime":"2026-11-20T03:00:00"}',
        '{"Id":"d"}',
    ]
    assert lag_seconds(blob, read_blob(f"[{','.join(texts)}]".encode(), reader())) == 3600
    assert lag_seconds(blob, read_blob(b'[{"Id":"d"}]', reader())) == 0
