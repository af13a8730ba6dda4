"""A Key Vault over TLS, as small as the real Azure SDK accepts it: secrets, certificates, sign.

It verifies nothing but that a bearer token was sent; it counts what was asked for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from tests.microsoft.identity import Pair
from tests.servers.tls import Reply, Request, TlsServer, tls_server


@dataclass
class Version:
    pair: Pair
    secret: str = ""
    content_type: str = "application/x-pkcs12"


@dataclass
class Vault:
    """`versions` of one certificate named "app", oldest first; the newest is served by default."""

    resource: str
    authority: str
    versions: dict[str, Version] = field(default_factory=dict)
    refuse: int = 0
    """a status to answer everything with"""
    server: TlsServer | None = None
    tokens: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    def asked(self, kind: str) -> int:
        assert self.server is not None
        return sum(kind in r.path for r in self.server.requests if r.headers.get("Authorization"))

    def answer(self, request: Request) -> Reply:
        authorization = request.headers.get("Authorization")
        if not authorization:
            challenge = f'Bearer authorization="{self.authority}", resource="{self.resource}"'
            return Reply(401, b"{}", (("WWW-Authenticate", challenge),))
        self.tokens.append(authorization.removeprefix("Bearer "))
        if self.refuse:
            return _json({"error": {"code": "Forbidden", "message": "No."}}, self.refuse)
        kind, name, *rest = urlsplit(request.path).path.strip("/").split("/")
        wanted = next((part for part in rest if part and part != "sign"), "")
        version = wanted or list(self.versions)[-1]
        if name != "app" or version not in self.versions:
            return _json({"error": {"code": "NotFound", "message": "No such thing."}}, 404)
        found = self.versions[version]
        if "sign" in rest:
            return self._signed(found, version, request.body)
        return _json(
            {"secrets": self._secret, "certificates": self._certificate, "keys": self._key}[kind](
                found, version
            )
        )

    def _secret(self, found: Version, version: str) -> dict[str, object]:
        return {
            "id": f"{self.url}/secrets/app/{version}",
            "value": found.secret,
            "contentType": found.content_type,
            "attributes": {"enabled": True},
        }

    def _certificate(self, found: Version, version: str) -> dict[str, object]:
        der = found.pair.certificate.public_bytes(serialization.Encoding.DER)
        return {
            "id": f"{self.url}/certificates/app/{version}",
            "kid": f"{self.url}/keys/app/{version}",
            "sid": f"{self.url}/secrets/app/{version}",
            "cer": base64.b64encode(der).decode(),
            "attributes": {"enabled": True},
            "policy": {},
        }

    def _key(self, found: Version, version: str) -> dict[str, object]:
        public = found.pair.key.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        numbers = public.public_numbers()
        return {
            "key": {
                "kid": f"{self.url}/keys/app/{version}",
                "kty": "RSA-HSM",
                "key_ops": ["sign", "verify"],
                "n": _b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                "e": _b64(numbers.e.to_bytes(3, "big")),
            },
            "attributes": {"enabled": True},
        }

    def _signed(self, found: Version, version: str, body: bytes) -> Reply:
        asked = json.loads(body)
        digest = base64.urlsafe_b64decode(asked["value"] + "==")
        assert asked["alg"] == "PS256"
        assert isinstance(found.pair.key, rsa.RSAPrivateKey)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        signature = found.pair.key.sign(digest, pss, utils.Prehashed(hashes.SHA256()))
        return _json({"kid": f"{self.url}/keys/app/{version}", "value": _b64(signature)})


@contextmanager
def vault_server(resource: str, authority: str) -> Iterator[Vault]:
    vault = Vault(resource, authority)
    with tls_server(vault.answer) as server:
        vault.server = server
        yield vault


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
