"""Pulling processes of one command, so that pages are parsed on every core and not on one.

Forked, as a Celery worker forks its own: what they need is imported once, and its memory shared. So
it has to happen before this process opens the ledger, starts a thread or touches polars
(docs/decisions/collect.md). Where there is no leash (elsewhere than on Linux), or no process to be
had, threads pull instead.
"""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TYPE_CHECKING

import structlog

from trailkeeper.bootstrap import World, import_pulling
from trailkeeper.model.sources import known_rules
from trailkeeper.model.stream import Source
from trailkeeper.process.garbage import collect_seldom
from trailkeeper.process.leash import die_with_parent
from trailkeeper.process.memory import forbid_core_files
from trailkeeper.settings import Settings
from trailkeeper.steps.collect import Pullers
from trailkeeper.steps.pull import Outcome

if TYPE_CHECKING:
    from trailkeeper.microsoft.identity.token_cache import TokenStore

log = structlog.get_logger()


class SharedFlag:
    """Set once, seen by every process forked since: the calls of `threading.Event` without its
    lock, which a signal handler could find taken."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return self._byte[0] == 1


@contextmanager
def pulling_processes(
    settings: Settings, count: int, stopping: SharedFlag
) -> Iterator[Mapping[Source, Pullers]]:
    """`count` processes for the search; none where this process has to pull by itself.

    The feed is left to threads: it waits more than it parses, and where there is no Redis its
    requests are counted in one process. Call it from the main thread: the leash is tied to the
    thread that started a process.
    """
    if sys.platform != "linux":
        yield {}
        return
    import_pulling()
    gc.freeze()  # what was imported stays: no collection in any of them looks at it again
    from trailkeeper.microsoft.identity.forked_tokens import ForkedTokens

    try:
        tokens = ForkedTokens()
        pool = _started(count, (os.getpid(), settings, stopping, tokens))
    except (OSError, RuntimeError) as error:  # a limit of processes or files, no semaphores
        log.warning("pulling_processes_refused", reason=str(error))
        _kill(multiprocessing.active_children())
        yield {}
        return
    try:
        pullers = Pullers(pool, _pull)
        yield {s: pullers for s, rules in known_rules().items() if rules.own_processes}
    finally:
        _end(pool)
        tokens.close()


def _started(
    count: int, words: tuple[int, Settings, SharedFlag, TokenStore]
) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _begin, words)
    pool.submit(os.getpid)  # the first task starts them all
    return pool


def _end(pool: ProcessPoolExecutor) -> None:
    """Let the processes finish what they pull, but wait for none for ever.

    A process that is killed while it waits for work takes the queue's lock with it: the others,
    which ignore SIGTERM, would wait for it as long as they live, and the pool for them. Python 3.12
    waits so under the lock that `shutdown` takes, whatever `wait` says.
    """
    Thread(target=lambda: pool.shutdown(wait=False, cancel_futures=True), daemon=True).start()
    children = multiprocessing.active_children()
    if not _ended(children):
        _kill(children)


def _kill(children: list[BaseProcess]) -> None:
    for child in children:
        child.kill()
    _ended(children)


def _ended(children: list[BaseProcess]) -> bool:
    """Whether all of them have ended, within the time that is given to them.

    Asked again and again, because `join` comes back early for a process that the pool's own thread
    is just about to reap.
    """
    until = time.monotonic() + _GRACE_SECONDS
    while any(child.is_alive() for child in children):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


_GRACE_SECONDS = 10.0
"""for the page under way; a pull that is cut off here is made again when its lease has run out"""

_here: list[tuple[World, SharedFlag]] = []
"""filled in a pulling process only"""


def _pull(segment_id: int, owner: str) -> Outcome:
    """The world is opened by the first pull, so that its errors reach whoever asked for that."""
    world, stopping = _here[0]
    return replace(world.pull, stopping=stopping.is_set)(segment_id, owner)


def _begin(parent: int, settings: Settings, stopping: SharedFlag, tokens: TokenStore) -> None:
    die_with_parent()
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
    forbid_core_files()
    collect_seldom()
    for number in (signal.SIGINT, signal.SIGTERM):  # for the command, which tells us by the flag
        signal.signal(number, signal.SIG_IGN)
    _here.append((World(settings, forked_tokens=tokens), stopping))
