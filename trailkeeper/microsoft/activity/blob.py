"""The body of a blob: a JSON array, each record's text kept as received."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from statistics import median_low

import msgspec

from trailkeeper.errors import Transient
from trailkeeper.microsoft.json_pieces import NoJsonError, items
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.feed.blob import Blob
from trailkeeper.model.record import PlacedBy, RecordColumns
from trailkeeper.model.text import legible, utf8
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
    """The records of one blob; one that is no JSON or no UTF-8 is kept and marked.

    Raises `UnreadableBlob` when the body is no list, breaks off, or holds what are no records.
    """
    body = utf8(body).strip(_BLANKS)
    try:
        found = _texts(body)
    except NoJsonError:
        raise _unreadable("is no list of records", len(body), request_id) from None
    records = [text for text in found.texts if not _is_other_value(text)]
    own = [*map(_own_place, records)] if found.odd else [_NOWHERE] * len(records)
    columns = reader.read(records, [key for key, _ in own], [date for _, date in own])
    strange = len(found.texts) - len(records)
    if strange or not found.whole:
        what = f"holds {strange} items that are no records" if strange else "breaks off"
        error = _unreadable(what, len(body), request_id)
        error.readable = columns
        raise error
    return columns


@dataclass(frozen=True, slots=True)
class _Found:
    texts: list[str]
    whole: bool = True
    odd: bool = False
    """the fast reader refused the body"""


def _texts(body: bytes) -> _Found:
    """The items of a JSON array, each as received. Raises `NoJsonError`."""
    try:
        return _Found([bytes(item).decode() for item in _decode(body)])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = items(body, "CreationTime")
    behind = body[found.end :].strip(_BLANKS)
    return _Found([*map(legible, found.pieces)], found.whole and not behind, odd=True)


_BLANKS = b" \t\r\n\0"
_NOWHERE = (None, None)


def _is_other_value(text: str) -> bool:
    """A JSON value, but no object: nothing that a record could have been."""
    if text.startswith("{"):
        return False
    try:
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _own_place(text: str) -> tuple[object, object]:
    """Id and time of a record that is no JSON as it stands, if these can be read: a blob has no
    rows that would tell them."""
    try:
        fields = json.loads(_SHOWN_BYTE.sub("\ufffd", text), strict=False, parse_int=str)
    except (ValueError, RecursionError):
        return _NOWHERE
    if not isinstance(fields, dict):
        return _NOWHERE
    key, date = fields.get("Id"), fields.get("CreationTime")
    return key if isinstance(key, str) and "\ufffd" not in key else None, date


_SHOWN_BYTE = re.compile(r"\\x[89a-f][0-9a-f]")


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
