"""Each tenant's certificate as of now: read when first needed, read again when its source changed.

A tenant has one certificate, or two during a roll-over (`certificate`, `next_certificate`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import structlog

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.certificates.certificate import Certificate, check_validity
from trailkeeper.microsoft.certificates.files import from_pkcs12, read_file
from trailkeeper.microsoft.certificates.store import find, normal_thumbprint, stamp_of
from trailkeeper.ports.clock import Clock
from trailkeeper.settings import CertificateSettings, Settings, TenantSettings

_log = structlog.get_logger(__name__)


class Slot(StrEnum):
    """Which of a tenant's two certificates."""

    CERTIFICATE = "certificate"
    NEXT = "next_certificate"


class CertificateSource(Protocol):
    """Where one certificate comes from."""

    def stamp(self) -> object:
        """Equal while the source has not changed; cheap enough to ask before every login."""
        ...

    def load(self, now: datetime) -> Certificate:
        """Raises `NeedsPerson`, `ConfigurationError`, and for a vault `Transient`."""
        ...


class PfxSource:
    """A PFX file and the reference to its password, resolved anew at each reading."""

    def __init__(self, chosen: CertificateSettings, settings: Settings) -> None:
        assert chosen.pfx is not None  # noqa: S101 - `source_of` has chosen by it
        self._path = settings.folder / chosen.pfx.expanduser()
        self._chosen = chosen
        self._settings = settings

    def stamp(self) -> object:
        return stamp_of(self._path), _password_stamp(self._chosen, self._settings)

    def load(self, now: datetime) -> Certificate:
        content = read_file(self._path)
        password = _password(self._chosen, self._settings)
        return from_pkcs12(content, password, str(self._path), now)


class StoreSource:
    """A thumbprint in the certificate store."""

    def __init__(self, chosen: CertificateSettings, settings: Settings) -> None:
        assert chosen.thumbprint is not None  # noqa: S101 - `source_of` has chosen by it
        self._thumbprint = normal_thumbprint(chosen.thumbprint)
        self._folder = settings.service.certificate_store or settings.folder / "certificates"
        self._chosen = chosen
        self._settings = settings

    def stamp(self) -> object:
        return stamp_of(self._folder), _password_stamp(self._chosen, self._settings)

    def load(self, now: datetime) -> Certificate:
        password = _password(self._chosen, self._settings)
        return find(self._folder, self._thumbprint, password, now)


def _password(chosen: CertificateSettings, settings: Settings) -> str | None:
    return settings.secret(chosen.password) if chosen.password else None


def _password_stamp(chosen: CertificateSettings, settings: Settings) -> object:
    kind, _, rest = (chosen.password or "").partition(":")
    return stamp_of(settings.folder / rest) if kind == "file" else None


def source_of(
    chosen: CertificateSettings, settings: Settings, tenant: TenantSettings | None = None
) -> CertificateSource:
    """The source that the configuration names. `tenant` gives the cloud of a vault."""
    if chosen.pfx is not None:
        return PfxSource(chosen, settings)
    if chosen.thumbprint is not None:
        return StoreSource(chosen, settings)
    from trailkeeper.microsoft.certificates.key_vault import (
        VaultSource,  # the Azure SDK only where it is used
    )

    cloud = settings.cloud(tenant) if tenant else settings.clouds["public"]
    return VaultSource(chosen, cloud)


def load_certificate(
    chosen: CertificateSettings,
    settings: Settings,
    now: datetime,
    tenant: TenantSettings | None = None,
) -> Certificate:
    """Read and check one certificate.

    Raises `ConfigurationError` (exit code 2) when a file or secret that the configuration names is
    not there, `NeedsPerson` (exit code 20) when what is there cannot be used: wrong or missing
    password, no key, foreign key, EC or short key, not yet valid, expired, no PKCS#12.
    """
    return _loaded(source_of(chosen, settings, tenant), now)


