from __future__ import annotations

import base64
import copy
import json
import pickle
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.microsoft.identity import Pair, make_pair
from trailkeeper.errors import ConfigurationError, NeedsPerson
from trailkeeper.microsoft.certificates.certificate import Certificate
from trailkeeper.microsoft.certificates.files import from_pem, from_pkcs12
from trailkeeper.microsoft.certificates.loading import load_certificate
from trailkeeper.settings import CertificateSettings, Settings

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(folder=tmp_path)


def opened(content: bytes, password: str | None = None) -> Certificate:
    return from_pkcs12(content, password, "app.pfx", NOW)


def test_a_pfx_gives_its_certificate(pair: Pair) -> None:
    """A PFX with its password gives thumbprints, dates and subject of the leaf."""
    found = opened(pair.pfx("secret"), "secret")
    assert (found.thumbprint_sha1, found.thumbprint_sha256) == (pair.sha1, pair.sha256)
    assert found.not_after == pair.certificate.not_valid_after_utc
    assert found.subject == "CN=trailkeeper test"
    assert found.der == pair.certificate.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_the_assertion_is_a_signed_ps256_jwt(bits: int) -> None:
    """Any RSA key of 2048 to 4096 bits signs an assertion that a JWT library of others accepts."""
    pair = make_pair(bits=bits)
    text = opened(pair.pfx()).assertion("client", "https://login.example/token", datetime.now(UTC))
    header = jwt.get_unverified_header(text)
    said = jwt.decode(
        text, pair.certificate.public_key(), ["PS256"], audience="https://login.example/token"
    )
    digest = base64.urlsafe_b64decode(header["x5t#S256"] + "=")
    assert (header["alg"], digest.hex().upper()) == ("PS256", pair.sha256)
    assert "x5c" not in header
    assert said["iss"] == said["sub"] == "client"
    assert type(said["exp"]) is int
    assert said["exp"] - said["nbf"] == 600


def test_each_assertion_is_its_own(pair: Pair) -> None:
    """Two assertions never share their `jti`."""
    found = opened(pair.pfx())
    ids = {
        jwt.decode(found.assertion("c", "a", NOW), options={"verify_signature": False})["jti"]
        for _ in range(3)
    }
    assert len(ids) == 3


def test_an_empty_password_opens_without_being_named(pair: Pair, tmp_path: Path) -> None:
    """A PFX locked with the empty password, as Windows exports it, needs no `password`."""
    openssl = shutil.which("openssl")
    if openssl is None:  # our own library writes no PFX with an empty password
        pytest.skip("openssl is not installed")
    (tmp_path / "both.pem").write_bytes(pair.key_pem() + pair.pem)
    words = ["pkcs12", "-export", "-in", "both.pem", "-out", "app.pfx", "-passout", "pass:"]
    subprocess.run([openssl, *words], cwd=tmp_path, check=True)
    assert opened((tmp_path / "app.pfx").read_bytes()).thumbprint_sha1 == pair.sha1


def test_the_leaf_is_the_certificate_of_the_key() -> None:
    """In a chain the leaf is the one that matches the private key, wherever it stands."""
    root = make_pair(name="root")
    middle = make_pair(name="middle", issued_by=root)
    leaf = make_pair(name="leaf", issued_by=middle)
    assert opened(leaf.pfx("x"), "x").subject == "CN=leaf"
    text = root.pem + leaf.key_pem() + middle.pem + leaf.pem
    assert from_pem(text, None, "app.pem", NOW).subject == "CN=leaf"


def test_an_encrypted_pem_opens_with_its_password(pair: Pair) -> None:
    """A PEM whose key is encrypted opens with the password, and only with it."""
    text = pair.pem + pair.key_pem("secret")
    assert from_pem(text, "secret", "app.pem", NOW).thumbprint_sha1 == pair.sha1
    with pytest.raises(NeedsPerson, match="is wrong"):
        from_pem(text, "other", "app.pem", NOW)
    with pytest.raises(NeedsPerson, match="needs a password"):
        from_pem(text, None, "app.pem", NOW)


def test_a_password_for_a_plain_pem_is_no_harm(pair: Pair) -> None:
    """A key that is not encrypted opens although a password is configured."""
    assert from_pem(pair.pem + pair.key_pem(), "extra", "app.pem", NOW).thumbprint_sha1 == pair.sha1


