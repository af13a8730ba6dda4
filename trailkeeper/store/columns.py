"""Records in columns as one Arrow batch, without polars or pyarrow.

Pulling workers run this. nanoarrow turns a list of 5,000 texts into a column in well under a
millisecond and costs a few megabytes to import, where polars costs a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import nanoarrow as na

from trailkeeper.model.canonical import DIGEST_SIZE
from trailkeeper.model.record import COLUMNS, RecordColumns

Batch: TypeAlias = Any
"""an Arrow struct array that speaks the PyCapsule protocol (nanoarrow ships no types)"""

TYPES: dict[str, Any] = {
    "id": na.string(),
    "keyless": na.bool_(),
    "digest": na.fixed_size_binary(DIGEST_SIZE),
    "created_at": na.int64(),
    "placed_by": na.int8(),
    "malformed": na.bool_(),
    "record_type": na.int64(),
    "operation": na.string(),
    "workload": na.string(),
    "user_id": na.string(),
    "user_type": na.int64(),
    "client_ip": na.string(),
    "result_status": na.string(),
    "raw": na.string(),
}
SCHEMA = na.struct(TYPES)

_WIDEST_INTEGER = 2**63


def batch(records: RecordColumns) -> Batch:
    """`records` as one Arrow batch of `SCHEMA`."""
    children = [_column(name, getattr(records, name)) for name in COLUMNS]
    return na.c_array_from_buffers(SCHEMA, len(records), [None], children=children)


def raw_size(records: Batch) -> int:
    """Bytes of raw text in a batch: the length of the column's third buffer (Arrow layout)."""
    return int(records.view().child(COLUMNS.index("raw")).buffer(2).size_bytes)


def _column(name: str, values: Sequence[object]) -> Batch:
    try:
        return na.c_array(values, TYPES[name])
    except ValueError:
        # What JSON can say and Arrow cannot: half a surrogate pair, an integer beyond 64 bits. Only
        # the header gives way, and visibly; the record's text keeps what was received.
        return na.c_array([_arrow_can_say(value) for value in values], TYPES[name])


def _arrow_can_say(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, int) and not -_WIDEST_INTEGER <= value < _WIDEST_INTEGER:
        return None
    return value
