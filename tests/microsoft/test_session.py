from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.servers.tls import Reply, Request, TlsServer, tls_server
from trailkeeper.errors import AnswerTooLarge, ConfigurationError, Transient
from trailkeeper.microsoft.http.answer import Answer, retry_after
from trailkeeper.microsoft.http.hosts import host_allowed, usual_port
from trailkeeper.microsoft.http.session import Asked, Session


@contextmanager
def session_for(server: TlsServer, **options: object) -> Iterator[Session]:
    with Session(allowed_hosts=[server.host], ca_bundle=server.ca_bundle, **options) as session:  # type: ignore[arg-type]
        yield session


def test_the_configured_authority_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """REQUESTS_CA_BUNDLE in the environment does not replace the bundle of the configuration."""
    other = tmp_path / "other.pem"
    with tls_server(lambda _: Reply()) as stranger:
        other.write_bytes(stranger.ca_bundle.read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with tls_server(lambda _: Reply(200, b"hello")) as server, session_for(server) as session:
        assert session.request("GET", server.url).body == b"hello"


def test_the_environments_authority_counts_where_none_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """REQUESTS_CA_BUNDLE is believed by a session without a bundle of its own."""
    with tls_server(lambda _: Reply(200, b"hello")) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_bundle))
        with Session(allowed_hosts=[server.host]) as session:
            assert session.request("GET", server.url).body == b"hello"


def test_the_environments_proxy_is_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is asked first, and NO_PROXY leaves a host out of it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with tls_server(lambda _: Reply(200, b"hello")) as server:
        with session_for(server) as session, pytest.raises(Transient):
            session.request("GET", server.url)
        assert server.requests == []
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        with session_for(server) as session:
            assert session.request("GET", server.url).body == b"hello"


def test_a_server_of_another_authority_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """A server certificate the bundle does not vouch for ends in a sentence with a remedy."""
    with tls_server(lambda _: Reply()) as one, tls_server(lambda _: Reply()) as other:
        session = Session(allowed_hosts=[one.host], ca_bundle=other.ca_bundle)
        with pytest.raises(ConfigurationError, match="not signed by a trusted authority"):
            session.request("GET", one.url)
        assert one.requests == []


def test_a_bundle_that_is_no_pem_is_refused_at_once(tmp_path: Path) -> None:
    """A ca_bundle without a certificate in it is refused when the session is built."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("nothing")
    with pytest.raises(ConfigurationError, match="ca_bundle"):
        Session(allowed_hosts=["127.0.0.1"], ca_bundle=bundle)
    with pytest.raises(ConfigurationError, match="ca_bundle"):
        Session(allowed_hosts=["127.0.0.1"], ca_bundle=tmp_path / "absent.pem")


@pytest.mark.parametrize("status", [200, 403])
def test_a_plain_body_labelled_gzip_keeps_its_status(status: int) -> None:
    """Exchange's mislabelled error (NULs that claim to be gzip) comes back with status and body."""
    reply = Reply(status, b"\0" * 4096, (("Content-Encoding", "gzip"),))
    with tls_server(lambda _: reply) as server, session_for(server) as session:
        answer = session.request("POST", server.url, body=b"{}")
    assert (answer.status, answer.body) == (status, b"\0" * 4096)


def test_gzip_is_inflated_whatever_the_label() -> None:
    """A gzip body is inflated, with or without Content-Encoding, in one member or in several."""
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    with tls_server(lambda _: Reply(200, body)) as server, session_for(server) as session:
        assert session.request("GET", server.url).body == b"one two"


def test_a_body_that_grows_beyond_the_bound_is_refused() -> None:
    """The bound holds before and after inflating, declared or not, and a bomb is not unpacked."""
    bomb = gzip.compress(b"\0" * 10_000_000)
    bodies = {"/bomb": bomb, "/plain": b"x" * 100_001, "/fits": b"x" * 100_000}
    with (
        tls_server(lambda request: Reply(200, bodies[request.path])) as server,
        session_for(server) as session,
    ):
        for path in ("/bomb", "/plain"):
            with pytest.raises(AnswerTooLarge):
                session.request("GET", server.url + path, max_bytes=100_000)
        assert len(session.request("GET", server.url + "/fits", max_bytes=100_000).body) == 100_000


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"half", declared_length=8),
        Reply(200, gzip.compress(b"x" * 1000)[:-10]),
        Reply(200, b"\x1f\x8bnot really"),
    ],
    ids=["cut", "gzip cut", "gzip broken"],
)
def test_a_body_cut_short_is_worth_another_try(reply: Reply) -> None:
    """An answer that ends early is Transient, never a short body taken for a whole one."""
    with (
        tls_server(lambda _: reply) as server,
        session_for(server) as session,
        pytest.raises(Transient),
    ):
        session.request("GET", server.url)


