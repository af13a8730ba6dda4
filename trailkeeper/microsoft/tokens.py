"""Tokens for every tenant and audience: from the shared cache while fresh, else by one login.

However many workers want a tenant's token at once, one of them asks for it and the others read it
from the cache. `docs/decisions/identity.md` argues the choices.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import structlog

from trailkeeper.errors import ConfigurationError, TrailkeeperError
from trailkeeper.microsoft.certificate import UNUSABLE, Certificate
from trailkeeper.microsoft.certificates import Certificates, Slot
from trailkeeper.microsoft.faults import RELOAD_CERTIFICATE, code_number
from trailkeeper.microsoft.login import Login
from trailkeeper.microsoft.sessions import Sessions
from trailkeeper.microsoft.token_cache import StoreDown, TokenCache, TokenStore, locked
from trailkeeper.ports import Clock
from trailkeeper.settings import Settings, TenantSettings

_log = structlog.get_logger(__name__)

_MARGIN_SECONDS = 300.0
# The same certificate may do better a second time: its upload was still spreading, or the
# assertion's times were off. For the other codes only another certificate is worth a request.
_WORTH_REPEATING = frozenset({700024, 700027, 7000274})

Entries = dict[str, dict[str, Any]]
"""msal's AccessToken entries by their key: the form it serialises"""


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
        self._logins: dict[str, tuple[Certificate, Login]] = {}
        self._working: dict[str, Slot] = {}
        self._handed: dict[tuple[str, str], str] = {}

    def get(self, tenant: TenantSettings, audience: str) -> str:
        """A token good for five minutes or more (half its life if that is shorter).

        `audience` is the resource's root, for example the cloud's `exchange` URL. Raises
        `NeedsPerson`, `ConfigurationError`, `Throttled`, `Transient`, `Bug`.
        """
        token = self._cache.using(lambda store: self._from(store, tenant, _scope(audience)))
        self._handed[tenant.name, _scope(audience)] = token
        return token

    def drop(self, tenant: TenantSettings, audience: str) -> None:
        """Forget the token that `get` gave here last: once after a 401 or 403.

        If another worker has replaced it meanwhile, the new one stays.
        """
        scope = _scope(audience)
        handed = self._handed.pop((tenant.name, scope), None)
        self._cache.using(lambda store: self._forget(store, tenant, scope, handed))
        _log.info("token_dropped", tenant=tenant.name, audience=audience)

    def drop_all(self, tenant: TenantSettings) -> None:
        """Forget every token of the tenant: after any grant changed (roles live in the token)."""
        self._cache.using(lambda store: self._forget(store, tenant, None, None))
        _log.info("tokens_dropped", tenant=tenant.name)

    def working_certificate(self, tenant: TenantSettings) -> Slot | None:
        """Which of two certificates logged in last in this process; None before the first."""
        return self._working.get(tenant.name)

    def __repr__(self) -> str:
        return "Tokens(…)"

    def _from(self, store: TokenStore, tenant: TenantSettings, scope: str) -> str:
        owner = self._owner(tenant)

        def cached() -> str:
            return self._fresh(_entries(store.read(owner)[0]), tenant, scope)

        while not (token := cached()):
            with locked(store, owner, self._clock.sleep, lambda: bool(cached())) as ours:
                if not ours or (token := cached()):
                    continue
                entry = self._log_in(tenant, scope)
                self._keep(store, owner, entry)
                return str(entry["secret"])
        return token

    def _fresh(self, entries: Entries, tenant: TenantSettings, scope: str) -> str:
        """The token that is still good for long enough, else empty."""
        now = self._clock.now().timestamp()
        for entry in entries.values():
            if _is_for(entry, str(tenant.client_id), scope) and _good_until(entry) > now:
                return str(entry["secret"])
        return ""

    def _keep(self, store: TokenStore, owner: str, entry: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        for _ in range(5):  # somebody wrote between our read and write: read again
            try:
                text, stamp = store.read(owner)
                entries = _with(_entries(text), entry, now)
                seconds = max(float(each["expires_on"]) for each in entries.values()) - now
                if store.swap(owner, stamp, _text(entries), max(seconds, 1.0)):
                    return
            except StoreDown as error:  # the token itself is good: only others will not see it
                _log.warning("token_not_shared", owner=owner, reason=error.summary)
                return

    def _forget(
        self, store: TokenStore, tenant: TenantSettings, scope: str | None, handed: str | None
    ) -> None:
        owner = self._owner(tenant)
        for _ in range(5):
            text, stamp = store.read(owner)
            entries = _entries(text)
            kept = {
                key: entry
                for key, entry in entries.items()
                if scope is not None and not _is_dropped(entry, scope, handed)
            }
            if len(kept) == len(entries) or store.swap(
                owner, stamp, _text(kept) if kept else "", _MARGIN_SECONDS * 12
            ):
                return

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
                self._worked(tenant, slot, entry)
                return entry
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

    def _worked(self, tenant: TenantSettings, slot: Slot, entry: dict[str, Any]) -> None:
        self._working[tenant.name] = slot
        _log.info(
            "token_acquired",
            tenant=tenant.name,
            scope=entry["target"],
            slot=slot.value,
            seconds=int(entry["expires_on"]) - int(entry["cached_at"]),
        )

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

    def _owner(self, tenant: TenantSettings) -> str:
        return f"{tenant.cloud}:{tenant.tenant_id}:{tenant.client_id}"


def _another_may_do(error: TrailkeeperError) -> bool:
    """Whether the trouble is this certificate's own, so that a second one may work."""
    if isinstance(error, ConfigurationError) or error.code == UNUSABLE:
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


def _entries(text: str) -> Entries:
    """The readable entries of msal's serialised cache; a stranger's content counts as empty."""
    try:
        found = json.loads(text).get("AccessToken", {}) if text else {}
        return {key: entry for key, entry in found.items() if _is_whole(entry)}
    except (ValueError, AttributeError):
        return {}


def _is_whole(entry: object) -> bool:
    names = ("secret", "client_id", "target", "cached_at", "expires_on")
    return isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in names)


def _with(entries: Entries, entry: dict[str, Any], now: float) -> Entries:
    """The entries still alive, and `entry` in the place of an older one for the same scope."""
    kept = {
        key: old
        for key, old in entries.items()
        if float(old["expires_on"]) > now and old["target"] != entry["target"]
    }
    return {**kept, f"{entry['client_id']}-{entry['target']}": entry}


def _text(entries: Entries) -> str:
    return json.dumps({"AccessToken": entries})


def _is_for(entry: dict[str, Any], client_id: str, scope: str) -> bool:
    return bool(entry["client_id"] == client_id and entry["target"] == scope)


def _is_dropped(entry: dict[str, Any], scope: str, handed: str | None) -> bool:
    return entry["target"] == scope and handed in (None, entry["secret"])


def _good_until(entry: dict[str, Any]) -> float:
    """Expiry less five minutes, or less half the token's life if that is shorter."""
    begins, ends = float(entry["cached_at"]), float(entry["expires_on"])
    return ends - min(_MARGIN_SECONDS, (ends - begins) / 2)
