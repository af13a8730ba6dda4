"""What every part of the SQL ledger stands on: one engine, and transactions over it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sqlalchemy import Connection, Engine

from trailkeeper.store.engines import reading, writing


class OverEngine:
    """Opens no connection until the first question is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine)

    def _writing(self) -> AbstractContextManager[Connection]:
        return writing(self._engine)

    def close(self) -> None:
        """Close every connection; a later question would open new ones."""
        self._engine.dispose()
