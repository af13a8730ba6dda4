"""The folder of landing files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from trailkeeper.model.segment import (
    Lease,
)
from trailkeeper.ports.source import RecordSink


class LandingWriter(RecordSink, Protocol):
    def seal(self) -> str | None:
        """Make everything durable (write, fsync, rename, fsync the folder); the file's name.

        None when no record was added. Nothing may be added afterwards.
        """
        ...


class Landing(Protocol):
    """The folder of landing files; a file that carries its final name is complete for ever."""

    def open(self, lease: Lease, tenant: str) -> AbstractContextManager[LandingWriter]:
        """A writer for one attempt; on leaving without `seal` the partial file is removed."""
        ...

    def path(self, tenant: str, file: str) -> Path: ...

    def remove(self, tenant: str, file: str) -> None: ...

    def set_aside(self, tenant: str, file: str) -> None:
        """Keep a damaged file for a person, out of everybody's way."""
        ...

    def files(self, tenant: str) -> list[str]:
        """Every file of the tenant: sealed, partial or set aside."""
        ...

    def orphans(self, older_than: datetime) -> Iterator[tuple[str, str]]:
        """(tenant, file) of every sealed or partial file last written before `older_than`."""
        ...
