"""The clock that all lives of one run share; it outlives those that are killed."""

from __future__ import annotations

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path


class RunClock:
    """Real time moved by what a file says, plus what this process gets wrong. Nobody waits: a sleep
    moves the file on, for every process of the run."""

    def __init__(self, path: Path, wrong_by: timedelta = timedelta()) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)
        self._wrong_by = wrong_by

    def now(self) -> datetime:
        (ahead,) = struct.unpack("d", self._shared[:])
        return datetime.now(UTC) + timedelta(seconds=ahead) + self._wrong_by

    def sleep(self, seconds: float) -> None:
        (ahead,) = struct.unpack("d", self._shared[:])
        self._shared[:] = struct.pack("d", ahead + seconds)
        time.sleep(0.001)

    def set(self, moment: datetime) -> None:
        seconds = (moment - datetime.now(UTC)).total_seconds()
        self._shared[:] = struct.pack("d", seconds)
