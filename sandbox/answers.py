"""What a search answers with, and what the server remembers of a session between pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.faults import Plan
from sandbox.parameters import Query

_CAPS = {"ReturnLargeSet": 50_000, "ReturnNextPreviewPage": 5_000}
_MIXED_CAP = 10_000


@dataclass
class Answer:
    """One page: record numbers in the order served, and what is said about them."""

    ids: list[int]
    first_index: int
    total: int
    more: bool
    shown_count: int | None = None  # a ResultCount that a fault dictates
    shown_index: int | None = None  # a ResultIndex that a fault dictates for all rows
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    empty_row: bool = False  # D2: one row that carries nothing
    broken: set[int] = field(default_factory=set)  # D12: these records' AuditData is cut short


@dataclass
class Session:
    """A running query: all its rows, where it stands, and how it was told to misbehave."""

    query: Query
    rows: list[int]
    found: int
    commands: set[str]
    plan: Plan
    cursor: int = 0
    pages: int = 0
    last_page: list[int] = field(default_factory=list)

    @property
    def cap(self) -> int:
        return _MIXED_CAP if len(self.commands) > 1 else _CAPS[next(iter(self.commands))]

    @property
    def end(self) -> int:
        return min(len(self.rows), self.cap)
