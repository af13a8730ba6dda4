"""The body of a blob: a JSON array, each record's text kept as received."""

from __future__ import annotations

from statistics import median_low

import msgspec

from trailkeeper.errors import Transient
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.blob import Blob
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
        # One decode of the whole: records are cut out of text that is known to be UTF-8.
        texts = [bytes(record).decode() for record in _decode(body.removeprefix(b"\xef\xbb\xbf"))]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _unreadable("is no list of records in UTF-8", len(body), request_id) from None
    records = [text for text in texts if text.startswith("{")]
    columns = reader.read((text, None, None) for text in records)
    if len(records) < len(texts):
        strange = len(texts) - len(records)
        error = _unreadable(f"holds {strange} items that are no records", len(body), request_id)
        error.readable = columns
        raise error
    return columns


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
