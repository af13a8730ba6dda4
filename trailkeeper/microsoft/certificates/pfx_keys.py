"""Every private key of a PFX: `cryptography` opens one as OpenSSL does, and gives the first key.

Only the outer layers are walked here (RFC 7292, section 4): each key bag is itself a PKCS#8 text,
which `cryptography` decrypts. What is not written so (BER lengths, keys inside an encrypted part)
is passed over: the first key is there without us.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key

_DATA = bytes.fromhex("2a864886f70d010701")
_KEY_BAG = bytes.fromhex("2a864886f70d010c0a0101")
_SHROUDED_KEY_BAG = bytes.fromhex("2a864886f70d010c0a0102")
_MOST_KEYS = 20
"""each costs its key derivation"""


def pfx_keys(content: bytes, password: str | None) -> list[PrivateKeyTypes]:
    """The keys that open with the password, in the file's order; empty when it is not plain DER."""
    try:
        bags = list(_key_bags(content))[:_MOST_KEYS]
    except (ValueError, IndexError):
        return []
    return [key for shrouded, bag in bags if (key := _opened(bag, password if shrouded else None))]


def _opened(bag: bytes, password: str | None) -> PrivateKeyTypes | None:
    secret = password.encode("utf-8") if password is not None else None
    try:
        return load_der_private_key(bag, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _key_bags(content: bytes) -> Iterator[tuple[bool, bytes]]:
    (pfx,) = _parts(content)
    _, safe = list(_parts(_body(pfx)))[:2]
    (safes,) = _parts(_data(safe))
    for info in _parts(_body(safes)):
        for contents in _parts(_data(info)):
            for bag in _parts(_body(contents)):
                kind, value = list(_parts(_body(bag)))[:2]
                if _body(kind) in (_KEY_BAG, _SHROUDED_KEY_BAG):
                    yield _body(kind) == _SHROUDED_KEY_BAG, _body(value)


def _data(info: bytes) -> bytes:
    """What a ContentInfo of plain data holds; empty for an encrypted one."""
    kind, value = list(_parts(_body(info)))[:2]
    return _body(_body(value)) if _body(kind) == _DATA else b""


def _parts(text: bytes) -> Iterator[bytes]:
    """The elements that stand one behind the other. Raises `ValueError` for what is not DER."""
    at = 0
    while at < len(text):
        begin, length = _measured(text, at)
        if begin + length > len(text):
            raise ValueError("an element is longer than what holds it")
        yield text[at : begin + length]
        at = begin + length


def _body(element: bytes) -> bytes:
    begin, length = _measured(element, 0)
    return element[begin : begin + length]


def _measured(text: bytes, at: int) -> tuple[int, int]:
    """Where the body of the element at `at` begins, and its length."""
    first = text[at + 1]
    if first < 0x80:
        return at + 2, first
    size = first & 0x7F
    if not 1 <= size <= 4:
        raise ValueError("an indefinite or absurd length")
    return at + 2 + size, int.from_bytes(text[at + 2 : at + 2 + size], "big")
