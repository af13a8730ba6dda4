"""How often Python's collector looks for cycles."""

from __future__ import annotations

import gc

_SELDOM = 50_000


def collect_seldom() -> None:
    """For a process that works with many records for as long as it lives.

    By default the collector runs at every 700 new objects, which is once a blob of the feed, and
    took a fifteenth of a pulling process's time for nothing. Cycles are found all the same, later.
    What is loaded by now stays loaded, and is left out for good.
    """
    gc.freeze()
    gc.set_threshold(_SELDOM)