def test_a_broken_body_does_not_hide_an_error_status() -> None:
    """When the status already says what is wrong, a gzip body that cannot be read is left as is."""
    reply = Reply(429, zlib.compress(b"x", wbits=31)[:-4], (("Retry-After", "17"),))
    with tls_server(lambda _: reply) as server, session_for(server) as session:
        answer = session.request("GET", server.url)
    assert (answer.status, answer.retry_after) == (429, 17.0)


def test_a_redirect_to_a_foreign_host_is_not_followed() -> None:
    """A 302 to a host outside the cloud is an error, and neither token nor request goes there."""
    with tls_server(lambda _: Reply(200, b"caught")) as thief:
        location = (("Location", thief.url + "/steal"),)
        with (
            tls_server(lambda _: Reply(302, b"", location)) as server,
            session_for(server) as session,
            pytest.raises(Transient, match="none of this cloud's hosts"),
        ):
            session.request("POST", server.url, body=b"{}", token="secret-token")
        assert thief.requests == []


def test_a_redirect_inside_the_cloud_repeats_the_post_with_its_token() -> None:
    """A 302 on an allowed host is followed with method, body and token unchanged."""

    def answer(request: Request) -> Reply:
        if request.path == "/first":
            return Reply(302, b"", (("Location", "/second"),))
        return Reply(200, request.method.encode() + request.body)

    with tls_server(answer) as server, session_for(server) as session:
        body = session.request("POST", server.url + "/first", body=b"!", token="t0ken").body
    assert body == b"POST!"
    assert [r.headers["Authorization"] for r in server.requests] == ["Bearer t0ken"] * 2


@pytest.mark.parametrize("location", ["https://[bad", "//[", "https://host:99999999/"])
def test_a_redirect_to_an_unreadable_address_is_transient(location: str) -> None:
    """A Location that is no URL is refused as one that leads elsewhere."""
    with (
        tls_server(lambda _: Reply(302, b"", (("Location", location),))) as server,
        session_for(server) as session,
        pytest.raises(Transient, match="none of this cloud's hosts"),
    ):
        session.request("GET", server.url, token="t0ken")


def test_a_redirect_may_have_a_body() -> None:
    """It is read like any other: packed or not, whatever its label, and within the bound."""
    page = b"<html>Object moved</html>"
    packed, bomb = gzip.compress(page), gzip.compress(b"\0" * 10_000_000)
    bodies = {"/plain": page, "/packed": packed, "/mislabelled": page, "/bomb": bomb}

    def answer(request: Request) -> Reply:
        if request.path == "/there":
            return Reply(200, b"hello")
        label = () if request.path == "/plain" else (("Content-Encoding", "gzip"),)
        return Reply(302, bodies[request.path], (("Location", "/there"), *label))

    with tls_server(answer) as server, session_for(server) as session:
        for path in ("/plain", "/packed", "/mislabelled"):
            assert session.request("GET", server.url + path).body == b"hello"
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                session.request("GET", server.url + "/bomb", max_bytes=100_000)
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


def test_a_redirect_in_a_circle_ends() -> None:
    """Redirects are followed three times at most."""
    with (
        tls_server(lambda _: Reply(307, b"", (("Location", "/"),))) as server,
        session_for(server) as session,
    ):
        with pytest.raises(Transient, match="circle"):
            session.request("GET", server.url)
        assert session.request_count == len(server.requests) == 4


def test_a_link_to_a_foreign_host_sends_nothing() -> None:
    """A URL that came out of an answer and leads elsewhere is refused before any connection."""
    with tls_server(lambda _: Reply()) as server, tls_server(lambda _: Reply()) as thief:
        with session_for(server) as session, pytest.raises(Transient, match="nothing was sent"):
            session.request("GET", thief.url, token="secret-token")
        assert thief.requests == []


def test_netrc_does_not_replace_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in ~/.netrc never reach the wire, neither instead of a token nor without one."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with tls_server(lambda _: Reply()) as server, session_for(server) as session:
        session.request("GET", server.url, token="t0ken")
        session.request("GET", server.url)
    assert [r.headers["Authorization"] for r in server.requests] == ["Bearer t0ken", None]


def test_each_connection_has_its_own_cookies_and_one_id() -> None:
    """Affinity cookies stay within one connection; the session itself keeps none."""
    replies = Reply(200, b"", (("Set-Cookie", "X-BackEnd=7; Secure"),))
    with tls_server(lambda _: replies) as server, session_for(server) as session:
        first, second = session.connection(), session.connection()
        for asker in (first, first, second, session, session):
            asker.request("GET", server.url)
    assert [r.headers["Cookie"] for r in server.requests] == [None, "X-BackEnd=7", None, None, None]
    ids = [r.headers["connection-id"] for r in server.requests]
    assert ids == [first.connection_id] * 2 + [second.connection_id, None, None]
    assert first.request_count == 2


