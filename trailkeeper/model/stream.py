"""A stream is the unit of coverage and throttling: tenant × source (× content type)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trailkeeper.model.window import Axis


class Source(StrEnum):
    """One API that Trailkeeper reads."""

    EXCHANGE = "exchange"
    """Search-UnifiedAuditLog through the Exchange admin REST"""
    ACTIVITY = "activity"
    """the Office 365 Management Activity feed"""
    GRAPH = "graph"
    """the Microsoft Graph audit query API"""

    @property
    def axis(self) -> Axis:
        """The axis on which this source is asked."""
        return Axis.AVAILABLE if self is Source.ACTIVITY else Axis.OCCURRED


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """`tenant` is the configured name, `content_type` is empty except for the feed."""

    tenant: str
    source: Source
    content_type: str = ""

    def __str__(self) -> str:
        tail = f"/{self.content_type}" if self.content_type else ""
        return f"{self.tenant}/{self.source.value}{tail}"
