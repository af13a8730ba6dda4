from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.microsoft.identity import Enrolled
from trailkeeper.errors import ConfigurationError, UsageError
from trailkeeper.microsoft.certificates.create import certificate_create
from trailkeeper.microsoft.certificates.expiry import days_left, warning_due
from trailkeeper.microsoft.certificates.files import from_pkcs12

NOW = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)


def test_a_new_pair_is_made_for_a_login(tmp_path: Path) -> None:
    """The pair is RSA 3072, self-signed, for client authentication, backdated, good for a year."""
    made = certificate_create(tmp_path, "trailkeeper", "secret", NOW)
    leaf = x509.load_der_x509_certificate(made.cer.read_bytes())
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    key_usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert key_usage.digital_signature
    assert not key_usage.key_encipherment
    assert leaf.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(minutes=15)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=365)
    found = from_pkcs12(made.pfx.read_bytes(), "secret", "pfx", NOW)
    assert found.leaf.public_key() == leaf.public_key()
    assert found.thumbprint_sha1 == made.thumbprint_sha1
    assert made.key_credential == {
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": base64.b64encode(made.cer.read_bytes()).decode(),
        "displayName": "CN=trailkeeper",
        "startDateTime": "2026-11-22T11:45:00Z",
        "endDateTime": "2027-11-22T11:45:00Z",
    }


def test_only_this_user_can_read_what_is_written(tmp_path: Path) -> None:
    """Both files are 0600."""
    made = certificate_create(tmp_path, "a", "secret", NOW, bits=2048)
    for path in (made.pfx, made.cer):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("existing", ["a.pfx", "a.cer"])
def test_nothing_is_overwritten(tmp_path: Path, existing: str) -> None:
    """When one of the files exists, both stay as they were and nothing new appears."""
    (tmp_path / existing).write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        certificate_create(tmp_path, "a", "secret", NOW, bits=2048)
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "../a"},
        {"name": ""},
        {"password": ""},
        {"bits": 1024},
        {"lifetime": timedelta()},
        {"lifetime": timedelta(days=4000)},
    ],
)
def test_a_wish_that_will_not_do_is_refused(tmp_path: Path, wish: dict[str, object]) -> None:
    """A path for a name, no password, a weak key, a silly lifetime: each is a usage error."""
    words: dict[str, object] = {"name": "a", "password": "secret", "now": NOW, **wish}
    with pytest.raises(UsageError):
        certificate_create(tmp_path, **words)  # type: ignore[arg-type]  # wishes of any type
    assert list(tmp_path.iterdir()) == []


def test_an_absent_folder_is_said(tmp_path: Path) -> None:
    """A folder that is not there is refused with its name."""
    with pytest.raises(ConfigurationError, match="absent"):
        certificate_create(tmp_path / "absent", "a", "secret", NOW, bits=2048)


def test_a_created_certificate_logs_in(enrolled: Enrolled) -> None:
    """What `certificate create` writes logs in once its .cer is registered."""
    made = certificate_create(enrolled.folder, "made", "pfx-password", datetime.now(UTC))
    enrolled.box.control.register(enrolled.name, made.cer.read_bytes())
    enrolled.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    (enrolled.folder / "password").write_text("pfx-password")
    made.pfx.replace(enrolled.folder / "app.pfx")
    assert enrolled.tokens().get(enrolled.tenant, enrolled.audience)


@pytest.mark.parametrize(
    ("days", "due"), [(61, None), (60, 60), (31, 60), (30, 30), (8, 14), (7, 7), (1, 1), (-3, 1)]
)
def test_the_end_is_enqueued_in_steps(tmp_path: Path, days: int, due: int | None) -> None:
    """A warning is due from 60, 30, 14, 7 and 1 days before the end."""
    made = certificate_create(tmp_path, "a", "secret", NOW, bits=2048)
    found = from_pkcs12(made.pfx.read_bytes(), "secret", "pfx", NOW)
    then = made.not_after - timedelta(days=days)
    assert (warning_due(found, then), days_left(found, then)) == (due, days)
