"""Finding a certificate by its thumbprint in a folder of PFX and PEM files, mixed.

Thumbprints are compared as hex digits alone: any case, blanks, colons, dashes and the invisible
U+200E that Windows dialogs put in front are passed over.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from trailkeeper.errors import ConfigurationError, NeedsPerson
from trailkeeper.microsoft.certificates.certificate import (
    Certificate,
    from_keys,
    refused,
)
from trailkeeper.microsoft.certificates.files import (
    looks_like_pem,
    looks_like_pkcs12,
    open_pkcs12,
    pem_certificates,
    pem_keys,
    pkcs12_keys,
    read_file,
)

_SUFFIXES = frozenset({".pfx", ".p12", ".pem", ".crt", ".cer", ".key"})
_HEX = frozenset("0123456789ABCDEF")
Stamp = tuple[int, int, int]


def normal_thumbprint(text: str) -> str:
    """40 (SHA-1) or 64 (SHA-256) upper-case hex digits. Raises `ConfigurationError`."""
    kept = "".join(c for c in text.upper() if c.isalnum())
    if len(kept) not in (40, 64) or not set(kept) <= _HEX:
        raise ConfigurationError(
            f"{text.strip()[:80]!r} is not a certificate's thumbprint",
            "Write the 40 (SHA-1) or 64 (SHA-256) hex digits that the portal or "
            "`trailkeeper certificate list` shows.",
        )
    return kept


def stamp_of(path: Path) -> Stamp:
    """Changes whenever the file is written or replaced; zeros when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def find(folder: Path, thumbprint: str, password: str | None, now: datetime) -> Certificate:
    """The certificate with this thumbprint, and its key.

    The key may lie in the same file, or beside it in a PEM file of the same stem. Several files may
    hold the certificate, its public part among them (`certificate create` writes a .cer beside the
    .pfx): the first that can be used is taken. Raises `ConfigurationError` when the folder is
    unreadable, `NeedsPerson` when nothing matches, the key is missing, or the pair cannot be used
    (see `from_pair`).
    """
    wanted = normal_thumbprint(thumbprint)
    unopened = 0
    refusal: NeedsPerson | None = None
    for path in _files(folder):
        try:
            prints = _INDEX.thumbprints(path, password)
        except NeedsPerson:
            unopened += 1
            continue
        if wanted in prints:
            try:
                return _load(path, wanted, password, now)
            except NeedsPerson as error:
                refusal = refusal or error
    if refusal is None:
        raise _absent(folder, wanted, unopened)
    raise refused(f"{refusal.summary}{_shut(unopened)}", refusal.remedy)


def _files(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ConfigurationError(
            f"the certificate store {folder} cannot be read: {(error.strerror or '').lower()}",
            "Create the folder, or correct service.certificate_store.",
        ) from None
    return [folder / name for name in names if Path(name).suffix.lower() in _SUFFIXES]


@dataclass(frozen=True, slots=True)
class _Opening:
    """What opening one version of a file with one password gave; no password is kept."""

    path: Path
    stamp: Stamp
    password_digest: bytes


class _Index:
    """Remembers which thumbprints lie in which file: opening a PFX costs its key derivation."""

    def __init__(self) -> None:
        self._known: dict[_Opening, frozenset[str] | NeedsPerson] = {}
        self._salt = os.urandom(16)
        self._guard = threading.Lock()

    def thumbprints(self, path: Path, password: str | None) -> frozenset[str]:
        """Both thumbprints of each certificate in the file. Raises `NeedsPerson` if it is shut."""
        digest = hashlib.sha256(self._salt + repr(password).encode()).digest()
        opening = _Opening(path, stamp_of(path), digest)
        with self._guard:
            found = self._known.get(opening)
        if found is None:
            found = self._opened(path, password)
            with self._guard:
                self._known[opening] = found
        if isinstance(found, NeedsPerson):
            raise found
        return found

    def _opened(self, path: Path, password: str | None) -> frozenset[str] | NeedsPerson:
        try:
            leaves = _certificates(path, read_file(path), password)
        except NeedsPerson as error:
            return error
        return frozenset(name for leaf in leaves for name in thumbprints(leaf))


_INDEX = _Index()


def thumbprints(leaf: x509.Certificate) -> tuple[str, str]:
    """SHA-1 and SHA-256 of the DER, upper-case hex."""
    sha1 = hashes.SHA1()  # noqa: S303 - how portals name a certificate; nothing rests on it
    return leaf.fingerprint(sha1).hex().upper(), leaf.fingerprint(hashes.SHA256()).hex().upper()


def _certificates(path: Path, content: bytes, password: str | None) -> list[x509.Certificate]:
    if looks_like_pem(content):
        return pem_certificates(content)
    if looks_like_pkcs12(content):
        return open_pkcs12(content, password, str(path))[1]
    try:
        return [x509.load_der_x509_certificate(content)]
    except ValueError:
        return []


def _load(path: Path, wanted: str, password: str | None, now: datetime) -> Certificate:
    content = read_file(path)
    leaf = next(c for c in _certificates(path, content, password) if wanted in thumbprints(c))
    source = str(path)
    if looks_like_pkcs12(content):
        key, _ = open_pkcs12(content, password, source)
        return from_keys(pkcs12_keys(key, content, password), [leaf], source, now)
    for place, text in _key_files(path, content):
        if keys := pem_keys(text, password, str(place)):
            return from_keys(keys, [leaf], source, now)
    raise refused(
        f"the certificate {wanted} in {path} has no private key with it",
        f"Put the key beside it as {path.stem}.key, or export both as a .pfx.",
    )


def _key_files(path: Path, content: bytes) -> Iterator[tuple[Path, bytes]]:
    yield path, content
    for sibling in _files(path.parent):
        if sibling != path and sibling.stem == path.stem:
            text = read_file(sibling)
            if looks_like_pem(text):
                yield sibling, text


def _absent(folder: Path, wanted: str, unopened: int) -> NeedsPerson:
    return refused(
        f"no certificate with the thumbprint {wanted} lies in {folder}{_shut(unopened)}",
        "Put its .pfx or .pem there, or correct `thumbprint` or `password` in the tenant's file.",
    )


def _shut(unopened: int) -> str:
    if not unopened:
        return ""
    return f"; {unopened} of the store's files did not open with the configured password"
