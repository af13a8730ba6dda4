"""The Key Vault, asked by the published Azure SDKs, unmodified."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import CertificateCredential
from azure.keyvault.certificates import CertificateClient
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from sandbox import Sandbox
from tests.sandbox.callers import Caller, Pair, make_pair

PEM = "application/x-pem-file"


@pytest.fixture(scope="module")
def vault_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Its own sandbox: the SDKs remember for a whole run which tenant guards a vault."""
    with Sandbox(tmp_path_factory.mktemp("vault"), tenants=["msp", "other"]) as running:
        yield running


@pytest.fixture
def owner(vault_box: Sandbox) -> Iterator[Caller]:
    """A caller in the tenant that guards the vault."""
    pair = make_pair()
    vault_box.control.register("msp", pair.pem)
    rights = vault_box.control.tenant("msp")["switches"]["vault_permissions"]
    yield Caller(vault_box, "msp", pair)
    vault_box.control.clear_faults()
    vault_box.control.alter("msp", vault_permissions=rights)


@pytest.fixture
def credential(owner: Caller) -> Iterator[CertificateCredential]:
    """The vault is opened with the app's own certificate, through azure-identity."""
    with CertificateCredential(
        owner.tenant["tenant_id"],
        owner.tenant["client_id"],
        certificate_data=owner.pair.key_pem.encode() + owner.pair.pem,
        authority=owner.box["login"],
        disable_instance_discovery=True,
        connection_verify=owner.box.ca,
    ) as made:
        yield made


def client(kind: Any, owner: Caller, credential: CertificateCredential) -> Any:
    return kind(owner.box["vault"], credential, connection_verify=owner.box.ca, retry_total=0)


def fresh_pair() -> Pair:
    return make_pair(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


def test_secret_is_an_unencrypted_pkcs12(owner: Caller, credential: Any) -> None:
    """The secret of a certificate is base64 of a PKCS#12 without password, key included."""
    pair = fresh_pair()
    owner.box.control.put_in_vault("app", pair.key_pem, pair.pem)
    secret = client(SecretClient, owner, credential).get_secret("app")
    key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret.value), None)
    assert secret.properties.content_type == "application/x-pkcs12"
    assert certificate == pair.certificate
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.private_numbers() == pair.key.private_numbers()


def test_secret_can_be_pem(owner: Caller, credential: Any) -> None:
    """With the PEM content type the secret is key and certificate as text."""
    pair = fresh_pair()
    owner.box.control.put_in_vault("pem-app", pair.key_pem, pair.pem, content_type=PEM)
    value = client(SecretClient, owner, credential).get_secret("pem-app").value
    assert load_pem_private_key(value.encode(), None)
    assert pair.pem.decode() in value


@pytest.mark.parametrize("content_type", ["application/x-pkcs12", PEM])
def test_non_exportable_secret_has_no_key(
    owner: Caller, credential: Any, content_type: str
) -> None:
    """A non-exportable certificate's secret holds the certificate only."""
    pair = fresh_pair()
    owner.box.control.put_in_vault(
        "locked", pair.key_pem, pair.pem, exportable=False, content_type=content_type
    )
    value = client(SecretClient, owner, credential).get_secret("locked").value
    if content_type == PEM:
        assert "PRIVATE" not in value
    else:
        key, *_ = pkcs12.load_key_and_certificates(base64.b64decode(value), None)
        assert key is None


def test_certificate_with_its_versions(owner: Caller, credential: Any) -> None:
    """The newest version comes by default, older ones by name, and the list has all."""
    first, second = fresh_pair(), fresh_pair()
    name = "rolling"
    old = owner.box.control.put_in_vault(name, first.key_pem, first.pem)
    new = owner.box.control.put_in_vault(name, second.key_pem, second.pem, exportable=False)
    certificates = client(CertificateClient, owner, credential)
    found = certificates.get_certificate(name)
    assert found.properties.version == new
    assert found.properties.x509_thumbprint == second.sha1
    assert found.policy.exportable is False
    older = certificates.get_certificate_version(name, old)
    assert older.properties.x509_thumbprint == first.sha1
    listed = {p.version for p in certificates.list_properties_of_certificate_versions(name)}
    assert listed == {old, new}
    assert name in {p.name for p in certificates.list_properties_of_certificates()}


