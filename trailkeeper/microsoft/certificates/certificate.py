"""One certificate with its private key: checked once, then able to sign a login.

The login is an assertion that we sign ourselves (PS256, `x5t#S256`), handed to msal as a callable.
Why not msal's own key forms: it takes PFX only from a path, and its in-memory PEM form always sends
`x5c`; and a key that stays in a vault can be used the same way (reference A, section 1.4;
docs/decisions/identity.md). Refusals follow reference A, section 5.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn, SupportsIndex
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from trailkeeper.errors import NeedsPerson

SMALLEST_KEY = 2048
UNUSABLE = "certificate"
"""the code of every refusal at load"""
ASSERTION_LIFETIME = timedelta(minutes=10)
"""what the documentation asks for, 5 to 10 minutes"""
NEW_CERTIFICATE = (
    "Make a new one with `trailkeeper certificate create`, upload its .cer to the app registration "
    "and configure it."
)

Sign = Callable[[bytes], bytes]
"""PS256 over the bytes given: RSASSA-PSS, SHA-256, salt of 32 bytes (RFC 7518, section 3.5)"""


class PrivateSigner:
    """An RSA key in memory, able to sign and nothing else: no repr, copy or pickle shows it."""

    __slots__ = ("_key",)

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def __call__(self, message: bytes) -> bytes:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return self._key.sign(message, pss, hashes.SHA256())

    def __repr__(self) -> str:
        return "PrivateSigner(…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a private key is neither copied nor pickled")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that may be used now, and the key that belongs to it."""

    leaf: x509.Certificate = field(repr=False, compare=False)
    thumbprint_sha1: str
    """40 upper-case hex digits of the DER, as portals show it"""
    thumbprint_sha256: str
    """64 upper-case hex digits of the DER"""
    not_before: datetime
    not_after: datetime
    subject: str
    source: str
    """where it came from, for sentences: a path or a vault's address, never a secret"""
    _sign: Sign = field(repr=False, compare=False)

    @property
    def der(self) -> bytes:
        """The public part, as uploaded to the app registration."""
        return self.leaf.public_bytes(serialization.Encoding.DER)

    def credential(
        self, client_id: str, audience: Callable[[], str], now: Callable[[], datetime]
    ) -> dict[str, Callable[[], str]]:
        """What msal takes as `client_credential`: a callable, asked only when a request goes out.

        `audience` gives the token endpoint; it is known only after msal's discovery.
        """
        return {"client_assertion": lambda: self.assertion(client_id, audience(), now())}

    def assertion(self, client_id: str, audience: str, now: datetime) -> str:
        """A signed JWT for one login (reference A, section 1.1); integer times, fresh `jti`."""
        issued = int(now.timestamp())
        header = {
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": _b64(bytes.fromhex(self.thumbprint_sha256)),
        }
        claims = {
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": str(uuid4()),
            "nbf": issued,
            "iat": issued,
            "exp": issued + int(ASSERTION_LIFETIME.total_seconds()),
        }
        text = f"{_b64(_compact(header))}.{_b64(_compact(claims))}"
        return f"{text}.{_b64(self._sign(text.encode('ascii')))}"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a certificate with its key is neither copied nor pickled")


def certificate(leaf: x509.Certificate, sign: Sign, source: str) -> Certificate:
    """Name the parts of a checked pair; use `checked_pair` or `checked_leaf` before."""
    sha1 = hashes.SHA1()  # noqa: S303 - how portals name a certificate; nothing rests on it
    return Certificate(
        leaf=leaf,
        thumbprint_sha1=leaf.fingerprint(sha1).hex().upper(),
        thumbprint_sha256=leaf.fingerprint(hashes.SHA256()).hex().upper(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        subject=leaf.subject.rfc4514_string(),
        source=source,
        _sign=sign,
    )


def from_pair(
    key: PrivateKeyTypes | None, certificates: list[x509.Certificate], source: str, now: datetime
) -> Certificate:
    """The certificate among `certificates` (leaf and chain, any order) that matches `key`.

    Raises `NeedsPerson` for: no key, no certificate, an EC key, a short key, no match, outside its
    validity at `now`.
    """
    if key is None:
        raise refused(f"{source} holds no private key", "Export it again with its private key.")
    checked = _rsa(key, source)
    if not certificates:
        raise refused(f"{source} holds no certificate", "Export it again with its certificate.")
    public = checked.public_key()
    leaf = next((c for c in certificates if c.public_key() == public), None)
    if leaf is None:
        raise refused(
            f"the private key in {source} does not belong to its certificate",
            "Export certificate and key together once more.",
        )
    check_validity(leaf, source, now)
    return certificate(leaf, PrivateSigner(checked), source)


def from_keys(
    keys: list[PrivateKeyTypes], certificates: list[x509.Certificate], source: str, now: datetime
) -> Certificate:
    """As `from_pair`, of several keys: the pair that is valid longest, whatever stands first.

    A file that was only added to holds the old pair before the new one.
    """
    usable: list[Certificate] = []
    refusal: NeedsPerson | None = None
    for key in keys:
        for leaf in certificates:
            try:
                usable.append(from_pair(key, [leaf], source, now))
            except NeedsPerson as error:
                refusal = refusal or error
    if usable:
        return max(usable, key=lambda each: each.not_after)
    if len(keys) == 1 or refusal is None:
        return from_pair(keys[0] if keys else None, certificates, source, now)
    for key in keys:
        if any(leaf.public_key() == key.public_key() for leaf in certificates):
            return from_pair(key, certificates, source, now)  # says what is wrong with that pair
    raise refusal


def check_leaf(leaf: x509.Certificate, source: str, now: datetime) -> None:
    """Raises `NeedsPerson` unless the certificate's own key and dates can be used for a login."""
    check_public_key(leaf.public_key(), source)
    check_validity(leaf, source, now)


def check_public_key(key: object, source: str) -> None:
    """Raises `NeedsPerson` unless `key` is RSA of at least 2048 bits."""
    if not isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        raise refused(
            f"{source} has a {_kind(key)} key; Entra takes only RSA keys for a login",
            NEW_CERTIFICATE,
        )
    if key.key_size < SMALLEST_KEY:
        raise refused(
            f"{source} has an RSA key of {key.key_size} bits; at least {SMALLEST_KEY} are needed",
            NEW_CERTIFICATE,
        )


def check_validity(leaf: x509.Certificate, source: str, now: datetime) -> None:
    """Raises `NeedsPerson` unless `now` lies within the certificate's dates."""
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begins:
        raise refused(
            f"the certificate in {source} is not valid before {begins:%Y-%m-%d %H:%M} UTC",
            "Wait until then, or check this machine's clock.",
        )
    if now >= ends:
        raise refused(
            f"the certificate in {source} expired on {ends:%Y-%m-%d %H:%M} UTC", NEW_CERTIFICATE
        )


def _rsa(key: PrivateKeyTypes, source: str) -> rsa.RSAPrivateKey:
    check_public_key(key, source)
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - check_public_key has just said so
    return key


def _kind(key: object) -> str:
    name = type(key).__name__.lower()
    for part, kind in (("ec", "elliptic-curve"), ("ed", "Edwards-curve"), ("dsa", "DSA")):
        if name.startswith((part, f"_{part}")):
            return kind
    return "foreign"


def refused(summary: str, remedy: str) -> NeedsPerson:
    """What every certificate that cannot be used ends in: the tenant waits for a person."""
    return NeedsPerson(summary, remedy, UNUSABLE)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
