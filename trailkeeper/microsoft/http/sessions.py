"""One `Session` per cloud in this process, made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trailkeeper.microsoft.http.hosts import allowed_hosts
from trailkeeper.microsoft.http.session import Asked, Session
from trailkeeper.settings import Settings

CONNECTIONS = 32
"""kept alive per host: as many as the feed's threads, which ask one host for one blob each"""


class Sessions:
    def __init__(
        self, settings: Settings, on_request: Callable[[Asked], None] | None = None
    ) -> None:
        self._settings = settings
        self._on_request = on_request
        self._sessions: dict[str, Session] = {}
        self._guard = threading.Lock()

    def of(self, cloud: str) -> Session:
        """The cloud's session. Raises `ConfigurationError` when its ca_bundle cannot be read."""
        with self._guard:
            if cloud not in self._sessions:
                chosen = self._settings.clouds[cloud]
                self._sessions[cloud] = Session(
                    allowed_hosts=allowed_hosts(chosen),
                    ca_bundle=chosen.ca_bundle,
                    connections=CONNECTIONS,
                    on_request=self._on_request,
                )
            return self._sessions[cloud]

    def close(self) -> None:
        with self._guard:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()
