from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.microsoft.identity import Enrolled, Pair, make_pair, write_tenant
from tests.microsoft.vault import Vault, Version, vault_server
from trailkeeper.errors import NeedsPerson, Throttled, Transient
from trailkeeper.microsoft.certificates import Slot, load_certificate
from trailkeeper.microsoft.key_vault import VaultSource
from trailkeeper.microsoft.tokens import claims

NOW = datetime.now(UTC)


@pytest.fixture
def vault(
    box: Sandbox,
    enrolled: Enrolled,
    fresh_name: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A vault that the service's identity opens: a certificate of its own in another tenant."""
    identity = make_pair()
    home = box.control.create_tenant(fresh_name())
    box.control.register(home["name"], identity.pem)
    path = tmp_path_factory.mktemp("identity") / "identity.pem"
    path.write_bytes(identity.pem + identity.key_pem())
    monkeypatch.setenv("AZURE_TENANT_ID", home["tenant_id"])
    monkeypatch.setenv("AZURE_CLIENT_ID", home["client_id"])
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(path))
    with vault_server("https://vault.azure.net", f"{box['login']}/{home['tenant_id']}") as vault:
        bundle = enrolled.folder / "both.pem"
        bundle.write_bytes(Path(box.ca).read_bytes() + vault.server.ca_bundle.read_bytes())  # type: ignore[union-attr]  # it runs
        main = enrolled.folder / "trailkeeper.toml"
        main.write_text(main.read_text().replace(str(box.ca), str(bundle)))
        yield vault


def pkcs12(pair: Pair, *, with_key: bool = True) -> str:
    return base64.b64encode(pair.pfx(with_key=with_key)).decode()


def name_vault(enrolled: Enrolled, vault: Vault, more: str = "") -> None:
    tenant = enrolled.box.control.tenant(enrolled.name)
    line = f'key_vault = {{ vault = "{vault.url}", name = "app"{more} }}'
    write_tenant(enrolled.folder, tenant, line)


@pytest.mark.parametrize("form", ["pkcs12", "pem"])
def test_a_secret_logs_in(enrolled: Enrolled, vault: Vault, form: str) -> None:
    """A certificate kept as a vault's secret, PKCS#12 or PEM, logs in through the real SDK."""
    pair = enrolled.pair
    text = pkcs12(pair) if form == "pkcs12" else (pair.pem + pair.key_pem()).decode()
    vault.versions["v1"] = Version(pair, text)
    name_vault(enrolled, vault)
    assert enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert claims(vault.tokens[0])["aud"] == "https://vault.azure.net"


def test_a_key_that_stays_in_the_vault_logs_in(enrolled: Enrolled, vault: Vault) -> None:
    """With sign_remotely each assertion is signed by the vault, and no secret is ever fetched."""
    vault.versions["v1"] = Version(enrolled.pair, pkcs12(enrolled.pair, with_key=False))
    name_vault(enrolled, vault, ", sign_remotely = true")
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    assert vault.asked("/sign") == 1
    assert vault.asked("/secrets/") == 0
    tokens.drop(enrolled.tenant, enrolled.audience)
    tokens.get(enrolled.tenant, enrolled.audience)
    assert vault.asked("/sign") == 2


def test_a_key_that_cannot_be_fetched_names_the_remedy(enrolled: Enrolled, vault: Vault) -> None:
    """A secret without a private key is refused with the setting that helps."""
    vault.versions["v1"] = Version(enrolled.pair, pkcs12(enrolled.pair, with_key=False))
    name_vault(enrolled, vault)
    with pytest.raises(NeedsPerson, match="not exportable") as caught:
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert "sign_remotely = true" in caught.value.remedy


