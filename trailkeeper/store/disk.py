"""Local folders and files: durable, and with errors that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trailkeeper.errors import Bug, Unavailable

_REMEDIES = {
    errno.ENOSPC: "Free space on that disk, or move [service].data to a larger one.",
    errno.EDQUOT: "Raise the quota of the service's user, or move [service].data to another disk.",
    errno.EACCES: "Give the service's user write access to the folder.",
    errno.EPERM: "Give the service's user write access to the folder.",
    errno.EROFS: "Mount the disk writable, or move [service].data to another one.",
    errno.ENOTDIR: "A file stands where a folder is needed: move it away.",
    errno.EEXIST: "A file stands where a folder is needed: move it away.",
    errno.ENOENT: "Check that [service].data is mounted and that nobody cleans it up.",
}


@contextmanager
def disk_errors(path: Path, verb: str = "written") -> Iterator[None]:
    """Turn `OSError` into `Unavailable` with the remedy; `verb` completes "cannot be …"."""
    try:
        yield
    except OSError as error:
        raise unavailable(path, verb, error) from None


def unavailable(path: Path, verb: str, error: OSError) -> Unavailable:
    why = (error.strerror or type(error).__name__).lower()
    remedy = _REMEDIES.get(error.errno or 0, "Check the disk and the system's log.")
    code = errno.errorcode.get(error.errno or 0, "")
    return Unavailable(f"{path} cannot be {verb}: {why}", remedy, code)


def one_name(name: str) -> str:
    """`name` itself when it is one step of a path. Raises `Bug` for anything that climbs."""
    if name in ("", ".", "..") or "/" in name or os.sep in name or "\0" in name:
        raise Bug(f"{name!r} is not a plain file name")
    return name


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each durably. Raises `OSError`."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """fsync a file or a folder. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
