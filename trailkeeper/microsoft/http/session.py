"""One HTTP session for all of Microsoft: bounded, host-checked, never repeating a request.

What `requests` does by itself and we do not want: undoing Content-Encoding (it loses the status of
mislabelled errors), turning a redirected POST into a GET, reading a redirect's body without bound,
letting REQUESTS_CA_BUNDLE win over the configured bundle, taking credentials from ~/.netrc.
Measured in reference A, sections 3.1 and 3.5; the choices are argued in docs/decisions/http.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import requests
from requests.structures import CaseInsensitiveDict

from trailkeeper.errors import Transient
from trailkeeper.microsoft.http.adapter import BoundAdapter
from trailkeeper.microsoft.http.answer import Answer, inflated, read_bounded, request_id
from trailkeeper.microsoft.http.hosts import host_allowed, usual_port
from trailkeeper.microsoft.http.transport_faults import (
    LOWER_ERRORS,
    at_host,
    broke_bounds,
    foreign_host,
    host_of,
    translated,
)
from trailkeeper.microsoft.http.trust import trusting
from trailkeeper.process.deadline import Bound, bounded

DEFAULT_MAX_BYTES = 64 << 20
_MAX_HOPS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FRAMES = 2
"""bytes received per byte of body, at most: sizes of chunks, their extensions and trailers"""
_SMALL = 1 << 20
"""bytes that any answer may have around its body"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was made, for counting: neither path nor query, they may hold names."""

    method: str
    host: str
    status: int
    """0: no answer came"""
    seconds: float
    received: int
    """bytes of body after inflating"""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    token: str | None = field(repr=False)
    max_bytes: int
    read_timeout: float


class Session:
    """The connection pool of one cloud in one process; threads may share it.

    `connect_timeout` of seconds finds a dead host quickly; `read_timeout` of minutes is what a slow
    audit search needs in silence; `total_timeout` bounds one answer that drips, and must stay below
    the lease of a segment. All in seconds.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Sequence[str],
        ca_bundle: Path | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 300.0,
        total_timeout: float = 600.0,
        connections: int = 16,
        on_request: Callable[[Asked], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises `ConfigurationError` when `ca_bundle` is not a file of certificates."""
        self._allowed = tuple(allowed_hosts)
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._total_timeout = total_timeout
        self._on_request = on_request
        self._now = now
        self._adapter = BoundAdapter(trusting(ca_bundle), connections)
        self._ways: dict[str, Mapping[str, Any]] = {}
        self._count = 0
        self._counting = threading.Lock()
        self._plain = _requests_session(self._adapter)
        self._plain.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    @property
    def request_count(self) -> int:
        """How many requests this session has sent, redirects included."""
        return self._count

    def host_allowed(self, url: str) -> bool:
        """Whether a request to `url` would be sent at all: checked again for every request."""
        return host_allowed(url, self._allowed)

    def connection(self) -> Connection:
        """A conversation with its own cookies and connection-id, for one pull."""
        return Connection(self, _requests_session(self._adapter))

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        read_timeout: float | None = None,
    ) -> Answer:
        """Send once, without cookies, and return whatever status comes back.

        A redirect is followed with the same method, body and token, at most three times, and only
        to an allowed host. Raises `Transient` for everything that broke on the way,
        `AnswerTooLarge`, and `ConfigurationError` for a server certificate nobody vouches for.
        """
        patience = read_timeout or self._read_timeout
        request = _Request(method, url, headers or {}, body, token, max_bytes, patience)
        return self._ask(self._plain, request)

    def close(self) -> None:
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, http: requests.Session, request: _Request) -> Answer:
        if not self.host_allowed(request.url):
            raise foreign_host(request.url, "a link led")
        ends_at = time.monotonic() + self._total_timeout
        for _ in range(1 + _MAX_HOPS):
            answer = self._send(http, request, ends_at)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            target = usual_port(_joined(request.url, answer.headers["Location"]), self._allowed)
            if not self.host_allowed(target):
                raise foreign_host(target, "a redirect led")
            request = replace(request, url=target)
        raise Transient(f"{host_of(request.url)} redirects in a circle", "It is asked again later.")

    def _send(self, http: requests.Session, request: _Request, ends_at: float) -> Answer:
        started = time.monotonic()
        timeouts = (self._connect_timeout, request.read_timeout)
        bound = Bound(self._total_timeout, _FRAMES * request.max_bytes + _SMALL, ends_at)
        status, received = 0, 0
        try:
            with (
                bounded(bound),
                http.send(
                    _prepared(http, request),
                    timeout=timeouts,
                    allow_redirects=False,
                    **self._way_to(request.url),
                ) as response,
            ):
                status = response.status_code
                answer = self._read(response, request)
                received = len(answer.body)
                return answer
        except Transient as error:
            raise at_host(error, request.url) from None
        except LOWER_ERRORS as error:
            if bound.breach:
                raise broke_bounds(bound.breach, host_of(request.url)) from None
            proxy = self._way_to(request.url).get("proxies", {}).get("https", "")
            raise translated(error, request.url, timeouts, proxy) from None
        finally:
            seconds = time.monotonic() - started
            host = host_of(request.url)
            self._counted(Asked(request.method, host, status, seconds, received))

    def _way_to(self, url: str) -> Mapping[str, Any]:
        """The proxy, as `requests` finds it in the environment: once a host.

        `requests.Session.request` looks for them at each request: 80 of its 220 µs.
        """
        host = urlsplit(url).netloc
        found = self._ways.get(host)
        if found is None:
            settings = self._plain.merge_environment_settings(url, {}, True, True, None)
            found = self._ways[host] = settings
        return found

    def _read(self, response: requests.Response, request: _Request) -> Answer:
        headers: Mapping[str, str] = CaseInsensitiveDict(response.headers)
        limit = request.max_bytes
        body = read_bounded(response.raw, headers.get("Content-Length", ""), limit)
        try:
            body = inflated(body, limit)
        except Transient:
            if response.status_code < 400:  # an error's status says more than its broken body
                raise
        identity = request_id(headers)
        return Answer(response.status_code, headers, body, identity, request.url, self._now())

    def _counted(self, asked: Asked) -> None:
        with self._counting:
            self._count += 1
        if self._on_request:
            self._on_request(asked)


