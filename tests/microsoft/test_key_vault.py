"""Certificates in Key Vault: the real Azure SDK against the sandbox's vault, tokens verified.

A server of the tests stands in only for what no honest vault does.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.microsoft.identity import Enrolled, Pair, make_pair, write_tenant
from tests.microsoft.vault import Vault, vault_server
from trailkeeper.errors import NeedsPerson, Throttled, Transient
from trailkeeper.microsoft.certificates.key_vault import VaultSource
from trailkeeper.microsoft.certificates.loading import Slot, load_certificate

NOW = datetime.now(UTC)
PEM = "application/x-pem-file"
HOME = "vaulthome"


@dataclass
class Place:
    """The sandbox's vault, and the certificate of one test in it."""

    box: Sandbox
    enrolled: Enrolled

    def put(self, pair: Pair, **wish: Any) -> str:
        """A new version; its name."""
        control = self.box.control
        return control.put_in_vault(self.enrolled.name, pair.key_pem(), pair.pem, **wish)

    def name(self, more: str = "", name: str = "") -> None:
        """Make the tenant's file name it."""
        tenant = self.box.control.tenant(self.enrolled.name)
        vault, name = self.box["vault"], name or self.enrolled.name
        line = f'key_vault = {{ vault = "{vault}", name = "{name}"{more} }}'
        write_tenant(self.enrolled.folder, tenant, line)

    def asked(self, operation: str) -> int:
        """How often so far, in all tests: `secrets_get`, `keys_sign` …"""
        counted = self.box.control.counters()["by_tenant"].get(HOME, {})
        return int(counted.get(f"vault_{operation}", 0))

    def log_in(self) -> str:
        return self.enrolled.tokens().get(self.enrolled.tenant, self.enrolled.audience)


@pytest.fixture(scope="module")
def home(box: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an identity that opens the vault. One for all tests: the SDK remembers
    for a whole run which directory guards a vault."""
    identity = make_pair()
    tenant = box.control.create_tenant(HOME)
    box.control.register(HOME, identity.pem)
    box.control.set_vault_tenant(HOME)
    path = tmp_path_factory.mktemp("identity") / "identity.pem"
    path.write_bytes(identity.pem + identity.key_pem())
    return {
        "AZURE_TENANT_ID": tenant["tenant_id"],
        "AZURE_CLIENT_ID": tenant["client_id"],
        "AZURE_CLIENT_CERTIFICATE_PATH": str(path),
    }


@pytest.fixture
def place(
    box: Sandbox, enrolled: Enrolled, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    for name, value in home.items():
        monkeypatch.setenv(name, value)
    rights = box.control.tenant(HOME)["switches"]["vault_permissions"]
    yield Place(box, enrolled)
    box.control.alter(HOME, vault_permissions=rights)


@pytest.fixture
def strange_vault(place: Place, home: dict[str, str]) -> Iterator[Vault]:
    """A vault that can be made to misbehave, trusted beside the sandbox."""
    enrolled = place.enrolled
    resource, authority = (
        "https://vault.azure.net",
        f"{place.box['login']}/{home['AZURE_TENANT_ID']}",
    )
    with vault_server(resource, authority) as vault:
        assert vault.server is not None
        bundle = enrolled.folder / "both.pem"
        bundle.write_bytes(Path(place.box.ca).read_bytes() + vault.server.ca_bundle.read_bytes())
        main = enrolled.folder / "trailkeeper.toml"
        text = main.read_text().replace(str(place.box.ca), str(bundle))
        main.write_text("\n".join(x for x in text.splitlines() if not x.startswith("vault =")))
        tenant = place.box.control.tenant(enrolled.name)
        write_tenant(
            enrolled.folder, tenant, f'key_vault = {{ vault = "{vault.url}", name = "app" }}'
        )
        yield vault


@pytest.mark.parametrize("form", ["application/x-pkcs12", PEM])
def test_a_secret_logs_in(place: Place, form: str) -> None:
    """A certificate kept as a vault's secret, PKCS#12 or PEM, logs in through the real SDK."""
    place.put(place.enrolled.pair, content_type=form)
    place.name()
    assert place.log_in()


def test_a_key_that_stays_in_the_vault_logs_in(place: Place) -> None:
    """With sign_remotely each assertion is signed by the vault, and no secret is ever fetched."""
    place.put(place.enrolled.pair, exportable=False)
    place.name(", sign_remotely = true")
    signed, fetched = place.asked("keys_sign"), place.asked("secrets_get")
    enrolled, tokens = place.enrolled, place.enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    assert place.asked("keys_sign") == signed + 1
    tokens.drop(enrolled.tenant, enrolled.audience)
    tokens.get(enrolled.tenant, enrolled.audience)
    assert place.asked("keys_sign") == signed + 2
    assert place.asked("secrets_get") == fetched


@pytest.mark.parametrize("form", ["application/x-pkcs12", PEM])
def test_a_key_that_cannot_be_fetched_names_the_remedy(place: Place, form: str) -> None:
    """A secret without a private key is refused with the setting that helps."""
    place.put(place.enrolled.pair, exportable=False, content_type=form)
    place.name()
    with pytest.raises(NeedsPerson, match="not exportable") as caught:
        place.log_in()
    assert "sign_remotely = true" in caught.value.remedy


@pytest.mark.parametrize("remotely", [False, True])
def test_a_new_version_is_picked_up(place: Place, remotely: bool) -> None:
    """When Entra refuses the old key, the vault's newest version is used without a restart."""
    enrolled = place.enrolled
    place.put(enrolled.pair, exportable=not remotely)
    place.name(f", sign_remotely = {str(remotely).lower()}")
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    fresh = make_pair()
    place.box.control.register(enrolled.name, fresh.pem)
    place.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    place.put(fresh, exportable=not remotely)
    tokens.drop(enrolled.tenant, enrolled.audience)
    assert tokens.get(enrolled.tenant, enrolled.audience)
    held = tokens._certificates.current(enrolled.tenant, Slot.CERTIFICATE)
    assert held.thumbprint_sha1 == fresh.sha1
    assert tokens.thumbprint_in_use(enrolled.tenant) == fresh.sha1


def test_the_newest_version_is_asked_for_every_ten_minutes(place: Place) -> None:
    """The stamp changes with a new version, at most ten minutes later."""
    place.put(place.enrolled.pair)
    place.name()
    now = [0.0]
    settings, tenant = place.enrolled.settings, place.enrolled.tenant
    source = VaultSource(tenant.certificate, settings.cloud(tenant), monotonic=lambda: now[0])
    before = source.stamp()
    place.put(place.enrolled.pair)
    now[0] = 599.0
    assert source.stamp() == before
    now[0] = 600.0
    assert source.stamp() != before


@pytest.mark.parametrize("remotely", [False, True])
def test_a_pinned_version_stays(place: Place, remotely: bool) -> None:
    """A version named in the tenant's file is used although there is a newer one."""
    enrolled = place.enrolled
    version = place.put(enrolled.pair)
    place.put(make_pair())
    place.name(f', version = "{version}", sign_remotely = {str(remotely).lower()}')
    found = load_certificate(enrolled.tenant.certificate, enrolled.settings, NOW, enrolled.tenant)
    assert found.thumbprint_sha1 == enrolled.pair.sha1
    assert place.log_in()


def refuse(place: Place, trouble: str) -> None:
    control = place.box.control
    if trouble == "no role":
        control.alter(HOME, vault_permissions=[])
    elif trouble == "no such name":
        place.name(name="nobody")
    elif trouble == "disabled":
        control.enable_in_vault(place.enrolled.name, enabled=False)
    elif trouble == "throttled":
        control.set_fault("throttled", HOME, times=0, calls=["vault"], form="bare")
    else:
        control.set_fault("server_error", HOME, times=0, calls=["vault"], status=500)


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        ("no role", NeedsPerson, "Key Vault"),
        ("no such name", NeedsPerson, "name"),
        ("disabled", NeedsPerson, "Key Vault"),
        ("throttled", Throttled, "later"),
        ("down", Transient, "later"),
    ],
)
def test_a_vault_that_refuses_is_understood(
    place: Place, trouble: str, kind: type[Exception], words: str
) -> None:
    """Each refusal of a vault ends in one of our errors with its remedy."""
    place.put(place.enrolled.pair)
    place.name()
    refuse(place, trouble)
    with pytest.raises(kind) as caught:
        place.log_in()
    assert type(caught.value) is kind
    assert words in str(caught.value)


