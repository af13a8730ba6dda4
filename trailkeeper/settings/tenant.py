"""One tenant's file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, PlainValidator, model_validator

from trailkeeper.model.identity import Identity
from trailkeeper.model.stream import Source
from trailkeeper.settings.fields import (
    HttpsUrl,
    Instant,
    MailAddress,
    SecretReference,
    Section,
    UserName,
    ZoneName,
)


class KeyVaultReference(Section):
    vault: HttpsUrl
    name: str
    sign_remotely: bool = False
    """True: the key never leaves the vault; every assertion is signed there"""
    version: str = ""
    """empty: the newest"""


class CertificateSettings(Section):
    pfx: Path | None = None
    password: SecretReference | None = None
    thumbprint: str | None = None
    key_vault: KeyVaultReference | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        ways = [self.pfx, self.thumbprint, self.key_vault]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "name the certificate in exactly one way: pfx, thumbprint or key_vault"
            )
        return self


class ReportSettings(Section):
    to: tuple[MailAddress, ...] = ()
    timezone: ZoneName = "UTC"
    name: str = ""
    """how people know this customer; empty: the file's name"""
    language: Literal["en", "de"] = "en"
    emergency_accounts: tuple[UserName, ...] = ()
    """accounts kept for emergencies: the report shows each use of them"""


def _some_once(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    if not sources or len(set(sources)) < len(sources):
        raise ValueError('name at least one source, each once, for example ["exchange"]')
    return sources


def _source(value: object) -> Source:
    return Source(str(value))


class TenantSettings(Section):
    name: str
    tenant_id: UUID
    domain: str
    cloud: str = "public"
    client_id: UUID
    sources: Annotated[
        tuple[Annotated[Source, PlainValidator(_source)], ...], AfterValidator(_some_once)
    ] = (Source.EXCHANGE,)
    since: Instant | None = None
    """how far back to begin; None: one month before the stream is planned first"""
    dlp: bool = False
    """read DLP.All too: such records can hold the matched secret in clear text"""
    certificate: CertificateSettings
    next_certificate: CertificateSettings | None = None
    """a second certificate during a roll-over; whichever works is used"""
    report: ReportSettings = ReportSettings()

    @property
    def identity(self) -> Identity:
        """Whose records are collected, whatever the file is called."""
        return Identity(self.tenant_id, self.cloud)

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.report.timezone)
