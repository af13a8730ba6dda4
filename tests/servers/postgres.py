"""A PostgreSQL server for one test run: temporary folder, free loopback port, no password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

_STARTING_SECONDS = 60
_numbers = count(1)


@dataclass(frozen=True)
class Postgres:
    """A running server; `process` may be stopped by a test that wants it down."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of one database."""
        return f"postgresql+psycopg://trailkeeper@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Create a database and return its name."""
        name = f"t{next(_numbers)}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def stop(self) -> None:
        """Close every connection and end the server."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=trailkeeper dbname=postgres connect_timeout=5",
            autocommit=True,
        )


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, or None when no server is installed here."""
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _candidates() -> Iterator[Path]:
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    if config := shutil.which("pg_config"):
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(answer.stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@contextmanager
def postgres_server(binaries: Path) -> Iterator[Postgres]:
    """Start a server, wait until it answers, stop it and remove its files."""
    folder = Path(tempfile.mkdtemp(prefix="trailkeeper-postgres-"))
    try:
        yield from _running(binaries, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(binaries: Path, folder: Path) -> Iterator[Postgres]:
    account = _account(folder)
    subprocess.run(
        [
            *(binaries / "initdb", "--pgdata", folder / "db", "--username", "trailkeeper"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        **account,  # type: ignore[call-overload]  # user and group, or nothing
    )
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", folder / "db", *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            **account,  # type: ignore[call-overload]  # user and group, or nothing
        )
    server = Postgres(port, process)
    try:
        _wait(server, folder / "log")
        yield server
    finally:
        server.stop()


def _account(folder: Path) -> dict[str, object]:
    """PostgreSQL refuses to run as root: then another user owns the folder and the server."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: Postgres, log: Path) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            server._connect().close()
            return
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.1)
