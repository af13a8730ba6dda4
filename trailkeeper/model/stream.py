"""A stream is the unit of coverage and throttling: tenant × source (× content type)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from trailkeeper.model.window import Axis


class Source(str):
    """The name of one API that is read, and the axis on which it is asked.

    There is one object per name: `Source("exchange") is Source.EXCHANGE`. What else is true of a
    source stands in `model.sources`.
    """

    EXCHANGE: ClassVar[Source]
    """Search-UnifiedAuditLog through the Exchange admin REST"""
    ACTIVITY: ClassVar[Source]
    """the Office 365 Management Activity feed"""
    GRAPH: ClassVar[Source]
    """the Microsoft Graph audit query API"""

    axis: Axis
    _known: ClassVar[dict[str, Source]] = {}

    def __new__(cls, name: str) -> Self:
        """The source of this name. Raises `ValueError` for a name that was never defined."""
        found = cls._known.get(name)
        if not isinstance(found, cls):
            raise ValueError(f"{name!r} is no source; known are {', '.join(cls._known)}")
        return found

    @classmethod
    def define(cls, name: str, axis: Axis) -> Source:
        """Make a name known, once for each process."""
        made = str.__new__(cls, name)
        made.axis = axis
        return cls._known.setdefault(name, made)

    @classmethod
    def known(cls) -> tuple[Source, ...]:
        """Every source that was defined, in that order."""
        return tuple(cls._known.values())

    @property
    def value(self) -> str:
        """The name as configuration, ledger and messages carry it."""
        return str(self)

    def __reduce__(self) -> tuple[type[Source], tuple[str]]:
        return (Source, (str(self),))


Source.EXCHANGE = Source.define("exchange", Axis.OCCURRED)
Source.ACTIVITY = Source.define("activity", Axis.AVAILABLE)
Source.GRAPH = Source.define("graph", Axis.OCCURRED)


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """`tenant` is the configured name, `content_type` is empty except for the feed."""

    tenant: str
    source: Source
    content_type: str = ""

    def __str__(self) -> str:
        tail = f"/{self.content_type}" if self.content_type else ""
        return f"{self.tenant}/{self.source.value}{tail}"
