"""One HTTP answer of Search-UnifiedAuditLog, read once: rows to columns, flags to facts.

Shapes and traps: identity-and-exchange.md, sections 3.2 and 4.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trailkeeper.errors import Transient
from trailkeeper.microsoft.json_pieces import Items, NoJsonError, members
from trailkeeper.microsoft.records import RecordReader, bounded_int
from trailkeeper.model.record import PlacedBy, RecordColumns
from trailkeeper.model.search.answer.rows import UNTIMED
from trailkeeper.model.text import legible, shown_bytes, utf8


class _Row(msgspec.Struct, gc=False):
    """Annotations (`P@data.type`) and the columns repeated inside AuditData are left unread."""

    AuditData: Any = None
    Identity: Any = None
    RecordType: Any = None
    CreationDate: Any = None
    ResultIndex: Any = None
    ResultCount: Any = None
    AuditSearchRequestMetadata: msgspec.Raw = msgspec.Raw()
    moreRecordsAvailable: Any = None  # noqa: N815 - the wire's spelling


class _Page(msgspec.Struct):
    value: list[_Row]
    next_link: Any = msgspec.field(name="@odata.nextLink", default=None)
    bare_link: Any = msgspec.field(name="odata.nextLink", default=None)
    warnings: Any = msgspec.field(name="@adminapi.warnings", default=None)
    errors: Any = msgspec.field(name="@adminapi.errors", default=None)


_decode = msgspec.json.Decoder(_Page).decode


@dataclass(frozen=True, slots=True)
class ExchangePage:
    """One page. `times` are of the server's axis: the row's CreationDate, else the record's own."""

    records: RecordColumns
    times: Sequence[int]
    """microseconds since 1970 UTC, one per record; `UNTIMED` where no time can be read"""
    bogus: int
    """rows with ResultIndex -1 (D2)"""
    warnings: tuple[str, ...]
    result_count: int | None
    more_available: bool | None
    next_link: str | None
    types: frozenset[str]
    """names in the rows' RecordType"""


def read_page(body: bytes, reader: RecordReader, header_warnings: str = "") -> ExchangePage:
    """Parse a 200's body. Raises `Transient` when it is not the documented shape at all."""
    page = _page(body)
    rows = page.value
    if not all(row.AuditData for row in rows):
        rows = [row for row in rows if row.AuditData or not _is_bogus(row)]
    if any(type(row.AuditData) is not str for row in rows):
        _restore_spelling(rows, body)
    dates = [row.CreationDate for row in rows]
    records = reader.read([row.AuditData for row in rows], [row.Identity for row in rows], dates)
    stated = [*_texts(page.warnings), *_texts(page.errors), *_header_texts(header_warnings)]
    link = page.next_link or page.bare_link
    return ExchangePage(
        records=records,
        times=_times(dates, records, reader),
        bogus=_integers([row.ResultIndex for row in page.value]).count(-1),
        warnings=tuple(stated),
        result_count=_largest(_integers([row.ResultCount for row in rows])),
        more_available=_more_available(rows),
        next_link=link if isinstance(link, str) and link else None,
        types=frozenset({t for row in rows if type(t := row.RecordType) is str}),
    )


def _page(body: bytes) -> _Page:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _tolerant_page(utf8(body).strip(b"\0"))


def _tolerant_page(body: bytes) -> _Page:
    """Row by row, since the fast decoder refuses the whole: a lone surrogate, a byte that is no
    UTF-8 or a nesting too deep is the affair of its own row. Raises `Transient`."""
    try:
        found = members(body, {"value": "AuditData"})
        rows = found["value"]
        if not isinstance(rows, Items) or not rows.whole:
            raise NoJsonError("no list of rows")
        return _Page(
            [_row(piece) for piece in rows.pieces],
            *(_value(found.get(name)) for name in _BESIDE_ROWS),
        )
    except (NoJsonError, LookupError):
        raise Transient(
            "Exchange answered 200 with something that is not a result page", "It is asked again."
        ) from None


_BESIDE_ROWS = ("@odata.nextLink", "odata.nextLink", "@adminapi.warnings", "@adminapi.errors")