def test_remote_signing_logs_in(owner: Caller, credential: Any) -> None:
    """An assertion signed by the vault with PS256 opens the login through unmodified msal."""
    pair = fresh_pair()
    owner.box.control.put_in_vault("signer", pair.key_pem, pair.pem, exportable=False)
    owner.box.control.register(owner.name, pair.pem)
    key = client(KeyClient, owner, credential).get_key("signer")
    signer = CryptographyClient(key.id, credential, connection_verify=owner.box.ca)

    def word(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    def assertion() -> str:
        thumbprint = word(pair.certificate.fingerprint(hashes.SHA256()))
        header = f'{{"alg":"PS256","typ":"JWT","x5t#S256":"{thumbprint}"}}'
        client_id, now = owner.tenant["client_id"], int(time.time())
        audience = f"{owner.box['login']}/{owner.tenant['tenant_id']}/oauth2/v2.0/token"
        claims = (
            f'{{"aud":"{audience}","iss":"{client_id}","sub":"{client_id}","jti":"1",'
            f'"nbf":{now},"exp":{now + 300}}}'
        )
        head = f"{word(header.encode())}.{word(claims.encode())}"
        digest = hashlib.sha256(head.encode()).digest()
        return f"{head}.{word(signer.sign(SignatureAlgorithm.ps256, digest).signature)}"

    answer = owner.ask_token(credential={"client_assertion": assertion})
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["appid"] == owner.tenant["client_id"]


def test_challenge_names_authority_and_resource(owner: Caller) -> None:
    """Without a token the vault answers 401 with authority and resource in its challenge."""
    answer = owner.session.get(f"{owner.box['vault']}/secrets/app?api-version=7.4")
    challenge = answer.headers["WWW-Authenticate"]
    assert answer.status_code == 401
    assert f'authorization="{owner.box["login"]}/{owner.tenant["tenant_id"]}"' in challenge
    assert 'resource="https://' in challenge


def test_missing_and_disabled(owner: Caller, credential: Any) -> None:
    """An unknown name is 404, a disabled version 403."""
    secrets = client(SecretClient, owner, credential)
    with pytest.raises(ResourceNotFoundError) as missing:
        secrets.get_secret("nobody")
    assert missing.value.error.code == "SecretNotFound"
    pair = fresh_pair()
    owner.box.control.put_in_vault("resting", pair.key_pem, pair.pem)
    owner.box.control.enable_in_vault("resting", enabled=False)
    with pytest.raises(HttpResponseError) as disabled:
        secrets.get_secret("resting")
    assert disabled.value.status_code == 403


def test_permissions(owner: Caller, credential: Any) -> None:
    """An app without the permission gets 403 Forbidden."""
    pair = fresh_pair()
    owner.box.control.put_in_vault("app", pair.key_pem, pair.pem)
    owner.box.control.alter(owner.name, vault_permissions=["certificates/get"])
    client(CertificateClient, owner, credential).get_certificate("app")
    with pytest.raises(HttpResponseError) as refused:
        client(SecretClient, owner, credential).get_secret("app")
    assert refused.value.status_code == 403


def test_wrong_digest_is_refused(owner: Caller, credential: Any) -> None:
    """Signing wants a digest of the algorithm's length."""
    pair = fresh_pair()
    owner.box.control.put_in_vault("signer", pair.key_pem, pair.pem)
    token = credential.get_token("https://vault.azure.net/.default").token
    answer = owner.session.post(
        f"{owner.box['vault']}/keys/signer/sign?api-version=7.4",
        json={"alg": "PS256", "value": "c2hvcnQ"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadParameter")


def test_throttled_vault(owner: Caller, credential: Any) -> None:
    """The vault can be throttled like any other site."""
    pair = fresh_pair()
    owner.box.control.put_in_vault("app", pair.key_pem, pair.pem)
    owner.box.control.set_fault("throttled", owner.name, calls=["vault"])
    with pytest.raises(HttpResponseError) as refused:
        client(SecretClient, owner, credential).get_secret("app")
    assert refused.value.status_code == 429


def test_token_of_another_tenant_is_challenged(owner: Caller) -> None:
    """The vault of one tenant does not open to a token of another, nor to one for Graph."""
    pair = fresh_pair()
    owner.box.control.register("other", pair.pem)
    stranger = Caller(owner.box, "other", pair)
    vault_token = stranger.ask_token(scope="https://vault.azure.net/.default")["access_token"]
    graph_token = owner.ask_token(scope="https://graph.microsoft.com/.default")["access_token"]
    for token in (vault_token, graph_token):
        answer = owner.session.get(
            f"{owner.box['vault']}/secrets/app?api-version=7.4",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 401
