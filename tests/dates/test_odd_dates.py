"""The tests on another date than today's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.dates.odd_dates import DATES, MOVED, ROOT, compiler, dated

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("whole service"),
    pytest.mark.skipif(compiler() is None, reason="no C compiler here, or not Linux of 64 bits"),
]

_WAITS = """
import datetime, pathlib, queue, sys, tempfile, threading, time
began = time.monotonic()
threading.Event().wait(0.1)
threading.Lock().acquire(timeout=0.1) and None
condition = threading.Condition()
with condition:
    condition.wait(0.1)
time.sleep(0.1)
try:
    queue.Queue().get(timeout=0.1)
except queue.Empty:
    pass
with tempfile.NamedTemporaryFile() as file:
    written = pathlib.Path(file.name).stat().st_mtime
print(datetime.datetime.now(datetime.UTC).date())
print(datetime.datetime.fromtimestamp(written, datetime.UTC).date())
print(0.4 <= time.monotonic() - began < 60)
"""

DEPENDENT = [
    "tests/e2e/test_demo.py::test_demo_mails_three_reports",
    "tests/cli/test_report.py",
    "tests/cli/test_coverage.py",
    "tests/sandbox/test_search.py",
    "tests/steps/test_months.py",
    "tests/model/test_planning.py",
]
"""months, ranges, retention and records of a service, by the clock of every process"""


def test_waits_last_as_on_any_other_date() -> None:
    """On a moved date a wait is as long as ever, and a file has been written on that date."""
    with dated(DATES["two-years-ahead"]) as environment:
        said = subprocess.check_output([sys.executable, "-c", _WAITS], env=environment, text=True)
    assert said.split() == ["2028-11-15", "2028-11-15", "True"]


def test_an_odd_date() -> None:
    """What depends on the date passes over the last minutes of a year; `make test-dates` runs all
    tests on all of the dates."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not nightly", *DEPENDENT]
    with dated(DATES["new-years-eve"]) as environment:
        moved = {**clean, **{name: environment[name] for name in ("LD_PRELOAD", MOVED)}}
        done = subprocess.run(
            words, cwd=ROOT, env=moved, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout
