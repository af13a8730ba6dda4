"""A caller of the Management Activity API who knows only the reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.sandbox.callers import Caller

PUBLISHER = "11111111-2222-4333-8444-555555555555"
TYPES = (
    "Audit.AzureActiveDirectory",
    "Audit.Exchange",
    "Audit.SharePoint",
    "Audit.General",
    "DLP.All",
)


class Reader:
    """One app reading one tenant's feed."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.control, self.name = caller, caller.box.control, caller.name
        self.tenant_id = caller.tenant["tenant_id"]
        self.root = f"{caller.box['management']}/api/v1.0/{self.tenant_id}/activity/feed"
        self.publisher = PUBLISHER
        self._token = ""

    @property
    def token(self) -> str:
        if not self._token:
            answer = self.caller.ask_token(scope=f"{self.caller.box['management']}/.default")
            self._token = answer["access_token"]
        return self._token

    def call(self, method: str, url: str, **rest: Any) -> requests.Response:
        full = url if url.startswith("https:") else f"{self.root}/{url}"
        if self.publisher and "PublisherIdentifier" not in full:
            full += f"{'&' if '?' in full else '?'}PublisherIdentifier={self.publisher}"
        headers = {"Authorization": f"Bearer {self.token}", **rest.pop("headers", {})}
        return self.caller.session.request(method, full, headers=headers, **rest)

    def start(self, *types: str) -> None:
        for each in types or TYPES:
            answer = self.call("POST", f"subscriptions/start?contentType={each}")
            assert answer.status_code == 200, answer.text

    def content(
        self, content_type: str, start: datetime | None = None, end: datetime | None = None
    ) -> requests.Response:
        """The first page of a listing."""
        url = f"subscriptions/content?contentType={content_type}"
        if start and end:
            url += f"&startTime={start:%Y-%m-%dT%H:%M:%S}&endTime={end:%Y-%m-%dT%H:%M:%S}"
        return self.call("GET", url)

    def entries(self, content_type: str, days: int = 1) -> list[dict[str, Any]]:
        """Everything listed for so many days up to now, every page of it."""
        found: list[dict[str, Any]] = []
        now = self.now()
        for day in range(days, 0, -1):
            start = now - timedelta(days=day) + timedelta(seconds=5)
            answer = self.content(content_type, start, start + timedelta(days=1))
            while True:
                assert answer.status_code == 200, answer.text
                found += answer.json()
                link = next_link(answer)
                if not link:
                    break
                answer = self.call("GET", link)
        return found

    def records(self, content_type: str, days: int = 1) -> list[dict[str, Any]]:
        """Every record of every listed blob."""
        found = []
        for each in self.entries(content_type, days):
            answer = self.call("GET", each["contentUri"])
            assert answer.status_code == 200, answer.text
            found += answer.json()
        return found

    def now(self) -> datetime:
        """The sandbox's time, whole seconds."""
        shown = datetime.fromisoformat(self.control.set_clock()["now"])
        return shown.astimezone(UTC).replace(microsecond=0)

    def ago(self, **words: float) -> str:
        return (self.now() - timedelta(**words)).isoformat()


def next_link(answer: requests.Response) -> str:
    """The header in any spelling."""
    return answer.headers.get("NextPageUri", "") or answer.headers.get("NextPageUrl", "")


def code(answer: requests.Response) -> str:
    return str(answer.json()["error"]["code"])
