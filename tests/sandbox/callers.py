"""Certificates made on the spot, and a caller who knows only the reference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msal
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from sandbox import Sandbox
from tests.days import recent

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ANCHOR = "APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@"


@dataclass
class Pair:
    """A self-signed certificate with its key."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def sha1(self) -> bytes:
        return self.certificate.fingerprint(hashes.SHA1())  # noqa: S303 (what a thumbprint is)

    def pfx(self, password: str = "") -> bytes:
        lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return pkcs12.serialize_key_and_certificates(b"t", self.key, self.certificate, None, lock)


def make_pair(
    begins: timedelta = timedelta(minutes=-15),
    lasts: timedelta = timedelta(days=30),
    key: rsa.RSAPrivateKey | None = None,
) -> Pair:
    """Keys are reused where the test does not care: making one takes a while."""
    key = key or _KEY
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox test")])
    start = datetime.now(UTC) + begins
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lasts)
    )
    return Pair(key, builder.sign(key, hashes.SHA256()))


class TrustingSession(requests.Session):
    """REQUESTS_CA_BUNDLE would win over `session.verify`, so every request says it."""

    def __init__(self, ca: str) -> None:
        super().__init__()
        self._ca = ca
        self.trust_env = False

    def request(self, *words: Any, **rest: Any) -> requests.Response:
        return super().request(*words, **{"timeout": 30, "verify": self._ca, **rest})


@dataclass
class Caller:
    """One app in one tenant, talking to the sandbox as any client would."""

    box: Sandbox
    name: str
    pair: Pair

    def __post_init__(self) -> None:
        self.tenant = self.box.control.tenant(self.name)
        self.session = TrustingSession(self.box.ca)
        self._token = ""

    def app(
        self, credential: dict[str, Any] | None = None, tenant: str = "", client_id: str = ""
    ) -> msal.ConfidentialClientApplication:
        """A fresh, unmodified msal application."""
        own = {"private_key": self.pair.key_pem, "public_certificate": self.pair.pem.decode()}
        return msal.ConfidentialClientApplication(
            client_id or self.tenant["client_id"],
            authority=f"{self.box['login']}/{tenant or self.tenant['tenant_id']}",
            client_credential=credential or own,
            instance_discovery=False,
            http_client=self.session,
        )

    def ask_token(self, **words: Any) -> dict[str, Any]:
        scope = words.pop("scope", f"{self.box['exchange']}/.default")
        answer: dict[str, Any] = self.app(**words).acquire_token_for_client([scope])
        return answer

    @property
    def token(self) -> str:
        self._token = self._token or self.ask_token()["access_token"]
        return self._token

    def forget_token(self) -> None:
        self._token = ""

    def invoke(self, cmdlet: str, parameters: Any, **rest: Any) -> requests.Response:
        segment = rest.pop("segment", self.tenant["tenant_id"])
        version = rest.pop("version", "beta")
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept-Encoding": "identity",
            "X-AnchorMailbox": ANCHOR + self.tenant["tenant_id"],
            **rest.pop("headers", {}),
        }
        url = rest.pop("url", "") or (
            f"{self.box['exchange']}/adminapi/{version}/{segment}/InvokeCommand"
        )
        body = {"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}}
        answer = self.session.post(url, json=body, headers=headers, stream=True, **rest)
        # Mislabelled error bodies would raise in `requests`: keep what came over the wire.
        answer._content = answer.raw.read(decode_content=False)
        return answer

    def search(self, **parameters: Any) -> requests.Response:
        window = {
            "StartDate": recent("2026-10-05T00:00:00Z"),
            "EndDate": recent("2026-10-06T00:00:00Z"),
        }
        return self.invoke("Search-UnifiedAuditLog", {**window, **parameters})

    def rows(self, **parameters: Any) -> list[dict[str, Any]]:
        answer = self.search(**parameters)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["value"]
        return found

    def ids(self, **parameters: Any) -> list[str]:
        return [row["Identity"] for row in self.rows(**parameters)]


def lines_of(path: Path) -> list[dict[str, Any]]:
    """A newline-delimited JSON file, read."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
