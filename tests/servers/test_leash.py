"""Runs of pytest that are killed while their servers run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

_SERVERS = '''
    import os, subprocess, sys, time
    from pathlib import Path
    import pytest
    from tests.servers.postgres import find_binaries, postgres_server
    from tests.servers.redis import redis_server

    @pytest.mark.parametrize("number", [0, 1])
    def test_it(number, tmp_path):
        """Waits to be killed."""
        binaries = find_binaries()
        words = [sys.executable, "-c", "import time; time.sleep(600)"]
        apart = subprocess.Popen(words, start_new_session=True)
        with redis_server() as redis:
            if binaries and not number:
                with postgres_server(binaries):
                    wait(number)
            wait(number)

    def wait(number):
        Path(os.environ["READY"], str(number)).touch()
        time.sleep(600)
'''


def _start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A run whose tests start servers and a process in a session of its own, and wait."""
    (folder / "ready").mkdir()
    (folder / "test_servers.py").write_text(textwrap.dedent(_SERVERS))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml"),
            *("-p", "tests.servers.leash", "--rootdir", folder, *words, folder),
        ],
        cwd=ROOT,
        env={**clean, "READY": str(folder / "ready"), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )


def _await(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _family(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(run.pid).children(recursive=True)


def _names(processes: list[psutil.Process]) -> list[str]:
    return [" ".join(process.cmdline()) for process in processes]


def _living(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != "zombie"]


@pytest.mark.parametrize(("words", "tests"), [((), 1), (("-n", "2"), 2)], ids=["one", "xdist"])
def test_a_killed_run_leaves_nobody(tmp_path: Path, words: tuple[str, ...], tests: int) -> None:
    """SIGKILL of the run, or of the controller of two workers: no server of it lives on."""
    run = _start(tmp_path, *words)
    try:
        _await(lambda: len(list((tmp_path / "ready").iterdir())) == tests, "the servers")
        family = _family(run)
        names = _names(family)
        assert sum("redis-server" in name for name in names) == tests
        assert sum("time.sleep(600)" in name for name in names) == tests
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    _await(lambda: not _living(family), f"the end of {names}")
