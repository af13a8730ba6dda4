"""One login through msal over our own session: every refusal becomes our error before msal sees it.

msal replays a refused login from its memory for a minute, looks up other clouds after each failure,
and logs answers it cannot read (reference A, section 1.4). None of that happens here, because the
HTTP client below raises for everything that is not a token.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msal

from trailkeeper.errors import Bug, TrailkeeperError, Transient
from trailkeeper.microsoft.certificates.certificate import Certificate
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_text import json_object
from trailkeeper.microsoft.http.session import Session
from trailkeeper.microsoft.identity.faults import token_error
from trailkeeper.model.text import utf8

_PATIENCE = 30.0
"""seconds of silence; a login and its discovery must end within the lock's life"""
_LARGEST_ANSWER = 1 << 20


class _MsalAnswer:
    """What msal reads of a response."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.text = utf8(answer.body).decode("utf-8", "replace")
        self.headers: dict[str, str] = {}

    def raise_for_status(self) -> None:
        """Nothing: only successes come this far."""


class MsalHttp:
    """The `http_client` that msal asks for. Raises `TrailkeeperError` for all but a success."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.token_endpoint = ""
        """as the tenant's discovery document names it; the assertion's audience"""

    def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _MsalAnswer:
        query = f"?{urlencode(params)}" if params else ""
        answer = self._sent("GET", url + query, headers, None)
        endpoint = json_object(answer.body).get("token_endpoint")
        if not isinstance(endpoint, str) or not self._session.host_allowed(endpoint):
            raise _unreadable("the login's discovery names no token endpoint of this cloud")
        self.token_endpoint = endpoint
        return _MsalAnswer(answer)

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        **_: object,
    ) -> _MsalAnswer:
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        answer = self._sent("POST", url, sent, urlencode(data or {}).encode("ascii"))
        _check_token(json_object(answer.body))
        return _MsalAnswer(answer)

    def close(self) -> None:
        """Nothing: the session belongs to the process."""

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> Answer:
        answer = self._session.request(
            method,
            url,
            headers=headers,
            body=body,
            max_bytes=_LARGEST_ANSWER,
            read_timeout=_PATIENCE,
        )
        if answer.status != 200:
            raise token_error(answer.body, answer.status, answer.retry_after)
        return answer


def _check_token(fields: Mapping[str, object]) -> None:
    token = fields.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise _unreadable("the answer to the login holds no token")
    for name in ("expires_in", "ext_expires_in"):
        seconds = fields.get(name, 0)
        if not _is_seconds(seconds):
            raise _unreadable(f"the answer to the login holds no readable {name}")


def _is_seconds(value: object) -> bool:
    """A number, or digits as the older endpoint sends; about a century at most."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 10
    return type(value) is int and abs(value) < 10**9


def _unreadable(summary: str) -> Transient:
    return Transient(summary, "It is asked again; check any proxy on the way if it stays so.")


class Login:
    """One tenant's app with one certificate; not for several threads at a time."""

    def __init__(
        self,
        session: Session,
        authority: str,
        client_id: str,
        certificate: Certificate,
        now: Callable[[], datetime],
    ) -> None:
        """`authority` is `{login host}/{tenant id}`. Sends nothing yet, as msal's would."""
        self._session = session
        self._authority = authority
        self._client_id = client_id
        self._certificate = certificate
        self._now = now
        self._app: Any = None
        _silence_msal()

    def ask(self, scope: str) -> dict[str, Any]:
        """Log in; msal's cache entry of the new token (`secret`, `expires_on`, `target` …).

        Raises `NeedsPerson`, `Throttled`, `Transient`, `Bug` by the table of `entra_faults`.
        """
        try:
            app = self._built()
            app.acquire_token_for_client([scope])
            entries = json.loads(app.token_cache.serialize()).get("AccessToken", {})
            app.token_cache.deserialize(None)  # tokens are kept in one place only
        except TrailkeeperError as error:
            self._app = None
            # The frames below hold the assertion: nobody who prints their variables shall see it.
            raise error.with_traceback(None) from None
        except Exception as error:  # whatever msal trips over may quote the assertion: say its kind
            self._app = None
            raise Bug(
                f"the login library failed with {type(error).__name__}",
                "Report this; the tenant's login is tried again meanwhile.",
            ) from None
        return _newest(entries)

    def _built(self) -> Any:
        if self._app is None:
            http = MsalHttp(self._session)
            self._app = msal.ConfidentialClientApplication(
                self._client_id,
                authority=self._authority,
                client_credential=self._certificate.credential(
                    self._client_id, lambda: http.token_endpoint, self._now
                ),
                http_client=http,
                token_cache=msal.SerializableTokenCache(),
                instance_discovery=False,
                azure_region=False,
            )
        return self._app


def _newest(entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not entries:
        raise Bug("the login library kept no token", "Report this.")
    return max(entries.values(), key=lambda entry: int(entry["cached_at"]))


def _silence_msal() -> None:
    """msal's debug lines hold parts of requests and answers; its warnings do not concern us."""
    logging.getLogger("msal").setLevel(logging.ERROR)
