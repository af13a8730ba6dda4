"""A `trailkeeper` command as its own process, watched from outside like an operator would."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PATIENCE_SECONDS = 240


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for `condition`; fails the test, naming `what`, when it never comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s in vain for {what}"
        time.sleep(0.1)


class Running:
    """One running command and everything that it started."""

    def __init__(self, words: tuple[str, ...], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = folder / "stdout.txt", folder / "stderr.txt"
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trailkeeper.cli", *words],
                stdout=out,
                stderr=err,
                cwd=Path(__file__).parents[2],
            )
        self.seen: dict[int, psutil.Process] = {}

    @property
    def stdout(self) -> str:
        return self._paths[0].read_text("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self._paths[1].read_text("utf-8", "replace")

    def family(self) -> list[psutil.Process]:
        """Every process below it now; remembered, so that `left` can look for them later."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.seen.update({each.pid: each for each in found})
        return found

    def named(self, part: str) -> list[psutil.Process]:
        """Its processes whose command line holds `part`."""
        return [each for each in self.family() if part in " ".join(_words(each))]

    def left(self) -> list[str]:
        """Those of its processes that still run."""
        return [" ".join(_words(each)) for each in self.seen.values() if _runs(each)]

    def ended(self) -> bool:
        """Has the command itself ended? Remembers its processes as long as it has not."""
        self.family()
        return self.process.poll() is not None

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.family()
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE_SECONDS)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(*words: str, folder: Path) -> Iterator[Running]:
    """`trailkeeper WORDS`; on leaving, whatever of it still runs is killed."""
    started = Running(words, folder)
    try:
        yield started
    except BaseException:
        sys.stdout.write(started.stdout + started.stderr)  # pytest shows it beside the failure
        raise
    finally:
        started.family()
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()
        for each in started.seen.values():
            if _runs(each):
                each.kill()
