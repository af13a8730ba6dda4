from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.microsoft.identity import Pair, make_pair
from trailkeeper.errors import ConfigurationError, NeedsPerson
from trailkeeper.microsoft.certificates.store import find, normal_thumbprint

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder with strangers in it: other pairs, a locked PFX, a text, a folder."""
    (tmp_path / "other.pfx").write_bytes(make_pair().pfx())
    (tmp_path / "locked.pfx").write_bytes(make_pair().pfx("not yours"))
    (tmp_path / "other.pem").write_bytes(make_pair().pem)
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    (tmp_path / "empty.pfx").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not a certificate")
    return tmp_path


@pytest.mark.parametrize("form", ["pfx", "pfx without password", "pem", "pem encrypted", "beside"])
def test_a_thumbprint_finds_every_form(store: Path, pair: Pair, form: str) -> None:
    """PFX and PEM, locked or not, key inside or beside, are found among strangers."""
    if form == "pfx":
        (store / "mine.pfx").write_bytes(pair.pfx("secret"))
    elif form == "pfx without password":
        (store / "mine.p12").write_bytes(pair.pfx())
    elif form == "pem":
        (store / "mine.pem").write_bytes(pair.key_pem() + pair.pem)
    elif form == "pem encrypted":
        (store / "mine.pem").write_bytes(pair.pem + pair.key_pem("secret"))
    else:
        (store / "mine.crt").write_bytes(pair.pem)
        (store / "mine.key").write_bytes(pair.key_pem("secret"))
    password = None if form in ("pfx without password", "pem") else "secret"
    for thumbprint in (pair.sha1, pair.sha256):
        assert find(store, thumbprint, password, NOW).thumbprint_sha256 == pair.sha256


def test_thumbprints_are_read_as_people_paste_them(store: Path, pair: Pair) -> None:
    """Case, blanks, colons and the invisible mark of Windows dialogs make no difference."""
    (store / "mine.pfx").write_bytes(pair.pfx())
    plain = pair.sha1
    pairs = [plain[i : i + 2] for i in range(0, 40, 2)]
    for text in (
        plain.lower(),
        ":".join(pairs),
        "\u200e" + " ".join(pairs).lower(),
        "-".join(pairs),
    ):
        assert find(store, text, None, NOW).thumbprint_sha1 == pair.sha1


@pytest.mark.parametrize("text", ["", "abc", "0" * 39, "g" * 40, "0" * 64 + "1", "\u0660" * 40])
def test_what_is_no_thumbprint_is_refused(text: str) -> None:
    """A text that is not 40 or 64 hex digits is a configuration error."""
    with pytest.raises(ConfigurationError, match="not a certificate's thumbprint"):
        normal_thumbprint(text)


def test_an_unknown_thumbprint_names_what_stayed_shut(store: Path) -> None:
    """When nothing matches, the sentence says how many files the password did not open."""
    with pytest.raises(NeedsPerson, match=r"no certificate .* did not open") as caught:
        find(store, "A" * 40, "password-canary", NOW)
    assert "password-canary" not in str(caught.value)


def test_a_certificate_without_its_key_is_refused(store: Path, pair: Pair) -> None:
    """A public part alone is found and refused, with the remedy."""
    der = pair.certificate.public_bytes(serialization.Encoding.DER)
    (store / "mine.cer").write_bytes(der)
    with pytest.raises(NeedsPerson, match="has no private key with it"):
        find(store, pair.sha1, None, NOW)


@pytest.mark.parametrize("name", ["mine.pfx", "other name.pfx", "a first.pfx"])
def test_the_public_part_beside_a_pfx_hides_nothing(store: Path, pair: Pair, name: str) -> None:
    """A .cer in the store, as `certificate create` writes it, does not hide the .pfx."""
    (store / "mine.cer").write_bytes(pair.certificate.public_bytes(serialization.Encoding.DER))
    (store / name).write_bytes(pair.pfx("secret"))
    assert find(store, pair.sha1, "secret", NOW).source == str(store / name)
    with pytest.raises(NeedsPerson, match=r"no private key.* did not open with the configured"):
        find(store, pair.sha1, "wrong", NOW)


def test_a_foreign_key_beside_the_certificate_is_refused(store: Path, pair: Pair) -> None:
    """A key beside the certificate that does not match it is refused."""
    (store / "mine.pem").write_bytes(pair.pem)
    (store / "mine.key").write_bytes(make_pair().key_pem())
    with pytest.raises(NeedsPerson, match="does not belong"):
        find(store, pair.sha1, None, NOW)


def test_an_absent_folder_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """A certificate store that is not there is a configuration error."""
    with pytest.raises(ConfigurationError, match="certificate store"):
        find(tmp_path / "absent", "A" * 40, None, NOW)


def test_a_replaced_file_is_seen(store: Path, pair: Pair) -> None:
    """A file that is replaced under the same name is opened again."""
    (store / "mine.pfx").write_bytes(make_pair().pfx("x"))
    with pytest.raises(NeedsPerson):
        find(store, pair.sha1, "x", NOW)
    fresh = store / "fresh"
    fresh.write_bytes(pair.pfx("x"))
    fresh.replace(store / "mine.pfx")
    assert find(store, pair.sha1, "x", NOW).thumbprint_sha1 == pair.sha1