def _row(piece: bytes) -> _Row:
    """One row. One that cannot be taken apart is kept whole, in place of its record. Raises
    `NoJsonError` for a value that is no row at all."""
    try:
        fields = members(piece, {})
    except NoJsonError:
        if _value(piece) is not None or piece == b"null":
            raise
        return _Row(AuditData=legible(piece))
    known = {name: _value(fields[name]) for name in _Row.__struct_fields__ if name in fields}
    data, stated = fields.get("AuditData"), fields.get("AuditSearchRequestMetadata")
    if isinstance(data, bytes):
        known["AuditData"] = _audit_data(data)
    if isinstance(stated, bytes):
        known["AuditSearchRequestMetadata"] = msgspec.Raw(stated)
    return _Row(**known)


def _audit_data(received: bytes) -> object:
    """The text in a JSON string, bad bytes in it shown as such; an object in its own spelling."""
    if received.startswith(b"{"):
        return legible(received)
    try:
        received.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = _value(received.decode("utf-8", "surrogateescape"))
        return shown_bytes(str(text)) if text is not None else legible(received)
    value = _value(received)
    return value if value is not None or received == b"null" else legible(received)


def _value(received: bytes | str | Items | None) -> Any:
    """As the standard library reads it: it takes lone surrogates. None where it cannot."""
    if received is None or isinstance(received, Items):
        return None
    try:
        text = received if isinstance(received, str) else _shown(received)
        return json.loads(text, strict=False, parse_int=bounded_int)
    except (ValueError, RecursionError):
        return None


def _shown(received: bytes) -> str:
    try:
        return received.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return received.decode("utf-8", "replace")


class _RawRow(msgspec.Struct):
    AuditData: msgspec.Raw = msgspec.Raw()


class _RawPage(msgspec.Struct):
    value: list[_RawRow]


def _restore_spelling(rows: Sequence[_Row], body: bytes) -> None:
    """AuditData that came as JSON instead of text of JSON: keep its own spelling, big numbers and
    repeated keys included."""
    try:
        raws = [bytes(row.AuditData) for row in msgspec.json.decode(body, type=_RawPage).value]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return  # the tolerant reading has kept it
    objects = iter([raw.decode() for raw in raws if raw[:1] == b"{"])
    for row in rows:
        if isinstance(row.AuditData, dict):
            row.AuditData = next(objects)


def _is_bogus(row: _Row) -> bool:
    """A row that carries no record: it is the service's sign of trouble, not an event."""
    return not row.AuditData and _integer(row.ResultIndex) == -1


def _times(dates: list[Any], records: RecordColumns, reader: RecordReader) -> list[int]:
    times = reader.all_micros(dates)
    if None not in times:
        return times  # type: ignore[return-value] # just checked
    placed = zip(times, records.created_at, records.placed_by, strict=True)
    return [
        time if time is not None else own if by < PlacedBy.FIRST_SEEN else UNTIMED
        for time, own, by in placed
    ]


def _more_available(rows: Iterable[_Row]) -> bool | None:
    """True if any row says so; None when no row says anything (documented since June 2026)."""
    said = set(map(bytes, [row.AuditSearchRequestMetadata for row in rows]))
    said |= {
        str(row.moreRecordsAvailable).encode()
        for row in rows
        if row.moreRecordsAvailable is not None
    }
    answers = [text for text in said if text and text != b"null"]
    if not answers:
        return None
    return any(_SAYS_TRUE.search(text) for text in answers)


_SAYS_TRUE = re.compile(rb"""^"?true|morerecordsavailable[\\"'\s:=]*true""", re.IGNORECASE)
"""a flag by itself, an object's, or the same object in a text"""


def _largest(values: list[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _integers(values: list[Any]) -> list[int | None]:
    if set(map(type, values)) == {int}:
        return values
    return [_integer(value) for value in values]


def _integer(value: object) -> int | None:
    """Numbers come as numbers and as text (section 3.1)."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    return None


_NUMBER = re.compile(r"-?[0-9]{1,18}")


def _header_texts(stated: str) -> list[str]:
    """The X-Warnings header: a sentence, or a JSON list of them."""
    if stated.lstrip().startswith("["):
        try:
            return _texts(json.loads(stated))
        except ValueError:
            return _texts(stated)
    return _texts(stated)


def _texts(value: object) -> list[str]:
    """Warnings are a list of texts, but nothing keeps the service from sending something else."""
    if value is None or value == "":
        return []
    items = value if isinstance(value, list) else [value]
    return [str(item)[:1000] for item in items[:50] if item]
