"""One service per data folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trailkeeper.errors import Unavailable

LOCK_FILE = "up.lock"
_A_LOOK_SECONDS = 0.2
"""whoever only looks (`is_held`) has let go by then"""


@contextmanager
def data_folder(folder: Path) -> Iterator[None]:
    """Make the folder and hold it. Raises `Unavailable` when it is taken or cannot be written."""
    path = folder / LOCK_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        _take(descriptor, folder)
        _sign(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Is a service running on the data folder? Looking takes nothing and makes nothing."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int, folder: Path) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_A_LOOK_SECONDS)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        named = f" (process {holder})" if holder.isdigit() else ""
        raise Unavailable(
            f"another Trailkeeper{named} is running on the data folder {folder}",
            "Stop it first, or give this one a folder of its own with [service].data.",
        ) from None


def _sign(descriptor: int, folder: Path) -> None:
    """Leave our process number; writing it also proves that the disk takes something."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        os.fsync(descriptor)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> Unavailable:
    reason = (error.strerror or str(error)).lower()
    return Unavailable(
        f"the data folder {folder} cannot be written: {reason}",
        "Make it writable for this user, or name another one with [service].data.",
    )