class Connection:
    """A `Session` with a cookie jar and a connection-id of its own: Exchange pins both to a server.

    One per pull; not shared between threads (reference A, section 3.1).
    """

    def __init__(self, session: Session, http: requests.Session) -> None:
        self._session = session
        self._http = http
        self.connection_id = str(uuid4())
        self.request_count = 0
        """requests sent here, a chain of redirects counted once"""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Answer:
        """As `Session.request`, with this connection's cookies."""
        self.request_count += 1
        headers = {"connection-id": self.connection_id, **(headers or {})}
        patience = self._session._read_timeout
        request = _Request(method, url, headers, body, token, max_bytes, patience)
        return self._session._ask(self._http, request)


def _prepared(http: requests.Session, request: _Request) -> requests.PreparedRequest:
    """As `requests.Session.prepare_request` does it, but for ~/.netrc; 25 µs instead of 75."""
    headers = {**http.headers, "Accept-Encoding": "gzip", **request.headers}
    if request.token:
        headers["Authorization"] = f"Bearer {request.token}"
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    prepared.prepare_url(request.url, None)
    prepared.prepare_headers(headers)
    prepared.prepare_cookies(http.cookies)
    prepared.prepare_body(request.body, None)
    return prepared


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, location)
    except ValueError:  # unreadable, so left as it is: the host check refuses it
        return location


class _NoLookAhead(requests.Session):
    """Sees no redirects. Told not to follow one, `requests` reads its body all the same, inflated
    and without bound, and reads where it leads: an unreadable address is a ValueError."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _requests_session(adapter: BoundAdapter) -> requests.Session:
    http = _NoLookAhead()
    http.adapters.clear()
    http.mount("https://", adapter)
    http.headers["User-Agent"] = "trailkeeper"
    return http
