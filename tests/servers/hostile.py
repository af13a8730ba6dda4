"""A raw server on a free loopback port that says whatever bytes it likes, for as long as it likes.

with hostile_server(drip(b"HTTP/1.1 2")) as server: ...
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

Say = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Hostile:
    host: str

    @property
    def url(self) -> str:
        return f"https://{self.host}/"


def once(content: bytes) -> Say:
    return lambda connection: connection.sendall(content)


def forever(chunk: bytes, head: bytes = HEAD + b"\r\n") -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(chunk)

    return say


def drip(head: bytes, piece: bytes = b"a", every: float = 0.1) -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(every)

    return say


@contextmanager
def hostile_server(
    say: Say, context: ssl.SSLContext | None, *, raw: Say | None = None
) -> Iterator[Hostile]:
    """`context` None: no TLS. `raw`: said instead of a handshake, the request unread."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError), connection:
            connection.settimeout(20)
            if raw:
                raw(connection)
                return
            if context:
                connection = context.wrap_socket(connection, server_side=True)
                connections.append(connection)
            connection.recv(65536)
            say(connection)
            connection.close()

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield Hostile(f"127.0.0.1:{listener.getsockname()[1]}")
    finally:
        stopped.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.close()
        thread.join(5)
