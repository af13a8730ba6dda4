"""A TCP proxy of our own in front of a server, which cuts connections where it hurts."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress

_END_OF_MESSAGE = b"\r\n.\r\n"
_SOME_CONTENT = 2000
"""bytes from the client after which a message is under way"""


class MailProxy:
    """One listener on loopback in front of an SMTP server. `cut` is used up by one connection:
    "greeting" ends it at once, "content" in the middle of the message, "answer" when the server has
    accepted the message, and before the client learns it."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.cut = ""
        self.answers_lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        cut, self.cut = self.cut, ""
        with suppress(OSError), client:
            if cut == "greeting":
                return
            with socket.create_connection(("127.0.0.1", self._server_port), 20) as server:
                self._pass_on(client, server, cut)

    def _pass_on(self, client: socket.socket, server: socket.socket, cut: str) -> None:
        sent, tail = 0, b""
        with selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in both.select():
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    piece = source.recv(65536)
                    if not piece:
                        return
                    if source is client:
                        sent, tail = sent + len(piece), (tail + piece)[-5:]
                        if cut == "content" and sent > _SOME_CONTENT:
                            return
                    elif cut == "answer" and tail == _END_OF_MESSAGE:
                        self.answers_lost += 1
                        return
                    key.data.sendall(piece)
