"""A key that nobody was asked for: made in the data folder at the first start, mode 0600."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import tempfile
from pathlib import Path

from trailkeeper.errors import ConfigurationError, Unavailable

KEY_SIZE = 32


def decoded_key(text: str, name: str) -> bytes:
    """32 bytes out of base64. Raises `ConfigurationError` that names the key and not its text."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise ConfigurationError(
            f"{name} is not {KEY_SIZE} bytes in base64", "Make one with `openssl rand -base64 32`."
        )
    return key


def key_file(path: Path, setting: str) -> bytes:
    """Read the key file, or make it: linked into place whole, so that one of many starters wins.

    Raises `Unavailable` when it cannot be read or made; `setting` names what to write instead.
    """
    try:
        if not path.exists():
            _make(path)
        return decoded_key(path.read_text(encoding="ascii"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "it is not text").lower()
        raise Unavailable(
            f"the key file {path} cannot be used: {reason}",
            f"Make the data folder writable for this user, or set {setting}.",
        ) from None


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}-") as file:  # 0600
        file.write(base64.b64encode(secrets.token_bytes(KEY_SIZE)))
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return  # another process was first: its key is the key
