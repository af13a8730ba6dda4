"""Tokens at rest: AES-256-GCM under a key that has a name, so that keys can be changed.

Sealed form: b"TK1" + key id (8 bytes) + nonce (12 bytes) + ciphertext and tag. The header and the
owner (which tenant, which client) are authenticated: a value moved to another tenant's key in Redis
does not open.
"""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trailkeeper.errors import ConfigurationError
from trailkeeper.settings import Settings
from trailkeeper.settings.key_file import KEY_SIZE, decoded_key, key_file

_MAGIC = b"TK1"
_HEADER = len(_MAGIC) + 8
_NONCE = 12
KEY_FILE = "token.key"


class TokenKeys:
    """The key that seals and those that still open; never shown."""

    __slots__ = ("_by_id", "_current")

    def __init__(self, current: bytes, *previous: bytes) -> None:
        """32 bytes each. Raises `ConfigurationError` for another length."""
        for key in (current, *previous):
            if len(key) != KEY_SIZE:
                raise ConfigurationError(
                    f"a token key has {len(key)} bytes instead of {KEY_SIZE}",
                    "Make one with `openssl rand -base64 32`.",
                )
        self._current = _key_id(current)
        self._by_id = {_key_id(key): AESGCM(key) for key in (*previous, current)}

    def seal(self, plain: bytes, owner: str) -> bytes:
        header = _MAGIC + self._current
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._by_id[self._current].encrypt(nonce, plain, header + owner.encode())
        return header + nonce + sealed

    def open(self, sealed: bytes, owner: str) -> bytes | None:
        """The plain bytes; None when no key fits, the owner differs or a bit was changed."""
        header, nonce = sealed[:_HEADER], sealed[_HEADER : _HEADER + _NONCE]
        key = self._by_id.get(header[len(_MAGIC) :])
        if not header.startswith(_MAGIC) or key is None or len(nonce) != _NONCE:
            return None
        try:
            return key.decrypt(nonce, sealed[_HEADER + _NONCE :], header + owner.encode())
        except InvalidTag:
            return None

    def __repr__(self) -> str:
        return f"TokenKeys(current={self._current.hex()})"


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"trailkeeper token key " + key).digest()[:8]


def token_keys(settings: Settings) -> TokenKeys:
    """The configured keys, or the one in the data folder, made at the first call.

    Raises `ConfigurationError` for a key that is no base64 of 32 bytes, `Unavailable` when the data
    folder cannot be written.
    """
    service = settings.service
    if service.token_key is None:
        current = key_file(service.data / KEY_FILE, "service.token_key")
    else:
        current = decoded_key(settings.secret(service.token_key), "service.token_key")
    if service.token_key_previous is None:
        return TokenKeys(current)
    previous = decoded_key(
        settings.secret(service.token_key_previous), "service.token_key_previous"
    )
    return TokenKeys(current, previous)
