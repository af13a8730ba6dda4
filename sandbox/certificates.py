"""The sandbox's own certificate authority, its TLS certificate and its token signing key."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_NAMES = ("localhost", "127.0.0.1", "::1", "*.vault.localhost")


def write_private(path: Path, content: bytes) -> None:
    """Create or replace a file that only its owner may read, in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    draft.replace(path)


def authority(folder: Path) -> trustme.CA:
    """The CA of this folder: made once, so that clients' `ca.pem` survives a restart."""
    public, private = folder / "ca.pem", folder / "ca-key.pem"
    if public.exists() and private.exists():
        return trustme.CA.from_pem(public.read_bytes(), private.read_bytes())
    made = trustme.CA(organization_name="Sandbox", organization_unit_name="Loopback only")
    public.write_bytes(made.cert_pem.bytes())
    write_private(private, made.private_key_pem.bytes())
    return made


def server_context(made: trustme.CA) -> ssl.SSLContext:
    """TLS for every site, valid for loopback names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert(*_NAMES).configure_cert(context)
    return context


def signing_key(folder: Path) -> rsa.RSAPrivateKey:
    """The key of this folder's login site; tokens outlive a restart, as the real ones do."""
    path = folder / "signing-key.pem"
    if path.exists():
        key = load_pem_private_key(path.read_bytes(), None)
        if isinstance(key, rsa.RSAPrivateKey):
            return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(path, pem)
    return key