@pytest.mark.parametrize("remotely", [False, True])
def test_a_new_version_is_picked_up(enrolled: Enrolled, vault: Vault, remotely: bool) -> None:
    """When Entra refuses the old key, the vault's newest version is used without a restart."""
    vault.versions["v1"] = Version(enrolled.pair, pkcs12(enrolled.pair))
    name_vault(enrolled, vault, f", sign_remotely = {str(remotely).lower()}")
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    fresh = make_pair()
    enrolled.box.control.register(enrolled.name, fresh.pem)
    enrolled.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    vault.versions["v2"] = Version(fresh, pkcs12(fresh))
    tokens.drop(enrolled.tenant, enrolled.audience)
    assert tokens.get(enrolled.tenant, enrolled.audience)
    held = tokens._certificates.current(enrolled.tenant, Slot.CERTIFICATE)
    assert held.thumbprint_sha1 == fresh.sha1


def test_the_newest_version_is_asked_for_every_ten_minutes(
    enrolled: Enrolled, vault: Vault
) -> None:
    """The stamp changes with a new version, at most ten minutes later."""
    vault.versions["v1"] = Version(enrolled.pair, pkcs12(enrolled.pair))
    name_vault(enrolled, vault)
    now = [0.0]
    settings = enrolled.settings
    tenant = enrolled.tenant
    source = VaultSource(tenant.certificate, settings.cloud(tenant), monotonic=lambda: now[0])
    before = source.stamp()
    vault.versions["v2"] = Version(enrolled.pair, pkcs12(enrolled.pair))
    now[0] = 599.0
    assert source.stamp() == before
    now[0] = 600.0
    assert source.stamp() != before


def test_a_pinned_version_stays(enrolled: Enrolled, vault: Vault) -> None:
    """A version named in the tenant's file is used although there is a newer one."""
    vault.versions["v1"] = Version(enrolled.pair, pkcs12(enrolled.pair))
    vault.versions["v2"] = Version(make_pair(), pkcs12(make_pair()))
    name_vault(enrolled, vault, ', version = "v1"')
    found = load_certificate(enrolled.tenant.certificate, enrolled.settings, NOW, enrolled.tenant)
    assert found.thumbprint_sha1 == enrolled.pair.sha1


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, NeedsPerson, "Key Vault"),
        (404, NeedsPerson, "name"),
        (429, Throttled, "later"),
        (500, Transient, "later"),
    ],
)
@pytest.mark.parametrize("remotely", [False, True])
def test_a_vault_that_refuses_is_understood(
    enrolled: Enrolled,
    vault: Vault,
    status: int,
    kind: type[Exception],
    words: str,
    remotely: bool,
) -> None:
    """Each refusal of a vault ends in one of our errors with its remedy."""
    vault.versions["v1"] = Version(enrolled.pair, "")
    vault.refuse = status
    name_vault(enrolled, vault, f", sign_remotely = {str(remotely).lower()}")
    with pytest.raises(kind) as caught:
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert type(caught.value) is kind
    assert words in str(caught.value)


def test_a_vault_that_asks_for_another_resource_gets_no_token(
    enrolled: Enrolled, vault: Vault
) -> None:
    """A challenge that names Graph as its resource is refused: the token would open more."""
    vault.resource = "https://graph.microsoft.com"
    name_vault(enrolled, vault)
    with pytest.raises(NeedsPerson, match="another resource"):
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert vault.tokens == []


def test_without_an_identity_the_remedy_is_said(
    enrolled: Enrolled, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An identity that Entra refuses ends in one sentence that names what to set."""
    monkeypatch.setenv("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000001")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    name_vault(enrolled, vault)
    with pytest.raises(NeedsPerson, match="the login to key vault") as caught:
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert "AZURE_CLIENT_ID" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "no base64!", base64.b64encode(b"junk").decode()])
def test_a_secret_that_is_no_certificate_is_refused(
    enrolled: Enrolled, vault: Vault, text: str
) -> None:
    """A secret of another kind under that name is refused as no PKCS#12."""
    vault.versions["v1"] = Version(enrolled.pair, text)
    name_vault(enrolled, vault)
    with pytest.raises(NeedsPerson, match="not a PKCS#12"):
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)


def test_the_azure_sdk_is_imported_only_for_vaults() -> None:
    """A worker whose tenants have files never loads the Azure SDK."""
    words = (
        "import sys, trailkeeper.microsoft.tokens, trailkeeper.microsoft.certificates;"
        "sys.exit(any(name.split('.')[0] == 'azure' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", words]).returncode == 0
