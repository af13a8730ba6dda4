"""Whose servers are believed, and why one that is not was not: each reason in its own sentence."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from tests.servers.hostile import Hostile, hostile_server, once
from trailkeeper.errors import ConfigurationError, TrailkeeperError
from trailkeeper.microsoft.http.session import Session
from trailkeeper.microsoft.http.transport_faults import OF_THE_WAY
from trailkeeper.settings import CLOUD_PRESETS, Settings, load

_ANSWER = once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@contextmanager
def _server(certificate: trustme.LeafCert) -> Iterator[Hostile]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with hostile_server(_ANSWER, context) as server:
        yield server


def _asked(server: Hostile, bundle: Path | None) -> int:
    with Session(allowed_hosts=[server.host], ca_bundle=bundle) as session:
        return session.request("GET", server.url).status


def _refused(server: Hostile, bundle: Path | None) -> TrailkeeperError:
    with pytest.raises(ConfigurationError) as caught:
        _asked(server, bundle)
    assert server.host in caught.value.summary
    assert caught.value.remedy
    assert caught.value.code in OF_THE_WAY
    return caught.value


def test_the_systems_store_is_trusted_where_no_bundle_is_configured(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system trusts is trusted, an inspecting proxy's authority included; with a bundle
    of its own a session trusts that alone."""
    with _server(authority.issue_cert("127.0.0.1")) as server:
        assert _refused(server, None).code == "tls-untrusted"
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))  # where OpenSSL looks for the store
        assert _asked(server, None) == 200
        other = bundle.with_name("other.pem")
        trustme.CA().cert_pem.write_to_path(str(other))
        assert _refused(server, other).code == "tls-untrusted"


def test_the_authorities_of_requests_do_not_join_the_systems(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority that the system does not have is not trusted because a library brings it."""
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(bundle))
    monkeypatch.setattr("requests.certs.where", lambda: str(bundle))
    with _server(authority.issue_cert("127.0.0.1")) as server:
        assert _refused(server, None).code == "tls-untrusted"


def test_an_untrusted_issuer_is_named_with_both_remedies(bundle: Path) -> None:
    """The system's store and `ca_bundle`, which the presets take, too."""
    with _server(trustme.CA().issue_cert("127.0.0.1")) as server:
        error = _refused(server, bundle)
    assert "not signed by a trusted authority" in error.summary
    assert "system's store" in error.remedy
    assert "[clouds.public]" in error.remedy


def test_a_self_signed_certificate_is_called_so(bundle: Path, tmp_path: Path) -> None:
    """A server that shows its authority in the chain is no better for it."""
    stranger = trustme.CA()
    leaf = stranger.issue_cert("127.0.0.1")
    chain = tmp_path / "chain.pem"
    pems = [leaf.private_key_pem, *leaf.cert_chain_pems, stranger.cert_pem]
    chain.write_bytes(b"".join(pem.bytes() for pem in pems))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(chain))
    with hostile_server(_ANSWER, context) as server:
        error = _refused(server, bundle)
    assert "self-signed" in error.summary
    assert error.code == "tls-untrusted"


def test_another_hosts_certificate_is_named(authority: trustme.CA, bundle: Path) -> None:
    """It is the host that is wrong, not the authority: no remedy speaks of ca_bundle."""
    with _server(authority.issue_cert("other.example")) as server:
        error = _refused(server, bundle)
    assert "made out to another host" in error.summary
    assert "ca_bundle" not in error.remedy


def test_an_expired_certificate_is_named(authority: trustme.CA, bundle: Path) -> None:
    """Its remedy speaks of the clock and of whoever renews it."""
    begins, ends = datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    leaf = authority.issue_cert("127.0.0.1", not_before=begins, not_after=ends)
    with _server(leaf) as server:
        error = _refused(server, bundle)
    assert "has expired" in error.summary
    assert "clock" in error.remedy
    assert "ca_bundle" not in error.remedy


