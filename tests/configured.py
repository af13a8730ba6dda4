"""A configuration folder for tenants of a running sandbox, certificates registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import NameOID

from sandbox import Sandbox
from trailkeeper.settings import Settings, load

PFX_PASSWORD = "pfx-password-of-tests"
PARTNER = "11111111-2222-4333-8444-555555555555"


@cache
def _key() -> rsa.RSAPrivateKey:
    """One key for the whole run: making one takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(
    name: str, starts: timedelta = timedelta(hours=-1), ends: timedelta = timedelta(days=90)
) -> x509.Certificate:
    """Self-signed under the run's key, valid from now + `starts` to now + `ends`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
        .sign(_key(), hashes.SHA256())
    )


def pfx(cert: x509.Certificate, password: str = PFX_PASSWORD) -> bytes:
    """The certificate and the run's key as PKCS#12."""
    secret = BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(b"test", _key(), cert, None, secret)


@dataclass
class Configured:
    """A configuration folder under construction; `write` puts it on disk, again and again."""

    folder: Path
    box: Sandbox
    tenants: Sequence[str]
    service: Mapping[str, Any] = field(default_factory=dict)
    collection: Mapping[str, Any] = field(default_factory=dict)
    tenant: Mapping[str, Any] = field(default_factory=dict)
    """keys added to every tenant's file"""
    recipients: Sequence[str] = ("security@contoso.example",)
    timezone: str = "UTC"

    @property
    def data(self) -> Path:
        return self.folder.parent / "data"

    def write(self) -> Path:
        """Write the folder and register every tenant's certificate; the folder."""
        (self.folder / "tenants").mkdir(parents=True, exist_ok=True)
        (self.folder / "pfx-password").write_text(PFX_PASSWORD)
        (self.folder / "trailkeeper.toml").write_text(self._main())
        for name in self.tenants:
            cert = certificate(name)
            self.box.control.register(name, cert.public_bytes(Encoding.DER))
            (self.folder / f"{name}.pfx").write_bytes(pfx(cert))
            (self.folder / "tenants" / f"{name}.toml").write_text(self._tenant(name))
        return self.folder

    def _main(self) -> str:
        service = {"data": str(self.data), "partner_tenant_id": PARTNER, **self.service}
        service.setdefault("upload_pause", "0s")
        smtp = f'{{ host = "127.0.0.1", port = {self.box["smtp_port"]}, security = "none" }}'
        hosts = {k: self.box[k] for k in ("login", "exchange", "management", "graph")}
        # The sandbox's vault asks for a token of its host's parent, as vault.azure.net is one's.
        hosts["vault"] = self.box["vault"].replace("//127.", "//")
        return "\n".join(
            [
                "[service]",
                *_lines(service),
                "[collection]",
                *_lines(self.collection),
                "[mail]",
                'sender = "audit@msp.example"',
                f"smtp = {smtp}",
                "[clouds.lab]",
                *_lines({**hosts, "ca_bundle": self.box.ca}),
                "",
            ]
        )

    def _tenant(self, name: str) -> str:
        known = self.box.control.tenant(name)
        keys = {key: known[key] for key in ("tenant_id", "domain", "client_id")}
        return "\n".join(
            [
                *_lines({**keys, "cloud": "lab", "sources": ["exchange"], **self.tenant}),
                "[certificate]",
                *_lines({"pfx": f"{name}.pfx", "password": "file:pfx-password"}),
                "[report]",
                *_lines({"to": list(self.recipients), "timezone": self.timezone}),
                "",
            ]
        )


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def settings_of(folder: Path, tenant: str, text: str) -> Settings:
    """The settings of a folder with one tenant, whose file holds `text`, and defaults."""
    (folder / "tenants").mkdir()
    (folder / "trailkeeper.toml").write_text("")
    (folder / "tenants" / f"{tenant}.toml").write_text(text)
    return load(folder)
