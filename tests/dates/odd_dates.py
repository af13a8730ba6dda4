"""`python -m tests.dates.odd_dates all|DATE… [-- PYTEST WORD…]`: the tests, as if on that date.

The machine's own clock stays as it is: every process of the run, the servers included, is told of
the other date by its C library (`moved_clock.c`), and time passes as usual.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("moved_clock.c")
MOVED = "MOVED_CLOCK_SECONDS"
ALL_TESTS = ("-q", "-n", "4", "--dist", "loadgroup", "-m", "not nightly", "--timeout", "600")

DATES: Mapping[str, datetime] = {
    "first": datetime(2027, 2, 1, 0, 3, tzinfo=UTC),
    "thirty-first": datetime(2027, 5, 31, 18, tzinfo=UTC),
    "leap-day": datetime(2028, 2, 29, 12, tzinfo=UTC),
    "new-years-eve": datetime(2026, 12, 31, 23, 58, tzinfo=UTC),
    "clocks-forward": datetime(2027, 3, 28, 0, 58, tzinfo=UTC),
    "clocks-back": datetime(2027, 10, 31, 0, 58, tzinfo=UTC),
    "two-years-ahead": datetime(2028, 11, 15, 9, tzinfo=UTC),
}
"""When a run begins, in UTC. On the first it is still January in New York, and on the 31st June in
Tokyo; the year, and the clocks of Berlin, turn two minutes into the run."""


def compiler() -> str | None:
    """The C compiler, where the tests can be dated: Linux of 64 bits."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def _build(folder: Path) -> Path:
    """The library to preload. Everybody may read it: a database server runs as somebody else."""
    folder.chmod(0o755)
    library = folder / "moved_clock.so"
    command = [compiler(), "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"]
    subprocess.run([str(word) for word in command], check=True)
    return library


@contextmanager
def dated(begin: datetime) -> Iterator[dict[str, str]]:
    """The environment of processes for which it is `begin` now."""
    with tempfile.TemporaryDirectory(prefix="trailkeeper-date-") as folder:
        library = _build(Path(folder))
        real = time.time() - int(os.environ.get(MOVED, "0"))
        seconds = str(int(begin.timestamp() - real))
        yield {**os.environ, "LD_PRELOAD": str(library), MOVED: seconds}


def run(name: str, arguments: Sequence[str]) -> int:
    """One run of pytest on that date; its exit code."""
    with dated(DATES[name]) as environment:
        words = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


def main(words: Sequence[str]) -> int:
    """Run what is asked on each date; 1 when something fails on any of them."""
    asked = list(words)
    arguments = asked[asked.index("--") + 1 :] if "--" in asked else list(ALL_TESTS)
    named = asked[: asked.index("--")] if "--" in asked else asked
    failed = []
    for name in DATES if named == ["all"] else named:
        sys.stderr.write(f"\n== {name}: {DATES[name]:%Y-%m-%d %H:%M} UTC ==\n")
        if run(name, arguments):
            failed.append(name)
    sys.stderr.write(f"failed on: {', '.join(failed) or 'no date'}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
