"""A new key pair for an app registration: `.pfx` to keep, `.cer` to upload.

RSA, self-signed, for client authentication, valid from a quarter of an hour ago so that clocks may
differ: what the vendor's own tools make (reference A, section 5).
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trailkeeper.errors import ConfigurationError, UsageError
from trailkeeper.microsoft.certificates.store import thumbprints

BACKDATED = timedelta(minutes=15)
DEFAULT_LIFETIME = timedelta(days=365)
KEY_SIZES = (2048, 3072, 4096)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


@dataclass(frozen=True, slots=True)
class CreatedCertificate:
    """What was written, and what the app registration wants to know."""

    pfx: Path
    cer: Path
    thumbprint_sha1: str
    thumbprint_sha256: str
    not_before: datetime
    not_after: datetime
    key_credential: dict[str, str]
    """the object for Microsoft Graph's `keyCredentials` collection"""

    def key_credential_json(self) -> str:
        return json.dumps(self.key_credential, indent=2)


def certificate_create(
    folder: Path,
    name: str,
    password: str,
    now: datetime,
    *,
    lifetime: timedelta = DEFAULT_LIFETIME,
    bits: int = 3072,
) -> CreatedCertificate:
    """Write `{name}.pfx` (0600, locked with `password`) and `{name}.cer` (DER) into `folder`.

    Raises `UsageError` for a name, size, lifetime or password that will not do, or when one of the
    files exists (nothing is ever overwritten); `ConfigurationError` when the folder refuses.
    """
    _check(name, password, lifetime, bits)
    pfx, cer = folder / f"{name}.pfx", folder / f"{name}.cer"
    for path in (pfx, cer):
        if path.exists() or path.is_symlink():
            raise _exists(path)
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    leaf = _self_signed(key, name, now, lifetime)
    _write(pfx, _locked(key, leaf, name, password))
    _write(cer, leaf.public_bytes(serialization.Encoding.DER))
    sha1, sha256 = thumbprints(leaf)
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return CreatedCertificate(pfx, cer, sha1, sha256, begins, ends, key_credential(leaf))


def key_credential(leaf: x509.Certificate) -> dict[str, str]:
    """The keyCredential that uploads `leaf` (reference A, section 5)."""
    return {
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": base64.b64encode(leaf.public_bytes(serialization.Encoding.DER)).decode("ascii"),
        "displayName": leaf.subject.rfc4514_string(),
        "startDateTime": _iso(leaf.not_valid_before_utc),
        "endDateTime": _iso(leaf.not_valid_after_utc),
    }


def _check(name: str, password: str, lifetime: timedelta, bits: int) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be a certificate's name",
            "Use at most 64 letters, digits, blanks, '-', '_' and '.'.",
        )
    if bits not in KEY_SIZES:
        sizes = ", ".join(map(str, KEY_SIZES))
        raise UsageError(f"an RSA key of {bits} bits is not made here", f"Choose one of {sizes}.")
    if not timedelta(days=1) <= lifetime <= timedelta(days=3650):
        raise UsageError(f"a lifetime of {lifetime.days} days is not made here", "Use 1 to 3650.")
    if not password:
        raise UsageError("the .pfx needs a password", "Give one: the file holds the private key.")


def _self_signed(
    key: rsa.RSAPrivateKey, name: str, now: datetime, lifetime: timedelta
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = now.astimezone(UTC).replace(microsecond=0) - BACKDATED
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signature_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _signature_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _locked(key: rsa.RSAPrivateKey, leaf: x509.Certificate, name: str, password: str) -> bytes:
    lock = serialization.BestAvailableEncryption(password.encode("utf-8"))
    return pkcs12.serialize_key_and_certificates(name.encode("utf-8"), key, leaf, None, lock)


def _write(path: Path, content: bytes) -> None:
    """A new file, 0600 from its first instant, on disk when this returns."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {(error.strerror or 'error').lower()}",
            "Choose a folder that exists and that this user may write.",
        ) from None
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _exists(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists already", "Choose another name or folder: nothing is overwritten."
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