def _ec() -> Pair:
    return make_pair(key=ec.generate_private_key(ec.SECP256R1()))


def _mismatched() -> bytes:
    pair, other = make_pair(), make_pair()
    return pair.pem + other.key_pem()


REFUSALS = {
    "missing password": (lambda: make_pair().pfx("secret"), None, "needs a password"),
    "wrong password": (lambda: make_pair().pfx("secret"), "other", "password .* is wrong"),
    "no key": (lambda: make_pair().pfx("x", with_key=False), "x", "holds no private key"),
    "elliptic curve": (lambda: _ec().pfx("x"), "x", "elliptic-curve key"),
    "short key": (lambda: make_pair(bits=1024).pfx("x"), "x", "1024 bits"),
    "not yet": (
        lambda: make_pair(begins=timedelta(days=1)).pfx("x"),
        "x",
        "is not valid before",
    ),
    "expired": (
        lambda: make_pair(begins=timedelta(days=-9), ends=timedelta(days=-1)).pfx("x"),
        "x",
        "expired on",
    ),
    "empty": (lambda: b"", "x", "not a PKCS#12"),
    "text": (lambda: b"just words", "x", "not a PKCS#12"),
    "pem": (lambda: make_pair().pem, "x", "not a PKCS#12"),
    "public part": (
        lambda: make_pair().certificate.public_bytes(serialization.Encoding.DER),
        "x",
        "not a PKCS#12",
    ),
    "cut": (lambda: make_pair().pfx("x")[:-200], "x", "or the file is damaged"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_pfx_that_cannot_be_used_says_why(case: str) -> None:
    """Each PFX that cannot be used needs a person, in one sentence and with a remedy."""
    make, password, words = REFUSALS[case]
    with pytest.raises(NeedsPerson, match=words) as caught:
        opened(make(), password)
    assert caught.value.remedy
    assert caught.value.__cause__ is None
    assert password is None or f"'{password}'" not in str(caught.value)


def test_a_key_that_does_not_belong_is_refused() -> None:
    """A PEM with somebody else's key is refused."""
    with pytest.raises(NeedsPerson, match="does not belong"):
        from_pem(_mismatched(), None, "app.pem", NOW)


def test_other_keys_are_refused() -> None:
    """An Edwards-curve key is refused by its name."""
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(NeedsPerson, match="Edwards-curve"):
        from_pem(make_pair().pem + key, None, "app.pem", NOW)


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_damaged_pem_is_refused(text: bytes) -> None:
    """A PEM whose blocks cannot be read needs a person and raises nothing else."""
    with pytest.raises(NeedsPerson):
        from_pem(text, "password", "app.pem", NOW)


def test_an_absent_file_or_secret_is_a_matter_of_configuration(settings: Settings) -> None:
    """What the configuration names and is not there is a configuration error (exit code 2)."""
    with pytest.raises(ConfigurationError, match=r"absent\.pfx"):
        load_certificate(CertificateSettings(pfx=Path("absent.pfx")), settings, NOW)
    (settings.folder / "app.pfx").write_bytes(make_pair().pfx("x"))
    chosen = CertificateSettings(pfx=Path("app.pfx"), password="env:TRAILKEEPER_TEST_ABSENT")
    with pytest.raises(ConfigurationError, match="TRAILKEEPER_TEST_ABSENT"):
        load_certificate(chosen, settings, NOW)


def test_a_pfx_path_is_relative_to_the_configuration(
    settings: Settings, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pfx` is looked up in the configuration folder, with the password from the environment."""
    monkeypatch.setenv("TRAILKEEPER_TEST_PFX", "p\u00e4ssword")
    (settings.folder / "app.pfx").write_bytes(pair.pfx("p\u00e4ssword"))
    chosen = CertificateSettings(pfx=Path("app.pfx"), password="env:TRAILKEEPER_TEST_PFX")
    assert load_certificate(chosen, settings, NOW).thumbprint_sha1 == pair.sha1


def test_the_key_is_neither_shown_copied_nor_pickled(pair: Pair) -> None:
    """No repr, pickle, copy or JSON of a certificate gives its private key away."""
    found = opened(pair.pfx())
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    secret = str(pair.key.private_numbers().d)
    assert secret not in repr(found)
    assert "key" not in repr(found).lower()
    for escape in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            escape(found)
