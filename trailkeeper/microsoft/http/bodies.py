"""The JSON of an answer's body: one way in, whatever surrounds it and whatever it is made of.

A byte order mark, UTF-16, NULs at the ends, a byte that is no UTF-8, a lone surrogate and an
integer of ten thousand digits were all seen, or are easily sent; none of them may stop a tenant.
"""

from __future__ import annotations

import json
import re

from trailkeeper.microsoft.records import bounded_int
from trailkeeper.model.text import utf8

_AROUND = b" \t\r\n\0"
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def json_value(body: bytes) -> object:
    """The value. Bytes that are no UTF-8 become U+FFFD. Raises `ValueError` when it is no JSON."""
    text = utf8(body).strip(_AROUND).decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False, parse_int=bounded_int)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_objects(body: bytes) -> list[dict[str, object]]:
    """A list of objects. Raises `ValueError` when the body is anything else."""
    value = json_value(body)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("no list of objects")
    return value


def text_of(value: object) -> str:
    """A text or a number as a text that every database takes; empty for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    return _UNSTORABLE.sub(lambda found: f"%{ord(found[0]):02X}", value)
