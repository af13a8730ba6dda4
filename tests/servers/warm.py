"""`trailkeeper …` forked from a process that has imported it: the same command, a second sooner.

The warm process has one thread, no connection and none of what starts threads when it is imported;
a command gets from it what a fresh interpreter would have, and loads the rest by itself. What
hangs on a fresh interpreter (imports, signals at the start) is tested with one.
"""

from __future__ import annotations

import atexit
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
_REQUEST_BYTES = 1 << 20
_LATER = ("lake", "store.review", "spreadsheet", "chart", "render", "migrations", "__main__")
_STARTS_THREADS = ("polars", "deltalake", "matplotlib", "numpy")


def run(
    words: tuple[str, ...], folder: Path, environment: Mapping[str, str], seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; raises `TimeoutExpired` like `subprocess.run`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            asked = json.dumps([words, str(folder), dict(environment)]).encode()
            files = [out.fileno(), err.fileno(), theirs.fileno()]
            socket.send_fds(_warm(os.getpid()), [asked], files)
            theirs.close()
            code = _ended(ours, words, seconds)
        out.seek(0)
        err.seek(0)
        said = out.read().decode(), err.read().decode()
    return subprocess.CompletedProcess(words, code, *said)


def _ended(status: socket.socket, words: tuple[str, ...], seconds: float) -> int:
    """The exit code, negative for a signal. The first line is the process, the second its end."""
    status.settimeout(seconds)
    with status.makefile() as lines:
        process = int(lines.readline())
        try:
            return int(lines.readline())
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, seconds) from None


@cache
def _warm(process: int) -> socket.socket:
    """The line to the warm process of this one; a fork of ours starts its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.warm", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    atexit.register(started.wait)
    atexit.register(ours.close)
    return ours


def _import() -> None:
    """Everything that a command may need and that starts nothing."""
    for room in ("cli", "microsoft", "steps", "supervisor", "store", "mail"):
        package = import_module(f"trailkeeper.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in _LATER):
                import_module(module.name)
    for name in ("msal", "alembic.command", "redis", "rich.table"):
        import_module(name)
    loaded = [name for name in _STARTS_THREADS if name in sys.modules]
    threads = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 1
    if loaded or threads > 1:
        raise RuntimeError(f"a fork of {threads} threads that loaded {loaded} is not safe")


def _serve(line: socket.socket) -> None:
    """Fork a command for each request until the line is closed. Returns in the command, too."""
    running: dict[int, socket.socket] = {}
    waker, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    while True:
        ready, _, _ = select.select([line, waker], [], [])
        if waker in ready:
            os.read(waker, 512)
            _tell_ends(running)
        if line not in ready:
            continue
        asked, files, _, _ = socket.recv_fds(line, _REQUEST_BYTES, 3)
        if not asked:
            return
        status = socket.socket(fileno=files[2])
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (line, status, *running.values()):
                each.close()
            os.close(waker)
            os.close(woken)
            _become(*json.loads(asked), *files[:2])
        status.sendall(f"{process}\n".encode())
        running[process] = status
        os.close(files[0])
        os.close(files[1])


def _tell_ends(running: dict[int, socket.socket]) -> None:
    for process in list(running):
        found, how = os.waitpid(process, os.WNOHANG)
        if found:
            with running.pop(process) as line:
                line.sendall(f"{os.waitstatus_to_exitcode(how)}\n".encode())


def _become(words: list[str], folder: str, environment: dict[str, str], out: int, err: int) -> None:
    """Be the command: ends the interpreter as its own would end."""
    from trailkeeper.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.argv = ["trailkeeper", *words]
    sys.exit(main())


if __name__ == "__main__":
    _import()
    _serve(socket.socket(fileno=int(sys.argv[1])))
