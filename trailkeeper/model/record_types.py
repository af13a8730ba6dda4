"""The record types known by name: AuditLogRecordType of audit-record-schema.md, as a table.

Types are added all the time: a record of a type that is not here is as good as any other.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files


@cache
def record_type_names() -> tuple[str, ...]:
    """Names in the order of their numbers, as the search's RecordType parameter takes them."""
    text = files("trailkeeper.model").joinpath("record_types.csv").read_text("utf-8")
    return tuple(row["name"] for row in csv.DictReader(text.splitlines()))
