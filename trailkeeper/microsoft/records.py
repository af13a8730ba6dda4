"""Record texts in, columns out: each text is read once, and only its header is kept beside it.

The text itself goes on as received. What is not valid JSON, or no object, is wrapped as the
contract says (Export form) and marked; nothing is dropped because it is strange.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from trailkeeper.model.canonical import content_digest
from trailkeeper.model.record import PlacedBy, RecordColumns

DIGEST_SIZE = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Header(msgspec.Struct, gc=False):
    """The fields kept beside a record (audit-record-schema.md, section 1); any type may come."""

    Id: Any = None
    CreationTime: Any = None
    RecordType: Any = None
    Operation: Any = None
    Workload: Any = None
    UserId: Any = None
    UserType: Any = None
    ClientIP: Any = None
    ResultStatus: Any = None


_FIELDS = tuple(f.name for f in msgspec.structs.fields(_Header))
_decode = msgspec.json.Decoder(_Header).decode


class TimeReader:
    """ISO 8601 text to microseconds since 1970 UTC; remembers, since records share their seconds.

    A time without zone is UTC (audit-record-schema.md, section 1). Seven fractional digits, as .NET
    writes them, are cut to six.
    """

    _REMEMBERED = 100_000

    def __init__(self) -> None:
        self._known: dict[str, int | None] = {}

    def micros(self, text: object) -> int | None:
        """None when `text` is no readable instant."""
        if not isinstance(text, str):
            return None
        try:
            return self._known[text]
        except KeyError:
            if len(self._known) >= self._REMEMBERED:
                self._known.clear()
            return self._known.setdefault(text, self._parse(text))

    @staticmethod
    def _parse(text: str) -> int | None:
        try:
            moment = datetime.fromisoformat(text.strip())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return (moment - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            return None


class RecordReader:
    """Turns received rows into columns. One per pull; not shared between threads."""

    def __init__(self, first_seen: datetime) -> None:
        self._first_seen = (first_seen - _EPOCH) // _MICROSECOND
        self._times = TimeReader()

    def micros(self, text: object) -> int | None:
        return self._times.micros(text)

    def read(self, rows: Iterable[tuple[object, object, object]]) -> RecordColumns:
        """Columns of `(AuditData, Identity, CreationDate)` rows, in the order given."""
        columns = RecordColumns()
        for audit_text, identity, date in rows:
            try:
                header = _decode(audit_text)  # type: ignore[arg-type] # not text: refused below
                text: str = audit_text  # type: ignore[assignment] # bytes never come from JSON
            except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
                text, header, valid = _strange(audit_text, identity, date)
            else:
                valid = True
            self._append(columns, text, header, date, malformed=not valid)
        return columns

    def _append(
        self, columns: RecordColumns, text: str, header: _Header, date: object, *, malformed: bool
    ) -> None:
        identity = header.Id
        keyless = type(identity) is not str or not identity
        if keyless or not _encodable(identity):
            identity, keyless = content_digest(text).hex(), True
        created, placed = self._placed(header.CreationTime, date)
        columns.id.append(identity)
        columns.keyless.append(keyless)
        columns.digest.append(blake2b(text.encode(), digest_size=DIGEST_SIZE).digest())
        columns.created_at.append(created)
        columns.placed_by.append(placed)
        columns.malformed.append(malformed)
        columns.record_type.append(_integer(header.RecordType))
        columns.operation.append(_text(header.Operation))
        columns.workload.append(_text(header.Workload))
        columns.user_id.append(_text(header.UserId))
        columns.user_type.append(_integer(header.UserType))
        columns.client_ip.append(_text(header.ClientIP))
        columns.result_status.append(_text(header.ResultStatus))
        columns.raw.append(text)

    def _placed(self, creation_time: object, date: object) -> tuple[int, int]:
        created = self._times.micros(creation_time)
        if created is not None:
            return created, PlacedBy.CREATION_TIME
        created = self._times.micros(date)
        if created is not None:
            return created, PlacedBy.CREATION_DATE
        return self._first_seen, PlacedBy.FIRST_SEEN


def _strange(received: object, identity: object, date: object) -> tuple[str, _Header, bool]:
    """What the fast reader refused: valid JSON it does not like, or a text to be wrapped."""
    text = received if isinstance(received, str) else _as_text(received)
    fields = _object(text)
    if fields is None:
        wrapper = {"Id": identity, "CreationTime": date, "AuditDataText": text}
        spelled = json.dumps(wrapper, ensure_ascii=not _encodable(text), separators=(",", ":"))
        if not _encodable(spelled):
            spelled = json.dumps(wrapper, separators=(",", ":"))
        return spelled, _Header(Id=identity), False
    header = _Header(**{name: fields.get(name) for name in _FIELDS})
    return _encoded_surrogates(text), header, True


def _as_text(received: object) -> str:
    """AuditData that came as JSON instead of text of JSON; absent is the empty text."""
    return "" if received is None else json.dumps(received, separators=(",", ":"))


def _object(text: str) -> dict[str, Any] | None:
    """The object in `text` by the standard library's reading, or None when it is none.

    It takes lone surrogate escapes, which the fast reader refuses; NaN and Infinity are no JSON.
    """
    try:
        value = json.loads(text, parse_int=_bounded_int, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _bounded_int(digits: str) -> int | str:
    """Python refuses to convert very long integers; none of the header's fields is that long."""
    return int(digits) if len(digits) < 100 else digits


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _encodable(text: object) -> bool:
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded_surrogates(text: str) -> str:
    """Write lone surrogates as escapes: UTF-8 cannot carry them, and the JSON value is the same."""
    if _encodable(text):
        return text
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


def _text(value: object) -> str | None:
    return value if type(value) is str and _encodable(value) else None


def _integer(value: object) -> int | None:
    return value if type(value) is int and -(2**31) <= value < 2**31 else None
