"""What lies below `requests`: connections that keep to the exchange's bound and to one trust.

Every byte of an answer is read through `http.client`'s response: status lines, `100 Continue`,
headers, chunk sizes and their extensions, trailers, body, and a proxy's answer to CONNECT. So that
is where the deadline sits. The TLS handshake is one call with one timeout, whatever is dripped.
"""

from __future__ import annotations

import io
import ssl
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from trailkeeper.process.deadline import BoundReader, current_bound


class _Readable:
    """The part of a socket that `HTTPResponse` uses."""

    def __init__(self, reader: BoundReader) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


class _BoundResponse(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        bound = current_bound()
        self._reader = BoundReader(sock, bound) if bound else None
        source: Any = _Readable(self._reader) if self._reader else sock
        super().__init__(source, *args, **options)

    def begin(self) -> None:
        super().begin()
        if self._reader:
            self._reader.head_ended()


def _shortened(timeout: Any) -> Any:
    """`timeout` for connecting, or what is left of the deadline when that is less."""
    bound = current_bound()
    if bound is None:
        return timeout
    left = bound.left("the connection's beginning")
    return min(timeout, left) if isinstance(timeout, int | float) else left


class _BoundConnection(HTTPConnection):
    response_class = _BoundResponse

    def connect(self) -> None:
        self.timeout = _shortened(self.timeout)
        super().connect()


class _BoundTlsConnection(HTTPSConnection):
    response_class = _BoundResponse

    def connect(self) -> None:
        self.timeout = _shortened(self.timeout)
        super().connect()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _BoundConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundTlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class BoundAdapter(HTTPAdapter):
    """`context` alone says whom to trust, whatever `verify` a caller or the environment gives."""

    def __init__(self, context: ssl.SSLContext, connections: int) -> None:
        self._context = context
        super().__init__(pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        options = {"ssl_context": self._context, "proxy_ssl_context": self._context, **options}
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: certifi's authorities, or the environment's, would join the context's."""

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}
