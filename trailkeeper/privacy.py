"""What lies under the data folder is for the service's user alone, whatever the umask says.

Records, reports, keys and the ledger lie there. Every process that writes sets its umask when it
starts, which its children and all libraries inherit; what an earlier start left open is closed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

UMASK = 0o077
FOLDER_MODE = 0o700
_OTHERS = 0o077
_MOST = 1_000_000
"""entries that are looked at: a walk for ever would be worse than an open file"""


def close_umask() -> None:
    """What this process and its children create from now on is 0600, folders 0700."""
    os.umask(UMASK)


def open_parts(folder: Path) -> Iterator[Path]:
    """The folder and what lies in it that its group or others may read, write or enter."""
    for path in islice(_walked(folder), _MOST):
        with suppress(OSError):  # removed meanwhile
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & _OTHERS:
                yield path


def close_parts(folder: Path) -> int:
    """Close what is open, as far as it is ours; how many parts were."""
    closed = 0
    for path in open_parts(folder):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS, follow_symlinks=True)
            closed += 1
    return closed


def _walked(folder: Path) -> Iterator[Path]:
    yield folder
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))
