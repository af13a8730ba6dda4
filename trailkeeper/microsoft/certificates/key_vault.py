"""A certificate that lives in Azure Key Vault: fetched into memory, or never leaving the vault.

Imported only where a tenant's file names a vault: the Azure SDK would cost every pulling worker its
memory. Facts: reference A, section 5. The SDK finds its own login (managed identity, AZURE_* in the
environment); the token it gets is given to no other resource than the cloud's vault audience.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex
from urllib.parse import urlsplit

import requests
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential
from azure.keyvault.certificates import CertificateClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from azure.keyvault.secrets import KeyVaultSecret, SecretClient
from cryptography import x509

from trailkeeper.errors import NeedsPerson, Throttled, TrailkeeperError, Transient
from trailkeeper.microsoft.certificates.certificate import (
    Certificate,
    certificate,
    check_leaf,
    refused,
)
from trailkeeper.microsoft.certificates.files import from_pem, from_pkcs12, looks_like_pem
from trailkeeper.microsoft.http.adapter import BoundAdapter
from trailkeeper.microsoft.http.fault_text import sentence
from trailkeeper.microsoft.http.tls_faults import tls_fault
from trailkeeper.microsoft.http.transport_faults import broke_bounds, chain_of
from trailkeeper.microsoft.http.trust import trusting
from trailkeeper.process.deadline import Bound, bounded
from trailkeeper.settings import CertificateSettings, CloudSettings, KeyVaultReference

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUTS: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 30, "retry_total": 2}
_TOTAL_SECONDS = 120.0
"""for everything that one question of a vault takes, logins and repetitions included"""
_MOST_BYTES = 8 << 20
"""of all its answers together; a certificate has thousands"""
_CONNECTIONS = 4
POLL = timedelta(minutes=10)
"""How often a vault is asked for its newest version; a refused login asks at once."""

_LOGIN = (
    "Give this machine a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_CLIENT_CERTIFICATE_PATH for the service."
)
_SECRETS_ROLE = "Grant the service's identity the role Key Vault Secrets User on the vault."
_SIGN_ROLE = (
    "Grant the service's identity the roles Key Vault Crypto User and Key Vault Certificate User "
    "on the vault."
)


class VaultSource:
    """One certificate of one vault, as `certificates.CertificateSource`."""

    def __init__(
        self,
        chosen: CertificateSettings,
        cloud: CloudSettings,
        credential: TokenCredential | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`credential` None: whatever `DefaultAzureCredential` finds in this machine's place."""
        assert chosen.key_vault is not None  # noqa: S101 - `source_of` has chosen by it
        self._reference = chosen.key_vault
        self._vault = _Vault(chosen.key_vault, cloud, credential)
        self._monotonic = monotonic
        self._version = chosen.key_vault.version
        self._asked_at: float | None = None

    def stamp(self) -> object:
        """The newest version, asked for every ten minutes. Raises as `load`."""
        if self._reference.version:
            return self._reference.version
        now = self._monotonic()
        if self._asked_at is None or now - self._asked_at >= POLL.total_seconds():
            self._version = self._vault.newest_version()
            self._asked_at = now
        return self._version

    def load(self, now: datetime) -> Certificate:
        """Raises `NeedsPerson`, and `Transient` when the vault does not answer."""
        if self._reference.sign_remotely:
            return self._vault.remote(now)
        return self._vault.fetched(now)


