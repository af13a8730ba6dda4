"""Key pairs and configuration folders for the tests of logins."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from sandbox import Sandbox
from trailkeeper.microsoft.certificates.loading import Certificates
from trailkeeper.microsoft.http.sessions import Sessions
from trailkeeper.microsoft.identity.token_cache import TokenCache, redis_tokens
from trailkeeper.microsoft.identity.token_crypto import token_keys
from trailkeeper.microsoft.identity.tokens import Tokens
from trailkeeper.settings import Settings, TenantSettings, load

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PFX_PASSWORD = "pfx-password-canary"
_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8


class WallClock:
    """The real clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SetClock(WallClock):
    """The real clock, moved by `offset`."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return super().now() + self.offset


@dataclass(frozen=True)
class Pair:
    key: Key
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(_PEM)

    @property
    def sha1(self) -> str:
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex().upper()

    def key_pem(self, password: str = "") -> bytes:
        sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            sealed = serialization.BestAvailableEncryption(password.encode())
        return self.key.private_bytes(_PEM, _PKCS8, sealed)

    def pfx(self, password: str = "", *, with_key: bool = True) -> bytes:
        sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            sealed = serialization.BestAvailableEncryption(password.encode())
        key = self.key if with_key else None
        return pkcs12.serialize_key_and_certificates(
            b"app", key, self.certificate, self.chain or None, sealed
        )


def make_pair(
    *,
    key: Key | None = None,
    bits: int = 2048,
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=365),
    issued_by: Pair | None = None,
    name: str = "trailkeeper test",
    public: Key | None = None,
) -> Pair:
    """A key and a certificate, self-signed unless `issued_by`; `public` puts another key in it."""
    key = key or rsa.generate_private_key(public_exponent=65537, key_size=bits)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by.certificate.subject if issued_by else subject)
        .public_key((public or key).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(issued_by.key if issued_by else key, hashes.SHA256())
    )
    chain = (issued_by.certificate, *issued_by.chain) if issued_by else ()
    return Pair(key, made, chain)


def write_cloud(folder: Path, box: Sandbox, service: str = "") -> None:
    """The main file of a configuration that knows the sandbox as the cloud "lab"."""
    (folder / "tenants").mkdir(parents=True, exist_ok=True)
    sites = {name: box[name] for name in ("login", "exchange", "management", "graph")}
    sites["vault"] = vault_audience(box)
    lines = [f'{name} = "{url}"' for name, url in sites.items()]
    (folder / "trailkeeper.toml").write_text(
        f'[service]\ndata = "./data"\nupload_pause = "0s"\n{service}\n'
        f'[clouds.lab]\nca_bundle = "{box.ca}"\n' + "\n".join(lines)
    )


def vault_audience(box: Sandbox) -> str:
    """What the sandbox's vault asks tokens for: the parent of its host, as vault.azure.net is."""
    return str(box["vault"]).replace("//127.", "//")


def write_tenant(
    folder: Path, tenant: dict[str, str], certificate: str, extra: str = "", client_id: str = ""
) -> None:
    """A tenant's file; `certificate` is the text of its [certificate] table."""
    (folder / "tenants" / f"{tenant['name']}.toml").write_text(
        f'tenant_id = "{tenant["tenant_id"]}"\ndomain = "{tenant["domain"]}"\ncloud = "lab"\n'
        f'client_id = "{client_id or tenant["client_id"]}"\n[certificate]\n{certificate}\n{extra}\n'
    )


def tokens_for(
    settings: Settings, redis_url: str | None = None, clock: WallClock | None = None
) -> Tokens:
    """What bootstrap builds, over the real parts."""
    clock = clock or WallClock()
    shared = redis_tokens(redis_url, token_keys(settings)) if redis_url else None
    return Tokens(
        settings, Sessions(settings), TokenCache(shared), Certificates(settings, clock), clock
    )


@dataclass
class Enrolled:
    """One sandbox tenant with a configuration folder and a registered PFX certificate."""

    box: Sandbox
    folder: Path
    name: str
    pair: Pair

    @property
    def settings(self) -> Settings:
        return load(self.folder)

    @property
    def tenant(self) -> TenantSettings:
        return self.settings.tenants[self.name]

    @property
    def audience(self) -> str:
        return str(self.box["exchange"])

    def logins(self) -> int:
        """Token requests that the sandbox has counted for this tenant."""
        return login_counts(self.box).get(self.name, 0)

    def tokens(self, redis_url: str | None = None, clock: WallClock | None = None) -> Tokens:
        return tokens_for(self.settings, redis_url, clock)

    def write_pfx(self, pair: Pair, name: str = "app.pfx") -> None:
        """Put the pair in place as an editor does: whole, by a rename."""
        fresh = self.folder / f".{name}.new"
        fresh.write_bytes(pair.pfx(PFX_PASSWORD))
        fresh.replace(self.folder / name)


def enrol(box: Sandbox, folder: Path, name: str, extra: str = "") -> Enrolled:
    tenant = box.control.create_tenant(name)
    pair = make_pair()
    box.control.register(name, pair.pem)
    write_cloud(folder, box)
    (folder / "password").write_text(PFX_PASSWORD + "\n")
    write_tenant(folder, tenant, 'pfx = "app.pfx"\npassword = "file:password"', extra)
    enrolled = Enrolled(box, folder, name, pair)
    enrolled.write_pfx(pair)
    return enrolled


def login_counts(box: Sandbox) -> dict[str, int]:
    """Token requests by tenant name."""
    by_tenant = box.control.counters()["by_tenant"]
    return {name: kinds.get("token", 0) for name, kinds in by_tenant.items()}
