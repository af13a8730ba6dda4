"""Threads on a machine that may refuse one more: wait a little, then do with those that are there.

A process limit, a container's pids limit or a short of memory makes the system refuse a thread for
a moment (EAGAIN; seen on a busy test machine in November 2026). Python says so with a bare
`RuntimeError`, which no caller of an executor expects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

from trailkeeper.errors import Unavailable

_Words = ParamSpec("_Words")
_Result = TypeVar("_Result")

_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
"""seconds between tries to start a thread that is indispensable"""


class Crew(Executor):
    """A thread pool that goes on with the threads it got; `submit` raises `Unavailable` only while
    not a single one can be started.

    The standard library's pool queues the work before it starts a thread for it, and then raises:
    whoever called it would lose the future of work that is done all the same. Here the future is
    ours, so that it is not lost.
    """

    def __init__(self, threads: int, name: str = "") -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._has_thread = False

    def submit(
        self, fn: Callable[_Words, _Result], /, *args: _Words.args, **kwargs: _Words.kwargs
    ) -> Future[_Result]:
        future: Future[_Result] = Future()
        self._add(partial(_settle, future, partial(fn, *args, **kwargs)))
        return future

    def _add(self, work: Callable[[], None]) -> None:
        try:
            self._pool.submit(work)
        except RuntimeError as error:
            _only_refusals(error)
            if not self._has_thread:  # the work is queued, and nobody is there to take it
                _insistently(partial(self._pool.submit, _nothing))
        self._has_thread = True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the standard library's; cancelled work leaves its future as it is."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _settle(future: Future[_Result], work: Callable[[], _Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # as the standard library's pool: it belongs to the caller
        future.set_exception(error)


def _nothing() -> None:
    """Work that only wants a thread."""


def start(thread: Thread) -> None:
    """Start a thread that nothing can go on without. Raises `Unavailable`."""
    _insistently(thread.start)


def _insistently(begin: Callable[[], object]) -> None:
    for pause in _PAUSES:
        try:
            begin()
            return
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