def test_a_certificate_of_the_future_is_named(authority: trustme.CA, bundle: Path) -> None:
    """So a machine whose clock is years behind hears of its clock."""
    begins, ends = datetime(9000, 1, 1, tzinfo=UTC), datetime(9001, 1, 1, tzinfo=UTC)
    leaf = authority.issue_cert("127.0.0.1", not_before=begins, not_after=ends)
    with _server(leaf) as server:
        error = _refused(server, bundle)
    assert "not valid yet" in error.summary
    assert "clock" in error.remedy


def test_plain_http_on_a_tls_port_is_named(bundle: Path) -> None:
    """A port that answers without TLS is a wrong port, not a broken connection."""
    with hostile_server(_ANSWER, None, raw=_ANSWER) as server:
        error = _refused(server, bundle)
    assert "does not speak TLS" in error.summary
    assert "port" in error.remedy


@contextmanager
def _proxy(status: int, name: str = "") -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP proxy that answers CONNECT with `status`, or tunnels for whoever gives `name`."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client:
            head = client.recv(65536)
            heard.append(head)
            if not name or base64.b64encode(name.encode()) not in head:
                client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
                return
            host, _, port = head.split()[1].decode().partition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join(5)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", heard
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [(407, "proxy-authentication", "HTTPS_PROXY"), (403, "proxy-refused", "Let the proxy admit")],
)
def test_a_proxys_refusal_is_its_own(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, remedy: str
) -> None:
    """A proxy that wants a password, or does not let us through, is named with what to do; the
    password that did not do is in no text."""
    with hostile_server(_ANSWER, None) as server, _proxy(status) as (proxy, heard):
        monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:canary@{proxy}")
        error = _refused(server, bundle)
    assert error.code == code
    assert proxy in error.summary
    assert remedy in error.remedy
    assert "canary" not in str(error)
    assert heard[0].startswith(b"CONNECT ")


def test_the_way_through_a_proxy_verifies_the_server(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY's name and password open the tunnel, and the server behind it is verified."""
    with (
        _server(authority.issue_cert("127.0.0.1")) as server,
        _server(trustme.CA().issue_cert("127.0.0.1")) as stranger,
        _proxy(407, "somebody:password") as (proxy, heard),
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:password@{proxy}")
        assert _asked(server, bundle) == 200
        assert _refused(stranger, bundle).code == "tls-untrusted"
    assert len(heard) == 2


def _configured(folder: Path, lines: str) -> Settings:
    (folder / "trailkeeper.toml").write_text(lines)
    return load(folder)


@pytest.mark.parametrize("cloud", CLOUD_PRESETS)
def test_a_preset_takes_a_bundle_and_keeps_its_hosts(
    authority: trustme.CA, bundle: Path, cloud: str
) -> None:
    """`[clouds.public] ca_bundle` is what stands behind an inspecting proxy: the preset's hosts
    stay, and a server of that authority is believed."""
    settings = _configured(bundle.parent, f'[clouds.{cloud}]\nca_bundle = "{bundle.name}"\n')
    preset = CLOUD_PRESETS[cloud]
    assert settings.clouds[cloud] == preset.model_copy(update={"ca_bundle": bundle})
    with _server(authority.issue_cert("127.0.0.1")) as server:
        assert _asked(server, settings.clouds[cloud].ca_bundle) == 200


def test_a_presets_hosts_cannot_be_replaced(tmp_path: Path) -> None:
    """Whoever names one is told the key, and that a cloud of another name is the way."""
    lines = '[clouds.public]\nca_bundle = "ca.pem"\nlogin = "https://login.example"\n'
    with pytest.raises(ConfigurationError, match=r"clouds.public.*'login'") as caught:
        _configured(tmp_path, lines)
    assert "another name" in caught.value.remedy
    with pytest.raises(ConfigurationError, match=r"clouds\.public"):
        _configured(tmp_path, "[clouds]\npublic = 7\n")
