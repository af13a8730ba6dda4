"""What a Key Vault holds: a certificate is also a key and a secret of the same name."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

PKCS12, PEM = "application/x-pkcs12", "application/x-pem-file"
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def number(value: int) -> str:
    """A JWK integer."""
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass
class Version:
    """One version of a certificate with its key."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    chain: list[x509.Certificate]
    exportable: bool
    content_type: str
    enabled: bool = True
    created: int = field(default_factory=lambda: int(time.time()))
    version: str = field(default_factory=lambda: uuid.uuid4().hex)

    def secret_value(self) -> str:
        """Base64 of an unencrypted PKCS#12, or PEM; without the key when not exportable."""
        if self.content_type == PEM:
            key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            public = b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.chain))
            return ((key if self.exportable else b"") + public).decode()
        if self.exportable:
            packed = pkcs12.serialize_key_and_certificates(
                None, self.key, self.certificate, self.chain, NoEncryption()
            )
        else:
            packed = pkcs12.serialize_key_and_certificates(
                None, None, None, [self.certificate, *self.chain], NoEncryption()
            )
        return base64.b64encode(packed).decode()

    def x5t(self) -> str:
        der = self.certificate.public_bytes(Encoding.DER)
        return b64url(hashlib.sha1(der, usedforsecurity=False).digest())

    def attributes(self) -> dict[str, Any]:
        return {
            "enabled": self.enabled,
            "created": self.created,
            "updated": self.created,
            "nbf": int(self.certificate.not_valid_before_utc.timestamp()),
            "exp": int(self.certificate.not_valid_after_utc.timestamp()),
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
        }

    def jwk(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "key_ops": ["sign", "verify"],
            "n": number(numbers.n),
            "e": number(numbers.e),
        }

    def sign(self, algorithm: str, digest: bytes) -> bytes:
        """PS256/384/512 or RS256/384/512 over a digest that the caller made."""
        family, size = algorithm[:2], algorithm[2:]
        if family not in ("PS", "RS") or size not in _HASHES:
            raise ValueError(f"Invalid algorithm {algorithm!r}")
        chosen = _HASHES[size]
        if len(digest) != chosen.digest_size:
            raise ValueError(
                f"Invalid length of 'value': {len(digest)} bytes. RSA sign with "
                f"{algorithm} requires {chosen.digest_size} bytes."
            )
        pss = padding.PSS(mgf=padding.MGF1(chosen), salt_length=chosen.digest_size)
        scheme = pss if family == "PS" else padding.PKCS1v15()
        return self.key.sign(digest, scheme, utils.Prehashed(chosen))


class Vault:
    """One vault; names are case-insensitive, versions are kept oldest first."""

    def __init__(self) -> None:
        self.tenant = ""  # whose directory guards it; the first tenant until set
        self._objects: dict[str, list[Version]] = {}

    def put(
        self, name: str, key_pem: str, certificates_pem: str, exportable: bool, content_type: str
    ) -> Version:
        """A new version of a certificate."""
        key = load_pem_private_key(key_pem.encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the vault signs with RSA keys only")
        if content_type not in (PKCS12, PEM):
            raise ValueError(f"content_type is {PKCS12} or {PEM}")
        leaf, *chain = x509.load_pem_x509_certificates(certificates_pem.encode())
        made = Version(key, leaf, chain, exportable, content_type)
        self._objects.setdefault(name.lower(), []).append(made)
        return made

    def versions(self, name: str) -> list[Version]:
        return self._objects.get(name.lower(), [])

    def find(self, name: str, version: str = "") -> Version | None:
        """The named version, or the newest."""
        found = self.versions(name)
        if version:
            return next((each for each in found if each.version == version), None)
        return found[-1] if found else None

    def names(self) -> list[str]:
        return sorted(self._objects)
