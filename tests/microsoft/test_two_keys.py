"""A PFX or PEM that was only added to: the old pair first, the new one behind it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from trailkeeper.errors import NeedsPerson
from trailkeeper.microsoft.certificates.files import from_pem, from_pkcs12

NOW = datetime(2026, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)
PASSWORD = "two-keys"
Pair = tuple[rsa.RSAPrivateKey, x509.Certificate]


def pair(name: str, begins: timedelta, ends: timedelta) -> Pair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


@pytest.fixture(scope="module")
def old() -> Pair:
    return pair("old", -400 * DAY, -DAY)


@pytest.fixture(scope="module")
def new() -> Pair:
    return pair("new", -DAY, 90 * DAY)


def pem(*pairs: Pair) -> bytes:
    keys = [
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key, _ in pairs
    ]
    return b"".join([*keys, *(leaf.public_bytes(Encoding.PEM) for _, leaf in pairs)])


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else bytes([0x84]) + len(body).to_bytes(4, "big")
    return bytes([tag]) + size + body


def elements(text: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(text):
        begin, size = at + 2, text[at + 1]
        if size >= 128:
            begin += size - 128
            size = int.from_bytes(text[at + 2 : begin], "big")
        found.append(text[at : begin + size])
        at = begin + size
    return found


def body(element: bytes) -> bytes:
    skipped = element[1] - 128 if element[1] >= 128 else 0
    return element[2 + skipped :]


def pfx(*pairs: Pair) -> bytes:
    """One PFX with all pairs: the parts of several, in order, under one new MAC."""
    data = bytes.fromhex("06092a864886f70d010701")
    infos = b""
    for key, leaf in pairs:
        one = pkcs12.serialize_key_and_certificates(
            leaf.subject.rfc4514_string().encode(), key, leaf, None,
            BestAvailableEncryption(PASSWORD.encode()),
        )  # fmt: skip
        safe = elements(body(elements(body(one))[1]))[1]
        infos += body(body(body(safe)))
    content = der(0x30, infos)
    salt = b"saltsalt"
    key = mac_key(PASSWORD, salt, 2048)
    digest = hmac.new(key, content, hashlib.sha256).digest()
    sha256 = der(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00")
    mac = der(0x30, der(0x30, sha256, der(4, digest)), der(4, salt), der(2, b"\x08\x00"))
    return der(0x30, b"\x02\x01\x03", der(0x30, data, der(0xA0, der(4, content))), mac)


def mac_key(password: str, salt: bytes, rounds: int) -> bytes:
    """RFC 7292, appendix B.2, with SHA-256: one block is enough."""
    text = password.encode("utf-16-be") + b"\0\0"
    filled = b"".join((p * (64 // len(p) + 1))[: 64 * -(-len(p) // 64)] for p in (salt, text))
    found = b"\x03" * 64 + filled
    for _ in range(rounds):
        found = hashlib.sha256(found).digest()
    return found


Opened = Callable[..., str]


def by_pem(*pairs: Pair) -> str:
    return from_pem(pem(*pairs), None, "x.pem", NOW).subject


def by_pfx(*pairs: Pair) -> str:
    return from_pkcs12(pfx(*pairs), PASSWORD, "x.pfx", NOW).subject


@pytest.mark.parametrize("opened", [by_pem, by_pfx])
def test_the_valid_pair_is_taken_wherever_it_stands(opened: Opened, old: Pair, new: Pair) -> None:
    """Old before new and new before old; of two valid ones the one that is valid longest."""
    longest = pair("longest", -DAY, 180 * DAY)
    assert opened(old, new) == "CN=new"
    assert opened(new, old) == "CN=new"
    assert opened(old, new, longest) == "CN=longest"


@pytest.mark.parametrize("opened", [by_pem, by_pfx])
def test_where_no_pair_is_valid_the_reason_is_the_pairs_own(opened: Opened, old: Pair) -> None:
    """Two expired pairs have expired; they do not lack a key."""
    with pytest.raises(NeedsPerson, match="expired"):
        opened(old, pair("older", -400 * DAY, -2 * DAY))
