"""An audit record exactly as received, and columns of them.

A record's text is never rewritten. What is stored beside it (its *header*) is read from it once, by
the source that received it, and travels in columns from there to the lake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum


class PlacedBy(IntEnum):
    """Which time put the record on the time axis (contract: Export form)."""

    CREATION_TIME = 0
    CREATION_DATE = 1
    FIRST_SEEN = 2
    REFUSED = 3
    """when it was first seen, and without a header: the lake refused the record as it was read"""


COLUMNS: tuple[str, ...] = (
    "id",
    "keyless",
    "digest",
    "created_at",
    "placed_by",
    "malformed",
    "record_type",
    "operation",
    "workload",
    "user_id",
    "user_type",
    "client_ip",
    "result_status",
    "raw",
)


@dataclass(slots=True)
class RecordColumns:
    """Records in columns, one list each, all of equal length (see `COLUMNS`).

    ==============  ======================================================================
    `id`            the Id as received; for a keyless record the hex digest of its content
    `keyless`       True: the record has no Id of its own
    `digest`        16 bytes, BLAKE2b of `raw` in UTF-8: equal bytes, not equal JSON
    `created_at`    microseconds since 1970-01-01 UTC
    `placed_by`     `PlacedBy` as int
    `malformed`     True: AuditData was not valid JSON and `raw` is the wrapper of the contract
    `record_type`   integer as received, None when it was not an integer
    `user_type`     integer as received, None when it was not an integer
    `operation`, `workload`, `user_id`, `client_ip`, `result_status`
                    text as received, None when absent or not text
    `raw`           the record's JSON text, always valid JSON and valid UTF-8
    ==============  ======================================================================
    """

    id: list[str] = field(default_factory=list)
    keyless: list[bool] = field(default_factory=list)
    digest: list[bytes] = field(default_factory=list)
    created_at: list[int] = field(default_factory=list)
    placed_by: list[int] = field(default_factory=list)
    malformed: list[bool] = field(default_factory=list)
    record_type: list[int | None] = field(default_factory=list)
    operation: list[str | None] = field(default_factory=list)
    workload: list[str | None] = field(default_factory=list)
    user_id: list[str | None] = field(default_factory=list)
    user_type: list[int | None] = field(default_factory=list)
    client_ip: list[str | None] = field(default_factory=list)
    result_status: list[str | None] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.id)

    @property
    def size(self) -> int:
        """Characters of raw text, close enough to bytes for a bound."""
        return sum(map(len, self.raw))

    def extend(self, more: RecordColumns) -> None:
        """Append the records of `more`, which stays as it is."""
        for name in COLUMNS:
            getattr(self, name).extend(getattr(more, name))

    def columns(self) -> Sequence[tuple[str, Sequence[object]]]:
        return [(name, getattr(self, name)) for name in COLUMNS]
