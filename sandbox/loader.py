"""Real records from newline-delimited JSON into a tenant's log, their text kept exactly.

Times are moved into a chosen period by replacing the CreationTime value, in its own format,
inside the text; nothing else changes. Bursts (gaps up to a minute) keep their exact spacing;
only the silences between them are squeezed when the records span more than the period.
A line may be a wrapper {"Identity","CreationDate","AuditData": "<text>"}: AuditData is then the
record's text, however broken, and the other two are what the row says around it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from sandbox import record_types, rows
from sandbox.clock import MICROSECOND, parse_instant
from sandbox.feed.contents import NOWHERE, content_type_of
from sandbox.store import KeptRow

_DECODER = json.JSONDecoder(strict=False)
_BLANK = re.compile(r"[ \t\r\n]*")
_CREATION = re.compile(r'"CreationTime"\s*:\s*"([^"\\]*)"')
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
_BURST_GAP = 60 * MICROSECOND


@dataclass
class Record:
    """One line, read: the text to serve and where its time stands in it."""

    text: str
    identity: str
    time: int | None
    span: tuple[int, int] | None
    fields: dict[str, Any]


def read(path: Path) -> Iterator[Record]:
    """Records of one file, `.gz` or plain; empty lines are skipped."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            if stripped := line.rstrip(b"\r\n"):
                yield record(stripped.decode("utf-8", errors="replace"))


def record(line: str) -> Record:
    """Understand one line; what is not valid JSON is served as it is."""
    fields = _object(line)
    if isinstance(fields.get("AuditData"), str):
        return _wrapped(fields)
    return _bare(line, fields)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _wrapped(outer: dict[str, Any]) -> Record:
    text = outer["AuditData"]
    inner = _bare(text, _object(text))
    if outer.get("Identity"):
        inner.identity = str(outer["Identity"])
    if outer.get("CreationDate"):
        inner.time = _time(str(outer["CreationDate"]))
    inner.fields = {**inner.fields, **{k: v for k, v in outer.items() if k != "AuditData"}}
    return inner


def _bare(text: str, fields: dict[str, Any]) -> Record:
    span = creation_span(text)
    moment = _time(text[slice(*span)]) if span else _time(str(fields.get("createdDateTime", "")))
    identity = fields.get("Id") or fields.get("id") or fields.get("ID")
    return Record(text, str(identity or _made_identity(text)), moment, span, fields)


def _made_identity(text: str) -> str:
    """The service gives every row an Identity, also where the record has no Id."""
    digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()
    return str(uuid.UUID(bytes=digest[:16]))


def _time(text: str) -> int | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None


def creation_span(text: str) -> tuple[int, int] | None:
    """Where the top-level CreationTime's value stands; in broken JSON the first that looks so."""
    try:
        spans = [span for key, span in _top_level_strings(text) if key == "CreationTime"]
    except (ValueError, IndexError, RecursionError):
        found = _CREATION.search(text)
        return found.span(1) if found else None
    return spans[-1] if spans else None


def _top_level_strings(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """(key, span of the value between its quotes) for each string value of the outer object."""
    at = _skip(text, 0)
    if text[at] != "{":
        raise ValueError("not an object")
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = scanstring(text, at + 1, False)
        start = _skip(text, _skip(text, at) + 1)
        value, at = _DECODER.raw_decode(text, start)
        if isinstance(value, str):
            yield key, (start + 1, at - 1)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def squeeze(times: Iterable[int], start: int, end: int) -> dict[int, int]:
    """Old time to new time, order and bursts kept, everything inside [start, end)."""
    ordered = sorted(set(times))
    if not ordered:
        return {}
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    room = end - start - MICROSECOND
    short = sum(gap for gap in gaps if gap <= _BURST_GAP)
    silence = sum(gap - _BURST_GAP for gap in gaps if gap > _BURST_GAP)
    fixed = short + sum(_BURST_GAP for gap in gaps if gap > _BURST_GAP)
    factor = min(1.0, max(0.0, (room - fixed) / silence)) if silence else 1.0
    crowd = min(1.0, room / fixed) if fixed else 1.0
    moved, now = {ordered[0]: start}, start
    for gap, old in zip(gaps, ordered[1:], strict=True):
        now += _whole_seconds(_shrunk(gap, factor) * crowd)
        moved[old] = min(now, end - MICROSECOND)
    return moved


def _shrunk(gap: int, factor: float) -> float:
    return gap if gap <= _BURST_GAP else _BURST_GAP + (gap - _BURST_GAP) * factor


def _whole_seconds(span: float) -> int:
    # Downwards, so that the sum never leaves the period; CreationTime has seconds only.
    return int(span // MICROSECOND) * MICROSECOND


def shifted(found: Record, new_time: int) -> Record:
    """The record at its new time: the same text but for the CreationTime value."""
    if found.span is None or found.time is None:
        found.time = new_time
        return found
    low, high = found.span
    stamp = _STAMP.fullmatch(found.text[low:high])
    if stamp:
        local = datetime.fromisoformat(stamp[1]) + timedelta(microseconds=new_time - found.time)
        written = local.isoformat(sep=stamp[1][10], timespec="seconds") + stamp[2]
        found.text = found.text[:low] + written + found.text[high:]
    found.time = new_time
    return found


def _second(time: int) -> int:
    return time - time % MICROSECOND


def placed(records: list[Record], start: int, end: int, keep_times: bool) -> list[Record]:
    """Give every record its time: shifted into the period, or as it came.

    A record without a readable time takes its neighbour's, as it would stand in the log.
    """
    if not keep_times:
        # Whole seconds move; a fraction, where a record has one, stays as it is.
        new = squeeze((_second(r.time) for r in records if r.time is not None), start, end)
        records = [
            r if r.time is None else shifted(r, new[_second(r.time)] + r.time % MICROSECOND)
            for r in records
        ]
    last = start
    for each in records:
        last = each.time = last if each.time is None else each.time
    return records


def kept(found: Record) -> KeptRow:
    """Render the row that a search returns for this record."""
    number = found.fields.get("RecordType")
    kind = number if isinstance(number, int) and not isinstance(number, bool) else None
    shown = number if isinstance(number, str) else record_types.name_of(kind)
    user = _text(found.fields.get("UserId", found.fields.get("UserIds")))
    operation = _text(found.fields.get("Operation", found.fields.get("Operations")))
    body = rows.body(
        rows.quoted(shown),
        found.time or 0,
        rows.quoted(user),
        rows.quoted(operation),
        rows.quoted(found.text)[1:-1],
        rows.quoted(found.identity)[1:-1],
    )
    return KeptRow(body, kind, operation, user, found.identity, _content_type(found))


def _content_type(found: Record) -> int:
    """The feed has only what is a JSON object, by the letter of the standard."""
    if not found.fields or (_CONTROL.search(found.text) and not _strict(found.text)):
        return NOWHERE
    return content_type_of(found.fields.get("Workload"), found.fields.get("RecordType"))


def _strict(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