class _Vault:
    """The clients of one vault; none connects before it is used."""

    def __init__(
        self, reference: KeyVaultReference, cloud: CloudSettings, credential: TokenCredential | None
    ) -> None:
        self._reference = reference
        self._where = f"key vault {reference.vault}, {reference.name!r}"
        self._options = {**_TIMEOUTS, "transport": _transport(cloud.ca_bundle)}
        found = credential or DefaultAzureCredential(
            authority=cloud.login,
            disable_instance_discovery=True,
            exclude_interactive_browser_credential=True,
            **self._options,
        )
        self._credential = _OnlyFor(found, f"{cloud.vault}/.default")
        # Our own check of the audience is stricter than the SDK's, and works for [clouds.NAME] too.
        self._options["verify_challenge_resource"] = False
        logging.getLogger("azure").setLevel(logging.WARNING)

    def newest_version(self) -> str:
        if self._reference.sign_remotely:
            return _version(self._certificate().properties.version)
        return _version(self._secret().properties.version)

    def fetched(self, now: datetime) -> Certificate:
        """The secret of the same name: base64 of an unencrypted PKCS#12, or PEM text."""
        text = self._secret().value or ""
        if looks_like_pem(text.encode()):
            return self._or_remote(lambda: from_pem(text.encode(), None, self._where, now))
        try:
            content = base64.b64decode(text, validate=False)
        except (ValueError, binascii.Error):
            content = b""
        return self._or_remote(lambda: from_pkcs12(content, None, self._where, now))

    def remote(self, now: datetime) -> Certificate:
        """The public part, and a signer that asks the vault."""
        found = self._certificate()
        leaf = x509.load_der_x509_certificate(bytes(found.cer or b""))
        check_leaf(leaf, self._where, now)
        key_id = found.key_id or ""
        if urlsplit(key_id).netloc.lower() != urlsplit(self._reference.vault).netloc.lower():
            raise refused(f"{self._where} names a key of another vault", "Check the vault.")
        client = CryptographyClient(key_id, self._credential, **self._options)
        return certificate(leaf, VaultSigner(client, self._where), self._where)

    def _or_remote(self, load: Callable[[], Certificate]) -> Certificate:
        try:
            return load()
        except NeedsPerson as error:
            if "no private key" not in error.summary:
                raise
            raise refused(
                f"{self._where} is not exportable: its secret holds no private key",
                "Set sign_remotely = true, or make the certificate exportable.",
            ) from None

    def _secret(self) -> KeyVaultSecret:
        reference = self._reference
        with _translated(self._where, _SECRETS_ROLE):
            client = SecretClient(reference.vault, self._credential, **self._options)
            return client.get_secret(reference.name, reference.version or None)

    def _certificate(self) -> Any:
        reference = self._reference
        with _translated(self._where, _SIGN_ROLE):
            client = CertificateClient(reference.vault, self._credential, **self._options)
            if reference.version:
                return client.get_certificate_version(reference.name, reference.version)
            return client.get_certificate(reference.name)


class VaultSigner:
    """Signs in the vault: the private key never comes here."""

    def __init__(self, client: CryptographyClient, where: str) -> None:
        self._client = client
        self._where = where

    def __call__(self, message: bytes) -> bytes:
        with _translated(self._where, _SIGN_ROLE):
            digest = hashlib.sha256(message).digest()
            return self._client.sign(SignatureAlgorithm.ps256, digest).signature

    def __repr__(self) -> str:
        return "VaultSigner(…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a signer is neither copied nor pickled")


class _OnlyFor:
    """A credential that gives tokens for one scope only, whatever a vault's challenge asks for."""

    def __init__(self, credential: TokenCredential, scope: str) -> None:
        self._credential = credential
        self._scope = scope

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        if scopes != (self._scope,):
            raise ClientAuthenticationError(
                f"the vault asks for a token of another resource than {self._scope}"
            )
        options.pop("enable_cae", None)  # not for this audience, and it splits the SDK's cache
        return self._credential.get_token(self._scope, **options)


@contextmanager
def _translated(where: str, role: str) -> Iterator[None]:
    bound = Bound(_TOTAL_SECONDS, _MOST_BYTES)
    try:
        with bounded(bound):
            yield
    except AzureError as error:
        if bound.breach:
            raise broke_bounds(bound.breach, where) from None
        raise _fault(error, where, role) from None


def _transport(ca_bundle: Path | None) -> RequestsTransport:
    """The SDK's own, over connections that keep to a bound and believe whom ours believe."""
    session = requests.Session()
    for scheme in ("https://", "http://"):  # a managed identity is asked without TLS
        session.mount(scheme, _PlainBodies(trusting(ca_bundle), _CONNECTIONS))
    return RequestsTransport(session=session, session_owner=False)


class _PlainBodies(BoundAdapter):
    """Asks for bodies that are not packed, and unpacks none: a packed one may have any size."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, *args, **options)
        response.raw.headers.pop("Content-Encoding", None)
        return response


def _fault(error: AzureError, where: str, role: str) -> TrailkeeperError:
    if found := tls_fault(chain_of(error), where):
        return found
    if isinstance(error, ClientAuthenticationError):
        said = sentence(str(error.message).partition("\n")[0])
        return NeedsPerson(f"the login to {where} was refused: {said}", _LOGIN, "vault-login")
    status = error.status_code if isinstance(error, HttpResponseError) else None
    code = f"HTTP {status}"
    if status in (401, 403):
        return NeedsPerson(f"{where} refused access", role, code)
    if status == 404:
        remedy = "Correct `vault`, `name` or `version` under key_vault."
        return NeedsPerson(f"{where} does not exist", remedy, code)
    if status == 429:
        return Throttled(f"{where} asks to slow down", "It is asked again later.", code)
    if status is None or status >= 500:
        return Transient(f"{where} cannot be reached", "It is asked again later.", "vault")
    return NeedsPerson(f"{where} refused the request", "Check `vault` and `name`.", code)


def _version(text: str | None) -> str:
    return text or ""
