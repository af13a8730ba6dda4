"""The body of a blob: a JSON array, each record's text kept as received."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from statistics import median_low

import msgspec

from trailkeeper.errors import Transient
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.feed.blob import Blob
from trailkeeper.model.record import PlacedBy, RecordColumns
from trailkeeper.model.window import require_utc

_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


class UnreadableBlob(Transient):
    """The answer was no list of records, or not only; `readable` is what could be read."""

    def __init__(
        self, summary: str = "", remedy: str = "", code: str = "", request_id: str = ""
    ) -> None:
        super().__init__(summary, remedy, code, request_id)
        self.readable = RecordColumns()


def read_blob(body: bytes, reader: RecordReader, request_id: str = "") -> RecordColumns:
    """The records of one blob. Raises `UnreadableBlob`."""
    try:
        texts = _texts(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        raise _unreadable("is no list of records in UTF-8", len(body), request_id) from None
    records = [text for text in texts if text.startswith("{")]
    absent = [None] * len(records)
    columns = reader.read(records, absent, absent)
    if len(records) < len(texts):
        strange = len(texts) - len(records)
        error = _unreadable(f"holds {strange} items that are no records", len(body), request_id)
        error.readable = columns
        raise error
    return columns


def _texts(body: bytes) -> list[str]:
    """The items of a JSON array, each as received. Raises `ValueError`, `RecursionError`."""
    try:
        return [bytes(item).decode() for item in _decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return list(_scanned(body.decode()))


def _scanned(text: str) -> Iterator[str]:
    """The same by the standard library's reading: it takes lone surrogate escapes, which the fast
    reader refuses, and which real records hold."""
    at = _past_blanks(text, 0)
    if text[at : at + 1] != "[":
        raise ValueError("no array")
    at = _past_blanks(text, at + 1)
    if text[at : at + 1] == "]":
        return
    while True:
        end = _scanner.raw_decode(text, at)[1]
        yield text[at:end]
        at = _past_blanks(text, end)
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            return
        if text[at : at + 1] != ",":
            raise ValueError("no array")
        at = _past_blanks(text, at + 1)


_BLANKS = re.compile(r"[ \t\r\n]*")
_scanner = json.JSONDecoder(parse_int=str)  # very long integers are refused otherwise


def _past_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def lag_seconds(blob: Blob, records: RecordColumns) -> int:
    """From the median record's occurrence to the blob's creation; 0 when no record has a time."""
    times = [
        at
        for at, by in zip(records.created_at, records.placed_by, strict=True)
        if by == PlacedBy.CREATION_TIME
    ]
    if not times:
        return 0
    return round(require_utc(blob.created_at).timestamp() - median_low(times) / 1e6)


def _unreadable(what: str, size: int, request_id: str) -> UnreadableBlob:
    return UnreadableBlob(
        f"a blob of {size} bytes {what}", "It is fetched again later.", "blob", request_id
    )
