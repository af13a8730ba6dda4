"""Threads on a machine that may refuse one more: wait a little, then do with those that are there.

A process limit, a container's pids limit or a short of memory makes the system refuse a thread for
a moment (EAGAIN; seen on a busy test machine in November 2026). Python says so with a bare
`RuntimeError`, which no caller of an executor expects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from trailkeeper.errors import Unavailable

_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
"""seconds between tries to start a thread that is indispensable"""


class Crew(ThreadPoolExecutor):
    """A thread pool that goes on with the threads it got; `submit` raises `Unavailable` only while
    not a single one can be started."""

    def _adjust_thread_count(self) -> None:
        # The one place where the standard library starts a pool's threads. By then the work is in
        # the queue, so whichever thread is there takes it.
        start = super()._adjust_thread_count
        if not self._threads:
            _insistently(start)
            return
        try:
            start()
        except RuntimeError as error:
            _only_refusals(error)


def start(thread: Thread) -> None:
    """Start a thread that nothing can go on without. Raises `Unavailable`."""
    _insistently(thread.start)


def _insistently(begin: Callable[[], None]) -> None:
    for pause in _PAUSES:
        try:
            return begin()
        except RuntimeError as error:
            _only_refusals(error)
            time.sleep(pause)
    raise Unavailable(
        "this machine starts no more threads for the process",
        "Raise its limit of processes and threads (ulimit -u, a container's pids limit).",
    )


def _only_refusals(error: RuntimeError) -> None:
    """Pass on what is no refusal of the system, such as a pool that was shut down."""
    if "can't start new thread" not in str(error):
        raise error
