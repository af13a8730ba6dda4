"""One API that is read, seen from the pull step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from trailkeeper.errors import NeedsPerson, TrailkeeperError
from trailkeeper.model.feed.blob import BlobMark
from trailkeeper.model.record import RecordColumns
from trailkeeper.model.segment import (
    Finding,
)
from trailkeeper.model.stream import Source
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window


class RecordSink(Protocol):
    """Where a source puts the records it receives, page by page, in any order."""

    def add(self, records: RecordColumns) -> None:
        """Append to the landing file. Raises `Unavailable` when the disk refuses."""
        ...

    @property
    def received(self) -> int:
        """Rows added so far."""
        ...

    @property
    def size(self) -> int:
        """Bytes of raw text added so far."""
        ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull of a window proved, and what it cost."""

    findings: tuple[Finding, ...]
    """disjoint, inside the window; a part that has none and was not shared is planned again"""
    requests: int
    foreign: int = 0
    interrupted: TrailkeeperError | None = None
    """what stopped the pull early; what was proven before it still holds"""
    marks: tuple[BlobMark, ...] = ()
    """what became of the feed's blobs; recorded in the same transaction as the landing"""
    refused: Mapping[str, NeedsPerson] = field(default_factory=dict)
    """content types of the feed that were asked for and need a person; the others were read"""
    answered: frozenset[str] = frozenset()
    """content types of the feed that were parked, were tried again, and were read"""
    cuts: Sequence[datetime] = ()
    """where a part that is planned again, since there was too much for one pull, is best cut"""


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the preflight checks. `passed` None means unknown, not healthy."""

    name: str
    passed: bool | None
    detail: str = ""
    remedy: str = ""


class AuditSource(Protocol):
    """One API, seen from the pull step."""

    source: Source

    def pull(self, tenant: str, window: Window, sink: RecordSink, turn: Turn) -> Pulled:
        """Fetch `window` into `sink` and say what was proven.

        `turn.still_ours` is called between requests: it raises `LeaseLost` and what else ends the
        pull. What `turn.share` gave away is not ours any more. A provider's error that stops it
        comes back in `Pulled.interrupted`. Raises `NotFinished` while the provider still works on
        the answer, and `Unavailable` for the ledger and the disk.
        """
        ...

    def check(self, tenant: str) -> Iterator[Check]:
        """Run the preflight checks (identity-and-exchange.md, section 6.5), the most basic first.

        Stops after the first check that fails; never raises for a provider's answer.
        """
        ...
