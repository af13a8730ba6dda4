"""A TCP proxy of our own in front of Redis: cuts every connection at once, or delays each piece."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class RedisProxy:
    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._slow, self._slow_until = 0.0, 0.0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection ends now; new ones are welcome."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def delay(self, pause: float, seconds: float) -> None:
        """Each piece of either direction waits for `pause`, for some seconds from now."""
        self._slow, self._slow_until = pause, time.monotonic() + seconds

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            with socket.create_connection(("127.0.0.1", self._server_port), 5) as server:
                server.settimeout(None)
                self._open |= {client, server}
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()
            self._open -= {client, server}

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if time.monotonic() < self._slow_until:
                    time.sleep(self._slow)
                target.sendall(piece)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
