"""Keep a crashing worker's memory, which holds keys and tokens, out of core files."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_core_files() -> None:
    """Call in each process that loads certificates, after it was forked or started.

    The limit alone does not stop a core that is piped to a program (core(5)); on Linux the process
    is therefore marked not dumpable as well, which also keeps debuggers of other users out.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
