"""No process that the tests start outlives them, also when they are killed with SIGKILL.

A watcher beside each process that runs tests keeps in mind who descends from it, waits for its end,
and then kills them all. Whoever was started in the last moment bears a mark in its environment,
which everything inherits, through sessions, process groups and other users; database servers write
over theirs, so that the mark alone would not do. An xdist worker's mark goes on where its
controller's ends: the end of the controller is the end of all, that of a worker of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator

import psutil

MARK = "TRAILKEEPER_TEST_RUN"
_LOOK_SECONDS = 0.25
_ROUNDS_WITHOUT_FIND = 3
"""what was about to start something when it was killed may have done so after the look"""


def pytest_configure() -> None:
    """Called by pytest, in the controller and in each worker, before any test is collected."""
    os.environ[MARK] = f"{os.environ.get(MARK, '')}/{uuid.uuid4().hex}"
    subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), os.environ[MARK]],
        env={**os.environ, MARK: f"{os.environ[MARK].rpartition('/')[0]}/watcher"},
        start_new_session=True,  # a signal to the run's group is not for it
    )


def marked(mark: str) -> Iterator[psutil.Process]:
    """Every living process that was started by the run of that mark, or by one below it."""
    for process in psutil.process_iter():
        try:
            said = process.environ().get(MARK, "")
            if process.status() != psutil.STATUS_ZOMBIE and f"{said}/".startswith(f"{mark}/"):
                yield process
        except psutil.Error:
            continue


class Descendants:
    """Who descends from a process, also once the line to it is broken."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._known: dict[int, psutil.Process] = {}

    def look(self) -> None:
        """Keep in mind who is there now."""
        parents = psutil._psplatform.ppid_map()  # a tenth of what its public words cost
        family = {self._parent, *self._known}
        added = family
        while added := {child for child, by in parents.items() if by in added} - family:
            family |= added
        for number in family - {self._parent, os.getpid(), *self._known}:
            try:
                self._known[number] = psutil.Process(number)
            except psutil.Error:
                continue

    def living(self) -> Iterator[psutil.Process]:
        """Those that still live; a number that belongs to somebody else by now does not count."""
        for process in self._known.values():
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
            except psutil.Error:
                continue


def _kill(found: Iterable[psutil.Process]) -> bool:
    """Whether there was anybody."""
    killed = False
    for process in found:
        try:
            process.kill()
            killed = True
        except psutil.Error:
            continue
    return killed


def watch(parent: int, mark: str) -> None:
    """Wait for the parent's end, then kill what descends from it, until nobody does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descendants = Descendants(parent)
    while os.getppid() == parent:
        descendants.look()
        time.sleep(_LOOK_SECONDS)
    rounds = 0
    while rounds < _ROUNDS_WITHOUT_FIND:
        descendants.look()
        rounds = 0 if _kill([*descendants.living(), *marked(mark)]) else rounds + 1
        time.sleep(0.1)


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
