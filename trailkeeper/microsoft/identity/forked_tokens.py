"""Tokens in the memory that a command shares with the processes it forks: one login for all.

Where Redis is configured, it serves everybody; this is for a command without one. Linux only.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from trailkeeper.microsoft.identity.token_cache import MemoryTokens, Table

_decode = msgspec.json.Decoder(Table).decode


class ForkedTokens(MemoryTokens):
    """Made before the fork. Raises `OSError` when the system has no such memory to give.

    The table lies in a file without a name (memfd_create(2)), which ends with its last process. Its
    lock is a record lock: the kernel takes it from a process that dies, in the middle of a change
    as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file = os.memfd_create("trailkeeper-tokens")

    @contextmanager
    def _opened(self) -> Iterator[Table]:
        with self._guard:  # a record lock keeps out other processes, and no thread of this one
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                before = os.pread(self._file, os.fstat(self._file).st_size, 0)
                table = _read(before)
                yield table
                after = msgspec.json.encode(table)
                if after != before:
                    os.ftruncate(self._file, 0)
                    os.pwrite(self._file, after, 0)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of it in this process."""
        os.close(self._file)


def _read(text: bytes) -> Table:
    """Nothing, where whoever wrote it died over it: then somebody logs in once more."""
    try:
        return _decode(text)
    except msgspec.MsgspecError:
        return Table()
