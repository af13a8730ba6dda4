"""Record texts in, columns out: each text is read once, and only its header is kept beside it.

The text itself goes on as received. What is not valid JSON, or no object, is wrapped as the
contract says (Export form) and marked; nothing is dropped because it is strange.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from types import NoneType
from typing import Any

import msgspec

from trailkeeper.model.canonical import content_digest
from trailkeeper.model.record import PlacedBy, RecordColumns

DIGEST_SIZE = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


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
    """ISO 8601 text to microseconds since 1970 UTC; remembers days, since records share theirs.

    A time without zone is UTC (audit-record-schema.md, section 1). Seven fractional digits, as .NET
    writes them, are cut to six. The text of a whole second costs three look-ups: its day, its
    minute, its second.
    """

    _REMEMBERED_DAYS = 10_000

    def __init__(self) -> None:
        self._days: dict[str, int] = {}

    def micros(self, text: object) -> int | None:
        """None when `text` is no readable instant, or one that lies outside the years 1 to 9999 in
        UTC: an offset can push it there, and nothing further in could hold it."""
        if type(text) is not str:
            return None
        try:
            return self._days[text[:10]] + _MINUTES[text[10:16]] + _SECONDS[text[16:]]
        except KeyError:
            return self._remembered(text)

    def all_micros(self, texts: Sequence[Any]) -> list[int | None]:
        """`micros` of each, faster."""
        days = self._days
        try:
            return [days[t[:10]] + _MINUTES[t[10:16]] + _SECONDS[t[16:]] for t in texts]
        except (KeyError, TypeError):  # a day not seen yet, a fraction, no text at all
            return [self.micros(text) for text in texts]

    def _remembered(self, text: str) -> int | None:
        moment = self._parse(text)
        minute, second = _MINUTES.get(text[10:16]), _SECONDS.get(text[16:])
        if moment is not None and minute is not None and second is not None:
            if len(self._days) >= self._REMEMBERED_DAYS:
                self._days.clear()
            self._days[text[:10]] = moment - minute - second
        return moment

    @staticmethod
    def _parse(text: str) -> int | None:
        try:
            moment = datetime.fromisoformat(text.strip())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            micros = (moment - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            return None
        return micros if _FIRST <= micros <= _LAST else None


_MINUTES = {f"T{m // 60:02}:{m % 60:02}": m * 60_000_000 for m in range(1440)}
_SECONDS = {
    f":{second:02}{tail}": second * 1_000_000
    for second in range(60)
    for tail in ("", "Z", ".0000000+00:00", "+00:00", ".0000000Z")
}
"""with the spellings of "UTC" that the service was seen to use for a whole second (section 3.2)"""


class RecordReader:
    """Turns received rows into columns. One per pull; not shared between threads."""

    def __init__(self, first_seen: datetime) -> None:
        self._first_seen = (first_seen - _EPOCH) // _MICROSECOND
        self._times = TimeReader()

    def all_micros(self, texts: Sequence[object]) -> list[int | None]:
        return self._times.all_micros(texts)

    def read(
        self, received: list[Any], identities: Sequence[object], dates: Sequence[object]
    ) -> RecordColumns:
        """Columns of the rows' AuditData, in the order given; `identities` and `dates` are the
        rows' Identity and CreationDate, of use where AuditData has none of its own."""
        try:
            headers = [*map(_decode, received)]
        except _REFUSED:
            return self._read_strange(received, identities, dates)
        return self._columns(received, headers, dates, [False] * len(received), encodable=True)

    def _read_strange(
        self, received: list[Any], identities: Sequence[object], dates: Sequence[object]
    ) -> RecordColumns:
        """As `read`, when there is something among the rows that the fast reader refuses."""
        read = [*map(_read_one, received, identities, dates)]
        return self._columns(
            [text for text, _, _ in read],
            [header for _, header, _ in read],
            dates,
            [not valid for _, _, valid in read],
            encodable=False,
        )

    def _columns(
        self,
        texts: list[str],
        headers: list[_Header],
        dates: Sequence[object],
        malformed: list[bool],
        *,
        encodable: bool,
    ) -> RecordColumns:
        """`encodable`: the headers' texts all come from the fast reader, so UTF-8 carries them."""
        ids, keyless = _keys([header.Id for header in headers], texts, encodable)
        created_at, placed_by = self._slots([header.CreationTime for header in headers], dates)
        return RecordColumns(
            id=ids,
            keyless=keyless,
            digest=[blake2b(text.encode(), digest_size=DIGEST_SIZE).digest() for text in texts],
            created_at=created_at,
            placed_by=placed_by,
            malformed=malformed,
            record_type=_integers([header.RecordType for header in headers]),
            operation=_words([header.Operation for header in headers], encodable),
            workload=_words([header.Workload for header in headers], encodable),
            user_id=_words([header.UserId for header in headers], encodable),
            user_type=_integers([header.UserType for header in headers]),
            client_ip=_words([header.ClientIP for header in headers], encodable),
            result_status=_words([header.ResultStatus for header in headers], encodable),
            raw=texts,
        )

    def _slots(
        self, creation_times: list[object], dates: Sequence[object]
    ) -> tuple[list[int], list[int]]:
        """Where each record lies in time, and by which of its times."""
        created = self._times.all_micros(creation_times)
        if None not in created:
            return created, [int(PlacedBy.CREATION_TIME)] * len(created)  # type: ignore[return-value]  # no None
        placed = [
            (own, PlacedBy.CREATION_TIME) if own is not None else self._place_of(date)
            for own, date in zip(created, dates, strict=True)
        ]
        return [moment for moment, _ in placed], [by for _, by in placed]

    def _place_of(self, date: object) -> tuple[int, int]:
        moment = self._times.micros(date)
        if moment is not None:
            return moment, PlacedBy.CREATION_DATE
        return self._first_seen, PlacedBy.FIRST_SEEN