def _loaded(source: CertificateSource, now: datetime) -> Certificate:
    try:
        return source.load(now)
    except TrailkeeperError as error:
        # The frames below hold the password: nobody who prints their variables shall see it.
        raise error.with_traceback(None) from None


@dataclass(slots=True)
class _Held:
    source: CertificateSource
    certificate: Certificate
    stamp: object


class Certificates:
    """The certificates of all tenants in this process."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        source: Callable[
            [CertificateSettings, Settings, TenantSettings], CertificateSource
        ] = source_of,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._source = source
        self._held: dict[tuple[str, Slot], _Held] = {}
        self._same: dict[CertificateSettings, _Held] = {}
        """by file: an app of many tenants has one certificate, which is opened once"""
        self._guard = threading.Lock()

    def slots(self, tenant: TenantSettings) -> list[Slot]:
        """The configured ones, the present one first."""
        return [Slot.CERTIFICATE] + ([Slot.NEXT] if tenant.next_certificate else [])

    def current(self, tenant: TenantSettings, slot: Slot = Slot.CERTIFICATE) -> Certificate:
        """The certificate to use now, read again if its source changed; see `load_certificate`.

        A changed source that cannot be read (half written, say) leaves the one before in use as
        long as that is valid.
        """
        now = self._clock.now()
        held = self._held.get((tenant.name, slot)) or self._from_neighbour(tenant, slot)
        if held is None:
            return self.reread(tenant, slot)
        try:
            stamp = held.source.stamp()
            if stamp == held.stamp:
                check_validity(held.certificate.leaf, held.certificate.source, now)
                return held.certificate
            return self._load(tenant, slot, held.source)
        except TrailkeeperError as error:
            check_validity(held.certificate.leaf, held.certificate.source, now)
            _log.warning("certificate_unreadable", tenant=tenant.name, reason=str(error))
            return held.certificate

    def held(self, tenant: TenantSettings) -> list[Certificate]:
        """Those of the tenant's that are loaded already."""
        found = (self._held.get((tenant.name, slot)) for slot in self.slots(tenant))
        return [held.certificate for held in found if held]

    def reread(self, tenant: TenantSettings, slot: Slot) -> Certificate:
        """Read the source anew, changed or not. Raises as `load_certificate`."""
        chosen = _chosen(tenant, slot)
        return self._load(tenant, slot, self._source(chosen, self._settings, tenant))

    def all(self) -> Iterator[tuple[TenantSettings, Slot]]:
        """Every configured certificate, for listing."""
        for tenant in self._settings.tenants.values():
            for slot in self.slots(tenant):
                yield tenant, slot

    def _from_neighbour(self, tenant: TenantSettings, slot: Slot) -> _Held | None:
        """What another tenant has loaded from the very same file; a vault is asked for each."""
        chosen = _chosen(tenant, slot)
        if chosen.pfx is None:
            return None
        with self._guard:
            held = self._same.get(chosen)
            if held is not None:
                self._held[tenant.name, slot] = held
            return held

    def _load(self, tenant: TenantSettings, slot: Slot, source: CertificateSource) -> Certificate:
        stamp = source.stamp()  # before reading: a change in between is then seen next time
        loaded = _loaded(source, self._clock.now())
        with self._guard:
            before = self._held.get((tenant.name, slot))
            held = self._held[tenant.name, slot] = _Held(source, loaded, stamp)
            self._same[_chosen(tenant, slot)] = held
        if before is None or before.certificate.thumbprint_sha256 != loaded.thumbprint_sha256:
            _log.info(
                "certificate_loaded",
                tenant=tenant.name,
                slot=slot.value,
                thumbprint=loaded.thumbprint_sha1,
                expires_at=loaded.not_after.isoformat(),
            )
        return loaded


def _chosen(tenant: TenantSettings, slot: Slot) -> CertificateSettings:
    chosen = tenant.certificate if slot is Slot.CERTIFICATE else tenant.next_certificate
    assert chosen is not None  # noqa: S101 - `slots` names only what is configured
    return chosen