def test_the_tls_connection_is_kept() -> None:
    """A body read to its end gives its connection back: the handshake is paid once."""
    with tls_server(lambda _: Reply(200, b"x" * 300_000)) as server, session_for(server) as session:
        for _ in range(3):
            session.request("GET", server.url)
    assert len({request.connection for request in server.requests}) == 1


def test_a_refused_connection_is_transient_and_its_text_holds_no_query() -> None:
    """Nobody listening is Transient, in a sentence with the host and without path or query."""
    with tls_server(lambda _: Reply()) as server:
        session = Session(allowed_hosts=[server.host], ca_bundle=server.ca_bundle)
    with pytest.raises(Transient) as caught:
        session.request("GET", server.url + "/path?sig=secret")
    assert server.host in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_silence_is_transient() -> None:
    """A server that accepts and then says nothing meets the read timeout."""
    import threading

    release = threading.Event()

    def answer(_: Request) -> Reply:
        release.wait(10)
        return Reply()

    with tls_server(answer) as server, session_for(server, read_timeout=0.2) as session:
        with pytest.raises(Transient, match="sent nothing"):
            session.request("POST", server.url, body=b"")
        release.set()
        assert len(server.requests) == 1


def test_every_request_is_counted() -> None:
    """`on_request` hears method, host, status and size of each request, and never its path."""
    heard: list[Asked] = []
    with (
        tls_server(lambda _: Reply(404, b"gone")) as server,
        session_for(server, on_request=heard.append) as session,
    ):
        session.request("GET", server.url + "/secret")
    assert [(a.method, a.host, a.status, a.received) for a in heard] == [
        ("GET", server.host, 404, 4)
    ]


_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Sun, 22 Nov 2026 12:30:00 GMT", 1800.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("7200", 7200.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("nan", None),
        ("9" * 400, 7 * 86400.0),
        ("Sun, 99 Nov 2026 12:30:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    """Retry-After counts as seconds or as a date, in full, and nonsense is no answer."""
    assert retry_after(text, _NOON) == seconds


def test_retry_after_as_a_date_is_meant_in_the_servers_time() -> None:
    """A date in Retry-After is compared with the answer's own Date header, not with our clock."""
    headers = {
        "retry-after": "Sun, 22 Nov 2026 12:30:00 GMT",
        "date": "Sun, 22 Nov 2026 12:29:00 GMT",
    }
    assert Answer(429, headers, received_at=_NOON).retry_after == 60.0


def test_an_answer_does_not_show_its_body() -> None:
    """The body of an answer may be a token, so it does not appear in repr."""
    assert "canary" not in repr(
        Answer(200, {"Set-Cookie": "canary"}, b"canary", url="https://canary")
    )


_ALLOWED = ("outlook.office365.com", "127.0.0.1:9444")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://outlook.office365.com/x", True),
        ("https://OUTLOOK.office365.com:443/x", True),
        ("https://eur01.outlook.office365.com/x", True),
        ("https://127.0.0.1:9444/", True),
        ("http://outlook.office365.com/x", False),
        ("https://outlook.office365.com:444/x", False),
        ("https://outlook.office365.com.evil.example/x", False),
        ("https://eviloutlook.office365.com/x", False),
        ("https://office365.com/x", False),
        ("https://outlook.office365.com@evil.example/x", False),
        ("https://evil.example\\@outlook.office365.com/x", False),
        ("https://evil.example/?outlook.office365.com", False),
        ("https://evil.example#.outlook.office365.com", False),
        ("https://user@outlook.office365.com/x", False),
        ("https://\u2110utlook.office365.com/x", False),
        ("https://outlook.office365.com\t.evil.example/", False),
        ("https://1.127.0.0.1:9444/", False),
        ("https://127.0.0.1/", False),
        ("https://[::1/", False),
        ("https://outlook.office365.com:99999999/", False),
        ("https://", False),
        ("", False),
    ],
)
def test_only_the_clouds_own_hosts_see_a_token(url: str, allowed: bool) -> None:
    """The host check admits a host and its subdomains on its port, and nothing that looks alike."""
    assert host_allowed(url, _ALLOWED) is allowed


def test_the_odd_port_of_exchange_redirects_is_put_right() -> None:
    """`:446` on an allowed host becomes 443; on a foreign host nothing becomes allowed by it."""
    assert usual_port("https://eu.outlook.office365.com:446/a?b", _ALLOWED) == (
        "https://eu.outlook.office365.com/a?b"
    )
    assert not host_allowed(usual_port("https://evil.example:446/", _ALLOWED), _ALLOWED)
