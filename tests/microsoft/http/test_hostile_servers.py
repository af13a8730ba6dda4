"""Servers that lie or never end: each costs no more than the exchange's deadline and bounds."""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from azure.core.credentials import AccessToken

from tests.servers.hostile import HEAD, Say, drip, forever, hostile_server, once
from trailkeeper.errors import (
    AnswerTooLarge,
    NeedsPerson,
    TrailkeeperError,
    Transient,
)
from trailkeeper.microsoft.certificates import key_vault
from trailkeeper.microsoft.http.session import Session
from trailkeeper.settings import CLOUD_PRESETS, CertificateSettings

_CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_MOST = 4 << 20
_BOMB = gzip.compress(b"0" * (20 << 20), 9)
_FLOOD = "frames|after 2 s"
_EMPTY = gzip.compress(b"")
_PATIENCE = 60.0
"""seconds for what takes about one: only a server that is never left meets it"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    bundle = tmp_path_factory.mktemp("hostile") / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return bundle, context


def _sized(content: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content)


def _to(location: str) -> Say:
    text = f"HTTP/1.1 302 F\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return once(text.encode())


_STATUS_TOLD = b"HTTP/1.1 500 \x1b[31mX\r\nrequest-id: \x1b[31mABC\r\nContent-Length: 0\r\n\r\n"
_LONG_HEADERS = b"".join(b"X-%d: " % i + b"a" * 60000 + b"\r\n" for i in range(98))

ENDLESS: Mapping[str, tuple[Say, object]] = {
    "endless body": (forever(b"x" * 65536), AnswerTooLarge),
    "endless chunks": (forever(b"10000\r\n" + b"x" * 65536 + b"\r\n", _CHUNKED), AnswerTooLarge),
    "dripped body": (drip(HEAD + b"Content-Length: 1000000\r\n\r\n"), "its answer after 2 s"),
    "dripped chunks": (drip(_CHUNKED, b"1\r\na\r\n"), "its answer after 2 s"),
    "dripped header": (drip(HEAD + b"X-A: "), "its status line and headers after 2 s"),
    "dripped status line": (drip(b"HTTP/1.1 2"), "its status line and headers after 2 s"),
    "endless 100 Continue": (
        forever(b"HTTP/1.1 100 C\r\n\r\n" * 100, b""),
        "256 KiB|after 2 s",
    ),
    "dripped 100 Continue": (drip(b"", b"HTTP/1.1 100 C\r\n\r\n"), "headers after 2 s"),
    "dripped chunk extension": (drip(_CHUNKED + b"1;ext="), "its answer after 2 s"),
    "endless chunk extensions": (
        forever(b"1;" + b"e" * 60000 + b"\r\na\r\n", _CHUNKED),
        _FLOOD,
    ),
    "dripped trailers": (drip(_CHUNKED + b"1\r\na\r\n0\r\nX: "), "its answer after 2 s"),
    "endless trailers": (
        forever(b"X: a\r\n" * 99, _CHUNKED + b"1\r\na\r\n0\r\n"),
        _FLOOD,
    ),
    "endless header lines": (forever(b"X-A: b\r\n" * 99, HEAD), Transient),
    "endless header line": (forever(b"a" * 65536, HEAD + b"X-A: "), Transient),
    "six megabytes of headers": (
        once(HEAD + _LONG_HEADERS + b"\r\n"),
        "256 KiB|after 2 s",
    ),
    "silence": (drip(b"", b"", every=15), "headers after 2 s"),
}
LYING: Mapping[str, tuple[Say, object]] = {
    "ten declared gigabytes": (once(HEAD + b"Content-Length: 10737418240\r\n\r\n"), AnswerTooLarge),
    "a bomb": (once(_sized(_BOMB)), AnswerTooLarge),
    "a bomb as an error": (once(_sized(_BOMB, b"500 X")), 500),
    "a hundred thousand gzip members": (once(_sized(_EMPTY * 100_000)), 200),
    "more gzip members than anybody sends": (once(_sized(_EMPTY * 140_000)), "131072 members"),
    "endless 102": (forever(b"HTTP/1.1 102 P\r\n\r\n" * 100, b""), 102),
    "more promised than sent": (once(HEAD + b"Content-Length: 100\r\n\r\n{}"), "too early"),
    "less promised than sent": (once(HEAD + b"Content-Length: 2\r\n\r\n{}xxxxxx"), 200),
    "two lengths": (once(HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}a"), Transient),
    "a negative length": (once(HEAD + b"Content-Length: -5\r\n\r\n{}"), 200),
    "a length of foreign digits": (once(HEAD + "Content-Length: ٢\r\n\r\n{}".encode()), 200),
    "HTTP/1.0": (once(b"HTTP/1.0 200 OK\r\n\r\n{}"), 200),
    "HTTP/0.9": (once(b"{}"), "not HTTP"),
    "garbage": (once(b"\0" + os.urandom(1000)), "not HTTP"),
    "101": (once(b"HTTP/1.1 101 S\r\n\r\n"), 101),
    "204": (once(b"HTTP/1.1 204 N\r\n\r\n"), 204),
    "status 999": (once(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"), 999),
    "terminal escapes": (once(_STATUS_TOLD), 500),
    "to another host": (_to("https://localhost:1/x"), "none of this cloud's hosts"),
    "to another port": (_to("https://127.0.0.1:1/x"), "none of this cloud's hosts"),
    "to plain http": (_to("http://127.0.0.1:1/"), "none of this cloud's hosts"),
    "to a user's name": (_to("https://127.0.0.1@evil.example/"), "none of this cloud's hosts"),
    "to a backslash": (_to("https://evil.example\\@127.0.0.1/"), "none of this cloud's hosts"),
    "in a circle": (_to("/"), "circle"),
    "with an endless body": (
        forever(b"x" * 65536, b"HTTP/1.1 302 F\r\nLocation: https://evil.example/\r\n\r\n"),
        AnswerTooLarge,
    ),
    "cookies of another host": (
        once(HEAD + b"Set-Cookie: a=b; Domain=example.com\r\nContent-Length: 2\r\n\r\n{}"),
        200,
    ),
}
NO_TLS: Mapping[str, tuple[Say, object]] = {
    "a dripped handshake": (drip(b"\x16\x03\x03\x40\x00\x02"), Transient),
    "an endless handshake": (forever(b"\x16\x03\x03\x00\x01\x00", b""), TrailkeeperError),
    "no handshake": (drip(b"", b"", every=15), Transient),
    "plain HTTP": (once(_sized(b"{}")), "does not speak TLS"),
}
SERVERS = {**ENDLESS, **LYING, **NO_TLS}


@dataclass(frozen=True)
class Told:
    status: int = 0
    error: TrailkeeperError | None = None
    host: str = ""


def _ask(url: str, bundle: Path, told: list[Told], host: str, seconds: float) -> None:
    with Session(
        allowed_hosts=[host],
        ca_bundle=bundle,
        connect_timeout=seconds,
        read_timeout=_PATIENCE,
        total_timeout=seconds,
    ) as session:
        try:
            answer = session.connection().request("GET", url, token="t0ken", max_bytes=_MOST)
            told.append(Told(answer.status, None, host))
        except TrailkeeperError as error:
            told.append(Told(0, error, host))


@pytest.fixture(scope="module")
def outcomes(authority: tuple[Path, ssl.SSLContext]) -> Mapping[str, list[Told]]:
    """Every server asked once, all at the same time: most of it is waiting."""
    bundle, context = authority
    found: dict[str, list[Told]] = {}
    with ExitStack() as stack:
        asking: list[threading.Thread] = []
        for name, (say, _) in SERVERS.items():
            raw = say if name in NO_TLS else None
            server = stack.enter_context(hostile_server(say, context, raw=raw))
            found[name] = []
            seconds = 20.0 if name in LYING else 2.0
            arguments = (server.url, bundle, found[name], server.host, seconds)
            asking.append(threading.Thread(target=_ask, args=arguments, daemon=True))
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(_PATIENCE)
    return found


def test_the_connection_is_closed_at_the_deadline(authority: tuple[Path, ssl.SSLContext]) -> None:
    """Whoever drips for longer is left, and no thread of ours stays behind."""
    bundle, context = authority
    left = threading.Event()

    def say(connection: socket.socket) -> None:
        try:
            drip(HEAD + b"Content-Length: 1000000\r\n\r\n")(connection)
        finally:
            left.set()

    with (
        hostile_server(say, context) as server,
        Session(allowed_hosts=[server.host], ca_bundle=bundle, total_timeout=1.0) as session,
    ):
        threads = set(threading.enumerate())
        with pytest.raises(Transient, match="had not ended its answer after 1 s"):
            session.request("GET", server.url)
        assert left.wait(_PATIENCE)
        names = {thread.name for thread in set(threading.enumerate()) - threads}
        assert not [name for name in names if "serve" not in name]


@pytest.mark.parametrize("name", SERVERS)
def test_a_hostile_server_ends_within_the_deadline(
    outcomes: Mapping[str, list[Told]], name: str
) -> None:
    """However a server drips, floods or lies, asking it ends; a failure names its host."""
    _, expected = SERVERS[name]
    assert outcomes[name], "still running"
    (told,) = outcomes[name]
    if isinstance(expected, int):
        assert (told.status, told.error) == (expected, None)
        return
    assert told.error is not None, told.status
    assert not isinstance(told.error, NeedsPerson)
    if isinstance(expected, str):
        assert re.search(expected, told.error.summary)
    else:
        assert isinstance(expected, type)
        assert isinstance(told.error, expected)
    if "hosts" not in told.error.summary:
        assert told.host in told.error.summary


@pytest.mark.parametrize("name", ["dripped status line", "dripped body", "endless trailers"])
def test_a_vault_that_never_ends_is_left(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The Azure SDK keeps to the same deadline, repetitions included, and the vault is named."""
    bundle, context = authority
    monkeypatch.setattr(key_vault, "_TOTAL_SECONDS", 1.0)
    cloud = CLOUD_PRESETS["public"].model_copy(update={"ca_bundle": bundle})
    with hostile_server(SERVERS[name][0], context) as server:
        vault = {"vault": server.url.rstrip("/"), "name": "app"}
        chosen = CertificateSettings.model_validate({"key_vault": vault})
        source = key_vault.VaultSource(chosen, cloud, _NoCredential())
        with pytest.raises(Transient, match="the connection was closed") as caught:
            source.load(datetime.now(UTC))
    assert server.host in caught.value.summary


class _NoCredential:
    """A vault that never answers never comes to ask for one."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        raise AssertionError(scopes)