@pytest.mark.parametrize("right", ["keys/sign", "certificates/get"])
def test_signing_without_its_role_names_it(place: Place, right: str) -> None:
    """Remote signing needs two rights of the vault; the refusal names the roles that give them."""
    place.put(place.enrolled.pair, exportable=False)
    place.name(", sign_remotely = true")
    rights = place.box.control.tenant(HOME)["switches"]["vault_permissions"]
    place.box.control.alter(HOME, vault_permissions=[each for each in rights if each != right])
    with pytest.raises(NeedsPerson, match="refused access") as caught:
        place.log_in()
    assert "Key Vault Crypto User" in caught.value.remedy


def test_a_vault_that_asks_for_another_resource_gets_no_token(
    place: Place, strange_vault: Vault
) -> None:
    """A challenge that names Graph as its resource is refused: the token would open more."""
    strange_vault.resource = "https://graph.microsoft.com"
    with pytest.raises(NeedsPerson, match="another resource"):
        place.log_in()
    assert strange_vault.tokens == []


def test_without_an_identity_the_remedy_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An identity that Entra refuses ends in one sentence that names what to set."""
    monkeypatch.setenv("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000001")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    place.name()
    with pytest.raises(NeedsPerson, match="the login to key vault") as caught:
        place.log_in()
    assert "AZURE_CLIENT_ID" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "no base64!", base64.b64encode(b"junk").decode()])
def test_a_secret_that_is_no_certificate_is_refused(
    place: Place, strange_vault: Vault, text: str
) -> None:
    """A secret of another kind under that name is refused as no PKCS#12."""
    strange_vault.secret = text
    with pytest.raises(NeedsPerson, match="not a PKCS#12"):
        place.log_in()


def test_the_azure_sdk_is_imported_only_for_vaults() -> None:
    """A worker whose tenants have files never loads the Azure SDK."""
    words = (
        "import sys, trailkeeper.microsoft.identity.tokens;"
        "import trailkeeper.microsoft.certificates.loading;"
        "sys.exit(any(name.split('.')[0] == 'azure' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", words]).returncode == 0
