"""Reading a certificate and its key from bytes: PKCS#12 and PEM, one sentence for each refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from trailkeeper.errors import ConfigurationError, NeedsPerson
from trailkeeper.microsoft.certificates.certificate import (
    Certificate,
    from_keys,
    refused,
)
from trailkeeper.microsoft.certificates.pfx_keys import pfx_keys
from trailkeeper.model.text import utf8

_LARGEST_FILE = 1 << 20
_MOST_KEYS = 20
"""each encrypted one costs its key derivation"""
_PEM_KEY = re.compile(rb"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)
_AGAIN = "Export certificate and private key together once more."


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises `ConfigurationError` when it is absent or unreadable."""
    try:
        with path.open("rb") as file:
            return utf8(file.read(_LARGEST_FILE + 1))  # DER and PKCS#12 begin like no text
    except OSError as error:
        raise ConfigurationError(
            f"the certificate file {path} cannot be read: {(error.strerror or 'error').lower()}",
            "Check the path in the tenant's file, and that this user may read it.",
        ) from None


def looks_like_pem(content: bytes) -> bool:
    return b"-----BEGIN " in content


@dataclass(frozen=True, slots=True)
class PasswordRemedies:
    """Where the password of a file comes from, in the words of whoever asks."""

    missing: str
    wrong: str


CONFIGURED = PasswordRemedies(
    'Name it as password = "env:NAME" or "file:PATH" under [certificate].',
    "Correct the secret that `password` under [certificate] refers to.",
)


def looks_like_pkcs12(content: bytes) -> bool:
    """PKCS#12 begins with a sequence whose first member is version 3 (RFC 7292, section 4)."""
    return content[:1] == b"\x30" and b"\x02\x01\x03" in content[1:10]


def from_pkcs12(content: bytes, password: str | None, source: str, now: datetime) -> Certificate:
    """The certificate in a PFX, leaf picked by its key. Raises `NeedsPerson` (see `from_pair`)."""
    key, certificates = open_pkcs12(content, password, source)
    return from_keys(pkcs12_keys(key, content, password), certificates, source, now)


def pkcs12_keys(
    first: PrivateKeyTypes | None, content: bytes, password: str | None
) -> list[PrivateKeyTypes]:
    """Every key of a PFX that was opened; several lie in one that was only added to."""
    keys = pfx_keys(content, password)
    return keys if len(keys) > 1 else [first] if first else []


def open_pkcs12(
    content: bytes, password: str | None, source: str, asked_by: PasswordRemedies = CONFIGURED
) -> tuple[PrivateKeyTypes | None, list[x509.Certificate]]:
    """Key and certificates of a PFX, unchecked. Raises `NeedsPerson` when it does not open."""
    if not looks_like_pkcs12(content) or len(content) > _LARGEST_FILE:
        raise refused(f"{source} is not a PKCS#12 (.pfx) file", _hint(content))
    try:
        found = _load_pkcs12(content, password)
    except UnsupportedAlgorithm:
        raise refused(
            f"{source} is encrypted in a way that is no longer supported",
            "Export it again with AES-256 and SHA-256.",
        ) from None
    except (ValueError, TypeError):
        raise refused(*_did_not_open(source, password, asked_by)) from None
    certificates = [found.cert] if found.cert else []
    return found.key, [c.certificate for c in (*certificates, *found.additional_certs)]


def _load_pkcs12(content: bytes, password: str | None) -> pkcs12.PKCS12KeyAndCertificates:
    if password is not None:
        return pkcs12.load_pkcs12(content, password.encode("utf-8"))
    try:
        return pkcs12.load_pkcs12(content, None)
    except ValueError:  # Windows and OpenSSL write "no password" as the empty one
        return pkcs12.load_pkcs12(content, b"")


def _did_not_open(
    source: str, password: str | None, asked_by: PasswordRemedies = CONFIGURED
) -> tuple[str, str]:
    if password is None:
        return f"{source} needs a password and has none, or the file is damaged", asked_by.missing
    return f"the password for {source} is wrong, or the file is damaged", asked_by.wrong


def _hint(content: bytes) -> str:
    if looks_like_pem(content):
        return (
            "It is a PEM file: put it into the certificate store and name its thumbprint, or turn "
            "it into a .pfx."
        )
    if content[:1] == b"\x30":
        return "It looks like the public part alone (.cer); name the .pfx with the private key."
    return _AGAIN


def from_pem(content: bytes, password: str | None, source: str, now: datetime) -> Certificate:
    """The certificate in a PEM text with key, chain in any order. Raises `NeedsPerson`."""
    return from_keys(pem_keys(content, password, source), pem_certificates(content), source, now)


def pem_certificates(content: bytes) -> list[x509.Certificate]:
    """Every certificate that can be read; what cannot is passed over."""
    found = []
    for block in _PEM_CERTIFICATE.findall(content[:_LARGEST_FILE]):
        try:
            found.append(x509.load_pem_x509_certificate(block))
        except ValueError:
            continue
    return found


def pem_keys(content: bytes, password: str | None, source: str) -> list[PrivateKeyTypes]:
    """Every private key that can be read, decrypted. Raises `NeedsPerson` when none of several or
    the only one can."""
    blocks = [match[0] for match in _PEM_KEY.finditer(content[:_LARGEST_FILE])]
    found: list[PrivateKeyTypes] = []
    refusal: NeedsPerson | None = None
    for block in blocks[:_MOST_KEYS]:
        try:
            found.append(_pem_key(block, password, source))
        except NeedsPerson as error:
            refusal = refusal or error
    if refusal and not found:
        raise refusal
    return found


def _pem_key(block: bytes, password: str | None, source: str) -> PrivateKeyTypes:
    encrypted = b"ENCRYPTED" in block
    secret = password.encode("utf-8") if password is not None and encrypted else None
    try:
        return load_pem_private_key(block, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise refused(*_did_not_open(source, password)) from None
        raise refused(f"the private key in {source} cannot be read", _AGAIN) from None
