"""What a certificate file says, usable or not: for looking at, never for a login."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from trailkeeper.errors import NeedsPerson
from trailkeeper.microsoft.certificates.certificate import Certificate, certificate, refused
from trailkeeper.microsoft.certificates.files import (
    PasswordRemedies,
    looks_like_pkcs12,
    open_pkcs12,
    pem_certificates,
    read_file,
)

_GIVEN = PasswordRemedies(
    "Say where it is with --password env:NAME or --password file:PATH; for a configured tenant, "
    "name the tenant instead: its file says that.",
    "Correct the secret that --password refers to.",
)


def read_any(path: Path, password: str | None) -> Certificate:
    """The leaf of a .pfx, .pem or .cer (DER or PEM); expired ones too. It cannot sign.

    Raises `ConfigurationError` when the file cannot be read, `NeedsPerson` when it does not open or
    holds no certificate.
    """
    content = read_file(path)
    source = str(path)
    return certificate(_leaf(content, password, source), _no_signature, source)


def _leaf(content: bytes, password: str | None, source: str) -> x509.Certificate:
    if looks_like_pkcs12(content):
        key, found = open_pkcs12(content, password, source, _GIVEN)
        return _matching(key, found, source)
    found = pem_certificates(content)
    if found:
        return found[0]
    try:
        return x509.load_der_x509_certificate(content)
    except ValueError:
        raise _none_in(source) from None


def _matching(
    key: PrivateKeyTypes | None, found: list[x509.Certificate], source: str
) -> x509.Certificate:
    public = key.public_key() if key else None
    leaf = next((c for c in found if c.public_key() == public), found[0] if found else None)
    if leaf is None:
        raise _none_in(source)
    return leaf


def _none_in(source: str) -> NeedsPerson:
    return refused(f"{source} holds no certificate", "Name a .pfx, .pem or .cer file.")


def _no_signature(message: bytes) -> bytes:
    raise AssertionError("a certificate that is only looked at signs nothing")