def _keys(ids: list[Any], texts: list[str], encodable: bool) -> tuple[list[str], list[bool]]:
    """Each record's key, and whether it had to be made from the content."""
    if encodable and set(map(type, ids)) == {str} and all(ids):
        return ids, [False] * len(ids)
    keyless = [type(key) is not str or not key or not _encodable(key) for key in ids]
    made = [
        content_digest(text).hex() if without else key
        for key, text, without in zip(ids, texts, keyless, strict=True)
    ]
    return made, keyless


def _words(values: list[Any], encodable: bool) -> list[str | None]:
    if encodable and set(map(type, values)) <= {str, NoneType}:
        return values
    return [value if type(value) is str and _encodable(value) else None for value in values]


def _integers(values: list[Any]) -> list[int | None]:
    """32-bit integers; anything else is kept in the raw text only."""
    if set(map(type, values)) == {int} and min(values) >= -(2**31) and max(values) < 2**31:
        return values
    return [value if type(value) is int and -(2**31) <= value < 2**31 else None for value in values]


_REFUSED = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)


def _read_one(received: Any, identity: object, date: object) -> tuple[str, _Header, bool]:
    """The text to keep, its header, and whether it is valid JSON."""
    try:
        return received, _decode(received), True
    except _REFUSED:
        return _strange(received, identity, date)


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
        value = json.loads(text, parse_int=bounded_int, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def bounded_int(digits: str) -> int | str:
    """Python refuses to convert very long integers; none of the header's fields is that long."""
    return int(digits) if len(digits) < 100 else digits


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _encodable(text: str | None) -> bool:
    """Whether UTF-8 can carry it: a lone surrogate cannot be."""
    if text is None or text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded_surrogates(text: str) -> str:
    """Write lone surrogates as escapes: UTF-8 cannot carry them, and the JSON value is the same."""
    if _encodable(text):
        return text
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
