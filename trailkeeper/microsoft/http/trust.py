"""Whose signature under a server's TLS certificate is believed."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import certifi
import truststore

from trailkeeper.errors import ConfigurationError
from trailkeeper.settings.environment import variable

_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def trusting(ca_bundle: Path | None) -> ssl.SSLContext:
    """Verifies every server against `ca_bundle`, else the environment's bundle
    (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE), else the system's store.

    Raises `ConfigurationError` when a bundle is not a file of certificates.
    """
    if ca_bundle is not None:
        return _of_bundle(ca_bundle, f"ca_bundle {ca_bundle}", "ca_bundle of the cloud")
    for name in _VARIABLES:
        if value := variable(name):
            return _of_bundle(Path(value), f"{name}={value}", name)
    return _of_system()


def _of_bundle(path: Path, what: str, key: str) -> ssl.SSLContext:
    # Not `create_default_context`: from Python 3.13 it refuses the authorities of many inspecting
    # proxies, which lack an extension that RFC 5280 asks for.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if path.is_dir():
            context.load_verify_locations(capath=str(path))
        else:
            context.load_verify_locations(cafile=str(path))
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"{what} cannot be read as certificates in PEM form",
            f"Point {key} to a PEM file of the authorities to trust.",
        ) from None
    return context


def _of_system() -> ssl.SSLContext:
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform == "linux" and not _openssl_finds_a_store():
        context.load_verify_locations(cafile=certifi.where())  # a container without authorities
    return context


def _openssl_finds_a_store() -> bool:
    """OpenSSL's defaults, SSL_CERT_FILE and SSL_CERT_DIR included."""
    found = ssl.get_default_verify_paths()
    if found.cafile:
        return True
    return bool(found.capath) and any(Path(str(found.capath)).iterdir())
