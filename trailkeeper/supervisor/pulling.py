"""Pulling processes of one command, so that pages are parsed on every core and not on one.

Forked, as a Celery worker forks its own, and for the same reason: what they import is imported once
and its memory is shared. So it has to happen before this process opens the ledger, starts a thread
or touches polars (docs/decisions/collect.md). Where there is no leash (elsewhere than on Linux),
threads pull instead.
"""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trailkeeper.bootstrap import World, import_pulling
from trailkeeper.microsoft.private_memory import forbid_core_files
from trailkeeper.settings import Settings
from trailkeeper.steps.pull import Outcome
from trailkeeper.supervisor.leash import die_with_parent


class SharedFlag:
    """Set once, seen by every process forked since: the calls of `threading.Event` without locks,
    which a signal handler could find taken."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return self._byte[0] == 1


@dataclass(frozen=True, slots=True)
class _Here:
    """What a pulling process works with."""

    world: World
    stopping: SharedFlag


_here: list[_Here] = []
"""filled in a pulling process only"""


@contextmanager
def pulling_processes(
    settings: Settings, count: int, stopping: SharedFlag
) -> Iterator[Executor | None]:
    """An executor for `pull_here`; None where this process has to pull by itself.

    Call it from the main thread: the leash is tied to the thread that started a process.
    """
    if sys.platform != "linux":
        yield None
        return
    import_pulling()
    gc.freeze()  # what is shared stays shared: no collection looks at it again
    with ProcessPoolExecutor(
        count, multiprocessing.get_context("fork"), _begin, (os.getpid(), settings, stopping)
    ) as pool:
        pool.submit(os.getpid)  # the first task starts them all
        yield pool


def pull_here(segment_id: int, owner: str) -> Outcome:
    """Pull one segment in a pulling process. Raises what `PullStep` raises."""
    here = _here[0]
    return replace(here.world.pull, stopping=here.stopping.is_set)(segment_id, owner)


def _begin(parent: int, settings: Settings, stopping: SharedFlag) -> None:
    die_with_parent()
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
    forbid_core_files()
    for number in (signal.SIGINT, signal.SIGTERM):  # for the parent, which tells us by the flag
        signal.signal(number, signal.SIG_IGN)
    _here.append(_Here(World(settings), stopping))
