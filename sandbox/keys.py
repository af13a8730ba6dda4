"""A keyCredential: the certificate that an app registration stores to check assertions."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding


@dataclass
class KeyCredential:
    """Entra matches by thumbprint only; chain and name are not looked at (reference 5)."""

    certificate: x509.Certificate
    effective_at: float = 0.0  # propagation: seconds since 1970
    start: datetime | None = None  # the keyCredential's own dates, where narrower
    end: datetime | None = None
    key_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def sha1(self) -> str:
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest().upper()

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        key = self.certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("only RSA certificates can sign assertions")
        return key

    def has_thumbprint(self, text: str) -> bool:
        """Does a base64url SHA-1 or SHA-256 thumbprint, padded or not, mean this certificate?"""
        sha1 = hashlib.sha1(self.der, usedforsecurity=False).digest()
        prints = (sha1, hashlib.sha256(self.der).digest())
        return any(_unpadded(p) == text.rstrip("=") for p in prints)

    def certificate_valid(self, now: float) -> bool:
        """Is the certificate itself inside its validity period?"""
        at = datetime.fromtimestamp(now, UTC)
        return self.certificate.not_valid_before_utc <= at <= self.certificate.not_valid_after_utc

    def credential_valid(self, now: float) -> bool:
        """Is the stored keyCredential inside its own start and end?"""
        at = datetime.fromtimestamp(now, UTC)
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)

    def shown(self) -> dict[str, Any]:
        return {
            "key_id": self.key_id,
            "thumbprint": self.sha1,
            "sha256": hashlib.sha256(self.der).hexdigest().upper(),
            "subject": self.certificate.subject.rfc4514_string(),
            "not_after": self.certificate.not_valid_after_utc.isoformat(),
        }


def _unpadded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def read_certificate(encoded: bytes) -> x509.Certificate:
    """PEM (the first certificate, which is the leaf), DER, or base64 of DER."""
    if b"-----BEGIN" in encoded:
        return x509.load_pem_x509_certificate(encoded)
    try:
        return x509.load_der_x509_certificate(encoded)
    except ValueError:
        return x509.load_der_x509_certificate(base64.b64decode(encoded))
