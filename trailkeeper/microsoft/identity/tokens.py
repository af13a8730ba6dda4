"""Tokens for every tenant and audience: from the shared cache while fresh, else by one login.

However many workers want a tenant's token at once, one of them asks for it and the others read it
from the cache. `docs/decisions/identity.md` argues the choices.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from trailkeeper.errors import ConfigurationError, TrailkeeperError
from trailkeeper.microsoft.certificates.certificate import UNUSABLE, Certificate
from trailkeeper.microsoft.certificates.loading import Certificates, Slot
from trailkeeper.microsoft.http.sessions import Sessions
from trailkeeper.microsoft.http.transport_faults import OF_THE_WAY
from trailkeeper.microsoft.identity.audiences import UNKNOWN_RESOURCE, Audiences
from trailkeeper.microsoft.identity.faults import RELOAD_CERTIFICATE, code_number
from trailkeeper.microsoft.identity.login import Login
from trailkeeper.microsoft.identity.token_cache import StoreDown, TokenCache, TokenStore, locked
from trailkeeper.microsoft.identity.token_text import Kept, parsed
from trailkeeper.ports.clock import Clock
from trailkeeper.settings import Settings, TenantSettings

_log = structlog.get_logger(__name__)

# The same certificate may do better at once: the assertion's times were off.
_WORTH_REPEATING = frozenset({700024})
# The same certificate may do better in a while: its upload is still spreading (reference A, 1.3).
_UPLOADED_JUST_NOW = frozenset({700027, 7000274})
_UPLOAD_WAITS = 3
"""times `service.upload_pause`; CIPP waits 3 x 10 s"""


class Tokens:
    """Access tokens by tenant and audience. Threads and processes may share the cache."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        cache: TokenCache,
        certificates: Certificates,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._cache = cache
        self._certificates = certificates
        self._clock = clock
        self._audiences = Audiences(settings)
        self._logins: dict[str, tuple[Certificate, Login]] = {}
        self._settled: set[tuple[str, str]] = set()
        """(app, certificate) that has logged in here, or that was waited for in vain"""
        self._working: dict[str, Slot] = {}
        self._handed: dict[tuple[str, str], str] = {}

    def get(self, tenant: TenantSettings, audience: str) -> str:
        """A token good for five minutes or more (half its life if that is shorter).

        `audience` is the resource's root, for example the cloud's `exchange` URL. Raises
        `NeedsPerson`, `ConfigurationError`, `Throttled`, `Transient`, `Bug`.
        """
        url = audience.rstrip("/")
        token = self._cache.using(lambda store: self._from(store, tenant, url))
        self._handed[tenant.name, _scope(url)] = token
        return token

    def drop(self, tenant: TenantSettings, audience: str) -> None:
        """Forget the token that `get` gave here last: once after a 401 or 403.

        If another worker has replaced it meanwhile, the new one stays.
        """
        scope = _scope(audience)
        handed = self._handed.pop((tenant.name, scope), None)
        owner = self._owner(tenant)
        self._cache.using(
            lambda store: self._change(store, owner, lambda kept: kept.without(scope, handed))
        )
        _log.info("token_dropped", tenant=tenant.name, audience=audience)

    def drop_all(self, tenant: TenantSettings) -> None:
        """Forget every token of the tenant: after any grant changed (roles live in the token)."""
        owner = self._owner(tenant)
        self._cache.using(lambda store: self._change(store, owner, lambda _: Kept()))
        _log.info("tokens_dropped", tenant=tenant.name)

    def working_certificate(self, tenant: TenantSettings) -> Slot | None:
        """Which of two certificates logged in last in this process; None before the first."""
        return self._working.get(tenant.name)

    def thumbprint_in_use(self, tenant: TenantSettings) -> str:
        """SHA-1 of the certificate that the tokens kept now were got with, by any worker.

        Empty when none is kept. For telling people, never for a decision.
        """
        return self._cache.using(lambda store: parsed(store.read(self._owner(tenant))[0])).logged_in

    def __repr__(self) -> str:
        return "Tokens(…)"

    def _from(self, store: TokenStore, tenant: TenantSettings, url: str) -> str:
        owner, began, scope = self._owner(tenant), self._clock.now().timestamp(), _scope(url)

        def cached() -> str:
            kept = parsed(store.read(owner)[0])
            if refusal := kept.refusal(scope, since=began):
                raise refusal  # somebody has asked while we waited: the answer holds for us too
            return kept.fresh(scope, self._clock.now().timestamp())

        while not (token := cached()):
            with locked(store, owner, self._clock.sleep, lambda: bool(cached())) as ours:
                if ours and not (token := cached()):
                    return self._renewed(store, tenant, url)
        return token

    def _renewed(self, store: TokenStore, tenant: TenantSettings, url: str) -> str:
        """Log in and keep the outcome, good or bad, for those who wait. Under the lock."""
        owner, scope = self._owner(tenant), _scope(url)
        try:
            entry = {**self._log_in_by_name(tenant, url), "target": scope}
        except TrailkeeperError as error:
            refusal, now = error, self._clock.now().timestamp()
            self._keep(store, owner, lambda kept: kept.with_refusal(scope, refusal, now))
            raise
        self._keep(store, owner, lambda kept: kept.with_entry(entry))
        return str(entry["secret"])

    def _keep(self, store: TokenStore, owner: str, change: Callable[[Kept], Kept]) -> None:
        """Write what `change` makes of the newest text; a store that is down is only logged."""
        try:
            self._change(store, owner, change)
        except StoreDown as error:  # the outcome itself is good: only others will not see it
            _log.warning("token_not_shared", owner=owner, reason=error.summary)

    def _change(self, store: TokenStore, owner: str, change: Callable[[Kept], Kept]) -> None:
        for _ in range(5):  # somebody wrote between our read and write: read again
            text, stamp = store.read(owner)
            now = self._clock.now().timestamp()
            before = parsed(text)
            after = change(before).alive(now)
            if after == before or store.swap(owner, stamp, after.text(), after.seconds(now)):
                return
        _log.warning("token_not_shared", owner=owner, reason="others kept writing")

    def _log_in_by_name(self, tenant: TenantSettings, url: str) -> dict[str, Any]:
        """For the service behind `url`, by the name that Entra knows it by."""
        try:
            return self._log_in_patiently(tenant, _scope(self._audiences.of(tenant, url)))
        except TrailkeeperError as error:
            refusal, other = error, self._audiences.other(tenant, url, error)
        if not other:
            raise refusal
        try:
            entry = self._log_in(tenant, _scope(other))
        except TrailkeeperError as error:
            raise (refusal if code_number(error) in UNKNOWN_RESOURCE else error) from None
        self._audiences.remember(tenant, url, other)
        return entry

    def _log_in_patiently(self, tenant: TenantSettings, scope: str) -> dict[str, Any]:
        """Asks again, a few times, while a certificate may have been uploaded a moment ago."""
        for _ in range(_UPLOAD_WAITS):
            try:
                return self._log_in(tenant, scope)
            except TrailkeeperError as error:
                if not self._may_be_spreading(tenant, error):
                    raise
            pause = self._settings.service.upload_pause.total_seconds()
            _log.info("login_postponed", tenant=tenant.name, seconds=pause)
            self._clock.sleep(pause)
        try:
            return self._log_in(tenant, scope)
        finally:
            self._settled |= {self._pair(tenant, c) for c in self._certificates.held(tenant)}

    def _may_be_spreading(self, tenant: TenantSettings, error: TrailkeeperError) -> bool:
        """Entra does not know a certificate that has not logged in here and was not waited for."""
        pairs = {self._pair(tenant, c) for c in self._certificates.held(tenant)}
        return code_number(error) in _UPLOADED_JUST_NOW and not pairs <= self._settled

    def _log_in(self, tenant: TenantSettings, scope: str) -> dict[str, Any]:
        """With the certificate that worked last, then with the other one; the first refusal counts.

        Raises the error of the first certificate when none works.
        """
        first: TrailkeeperError | None = None
        for slot in self._in_order(tenant):
            try:
                entry = self._log_in_with(tenant, scope, slot)
            except TrailkeeperError as error:
                if not _another_may_do(error):
                    raise
                _log.warning(
                    "login_refused", tenant=tenant.name, slot=slot.value, reason=str(error)
                )
                first = first or error
            else:
                return self._worked(tenant, slot, entry)
        assert first is not None  # noqa: S101 - there is always at least one slot
        raise first

    def _log_in_with(self, tenant: TenantSettings, scope: str, slot: Slot) -> dict[str, Any]:
        """With one certificate; its source is read once more when Entra does not accept it."""
        certificate = self._certificates.current(tenant, slot)
        try:
            return self._login(tenant, certificate).ask(scope)
        except TrailkeeperError as error:
            if code_number(error) not in RELOAD_CERTIFICATE:
                raise
            again = self._certificates.reread(tenant, slot)
            same = again.thumbprint_sha256 == certificate.thumbprint_sha256
            if same and code_number(error) not in _WORTH_REPEATING:
                raise
        return self._login(tenant, again).ask(scope)

    def _in_order(self, tenant: TenantSettings) -> list[Slot]:
        worked = self._working.get(tenant.name)
        return sorted(self._certificates.slots(tenant), key=lambda slot: slot is not worked)

    def _worked(self, tenant: TenantSettings, slot: Slot, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry, with the certificate that it was got with."""
        used, _ = self._logins[tenant.name]
        self._working[tenant.name] = slot
        self._settled.add(self._pair(tenant, used))
        _log.info(
            "token_acquired",
            tenant=tenant.name,
            scope=entry["target"],
            slot=slot.value,
            thumbprint=used.thumbprint_sha1,
            seconds=int(entry["expires_on"]) - int(entry["cached_at"]),
        )
        return {**entry, "certificate": used.thumbprint_sha1}

    def _login(self, tenant: TenantSettings, certificate: Certificate) -> Login:
        known, login = self._logins.get(tenant.name, (None, None))
        if login is None or known is not certificate:
            login = Login(
                self._sessions.of(tenant.cloud),
                f"{self._settings.cloud(tenant).login}/{tenant.tenant_id}",
                str(tenant.client_id),
                certificate,
                self._clock.now,
            )
            self._logins[tenant.name] = (certificate, login)
        return login

    def _pair(self, tenant: TenantSettings, certificate: Certificate) -> tuple[str, str]:
        return str(tenant.client_id), certificate.thumbprint_sha256

    def _owner(self, tenant: TenantSettings) -> str:
        return f"{tenant.cloud}:{tenant.tenant_id}:{tenant.client_id}"


def _another_may_do(error: TrailkeeperError) -> bool:
    """Whether the trouble is this certificate's own, so that a second one may work."""
    if isinstance(error, ConfigurationError):
        return error.code not in OF_THE_WAY
    if error.code == UNUSABLE:
        return True
    return code_number(error) in RELOAD_CERTIFICATE


def claims(token: str) -> Mapping[str, object]:
    """What an access token says, unverified: for diagnosis, never for a decision, never logged.

    Empty when the token is opaque: Entra does not promise a format.
    """
    parts = token.split(".")
    if len(parts) != 3 or len(parts[1]) > 1 << 16:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _scope(audience: str) -> str:
    return f"{audience.rstrip('/')}/.default"
