"""Small facts that outlive a process."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Notes(Protocol):
    """What was noted, to be read only."""

    def noted(self, key: str) -> tuple[str, datetime] | None:
        """The value and when it was noted."""
        ...

    def all_noted(self, prefix: str) -> dict[str, tuple[str, datetime]]:
        """As `noted`, by key, for every key that begins so."""
        ...


class Notebook(Notes, Protocol):
    """Small facts that outlive a process: hints, never evidence."""

    def note(self, key: str, value: str, now: datetime) -> None: ...

    def forget(self, key: str) -> None:
        """As if it had never been noted."""
        ...

    def claim(self, key: str, now: datetime, older_than: datetime) -> bool:
        """Note `key` now, unless it was noted at or after `older_than`; did we?

        Of any number who ask at once, one hears yes.
        """
        ...
