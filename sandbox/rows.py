"""One search result row, in the bytes that go on the wire.

A row is rendered once, when its record enters the store; a page is then only a join. What
differs from call to call (ResultIndex, ResultCount, the metadata) goes in front of the rest.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from sandbox.clock import MICROSECOND, instant

_HEAD = (
    b'{"ResultIndex@data.type":"System.Int32","ResultIndex":%d,'
    b'"ResultCount@data.type":"System.Int32","ResultCount":%d,'
)
_BODY = (
    b'"RecordType@data.type":"System.String","RecordType":%s,'
    b'"CreationDate@data.type":"System.DateTime","CreationDate":"%s",'
    b'"UserIds":%s,"Operations":%s,"AuditData":"%s","Identity":"%s",'
    b'"IsValid@data.type":"System.Boolean","IsValid":true,"ObjectState":"Unchanged"'
)


def quoted(text: str) -> bytes:
    """A JSON string; lone surrogates, which UTF-8 cannot carry, go out as escapes."""
    try:
        return json.dumps(text, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(text).encode("ascii")


@lru_cache(maxsize=1024)
def _day(number: int) -> bytes:
    return instant(number * 86_400 * MICROSECOND).date().isoformat().encode("ascii")


def creation_date(second: int, fraction: int = 0) -> bytes:
    """A .NET DateTime with seven fractional digits and an offset (reference 3.2)."""
    day, second = divmod(second, 86_400)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return b"%bT%02d:%02d:%02d.%06d0+00:00" % (_day(day), hour, minute, second, fraction)


def body(
    record_type: bytes, time: int, user: bytes, operation: bytes, escaped: bytes, identity: bytes
) -> bytes:
    """The call-independent part of a row; `escaped` is AuditData as inside a JSON string."""
    date = creation_date(*divmod(time, MICROSECOND))
    return _BODY % (record_type, date, user, operation, escaped, identity)


def page(first_index: int, count: int, metadata: bytes, rests: list[bytes]) -> list[bytes]:
    """All rows of one page, ResultIndex counting up from `first_index`."""
    return [row(number, count, metadata, rest) for number, rest in enumerate(rests, first_index)]


def row(index: int, count: int, metadata: bytes, rest: bytes) -> bytes:
    """One complete row object."""
    return (_HEAD % (index, count)) + metadata + rest + b"}"


def parsed(rest: bytes) -> dict[str, Any]:
    """A rendered row's fields, for the few callers (report, faults) that need them again."""
    fields: dict[str, Any] = json.loads(b"{" + rest + b"}")
    return {key: value for key, value in fields.items() if "@" not in key}
