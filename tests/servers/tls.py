"""A real TLS server on a free loopback port, with its own authority; the test writes its answers.

with tls_server(lambda request: Reply(200, b"{}")) as server:
    Session(ca_bundle=server.ca_bundle, allowed_hosts=[server.host])
"""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: tuple[str, int]
    """the client's address and port: equal for requests that shared a connection"""


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    declared_length: int | None = None
    """Content-Length to claim instead of the true one; the connection is cut after the body"""


@dataclass
class TlsServer:
    host: str
    ca_bundle: Path
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{self.host}"


@contextmanager
def tls_server(answer: Callable[[Request], Reply]) -> Iterator[TlsServer]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(bundle))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        server.daemon_threads = True
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        found = TlsServer(f"127.0.0.1:{server.server_address[1]}", bundle)
        server.RequestHandlerClass = _handler(answer, found)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(answer: Callable[[Request], Reply], found: TlsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, self.headers, body, self.client_address[:2])
            found.requests.append(request)
            self._reply(answer(request))

        def do_POST(self) -> None:
            self.do_GET()

        def _reply(self, reply: Reply) -> None:
            length = reply.declared_length
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) if length is None else length))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = length is not None

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: pytest shows what matters."""

    return Handler
