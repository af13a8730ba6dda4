"""The whole service in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trailkeeper.model.segment import (
    SegmentState,
)
from trailkeeper.model.stream import Stream


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole service in a few numbers, cheap enough to be asked for every minute."""

    unfinished: Mapping[SegmentState, int]
    """planned, leased and landed segments of all tenants"""
    landed_at: Mapping[Stream, datetime | None]
    """when one of the stream's newest windows landed last; None before the first"""


class Overviews(Protocol):
    """The numbers that are asked for every minute.

    Every method is one transaction. Raises `Unavailable` when the database is out of reach.
    """

    def overview(self) -> Overview: ...
