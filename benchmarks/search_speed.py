"""Half a million records of one tenant in two days: collected, and merely read, in the same run.

    python -m benchmarks.search_speed [--records 500000] [--rounds 1]

The sandbox runs in a process of its own and answers without delay. *Ours*: `trailkeeper collect` as
it is: planned, searched, proven, landed with fsync, merged once each, committed. *Reader*: as many
threads as ours has searches ask for the same windows with the same parameters and throw the bytes
away. Both are commands, a fresh process that starts, reads the configuration and logs in; they are
compared from the start of the process, and from the first search that the sandbox sees, as of a
service that is up. The pages were rendered before both. *Memory*: the kernel's count of a worker
process that pulls the busiest window alone (VmHWM).
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.lab import TENANT, Lab, lab
from benchmarks.line_speed import pull_in_worker
from benchmarks.search_profiles import TWO_DAYS
from trailkeeper import logs
from trailkeeper.bootstrap import World
from trailkeeper.microsoft.exchange.client import SEARCH
from trailkeeper.microsoft.exchange.page import read_page
from trailkeeper.microsoft.exchange.source import ExchangeSource
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window, iso, parse_instant
from trailkeeper.settings import load

BURST = TWO_DAYS.start + timedelta(hours=10, minutes=20)
THREADS = 3


def main() -> None:
    options = _options()
    logs.configure("warning")
    keep = str(options.records + 10_000)
    with (
        tempfile.TemporaryDirectory() as name,
        lab(Path(name), "--rate", "0", "--keep-rows", keep) as at,
    ):
        burst = options.records * 60 // 500
        days = (options.records - burst) // 2
        for day in (TWO_DAYS.start, TWO_DAYS.start + timedelta(days=1)):
            at.control.crowd(TENANT, iso(day), days, seconds=86_000)
        at.control.crowd(TENANT, iso(BURST), burst, seconds=600)
        windows = _windows(at)
        _read(at.configuration, windows)  # renders every row once
        for _ in range(options.rounds):
            reader = _timed(at, lambda: _reader(at, windows))
            _show("reader", reader)
            collect = _timed(at, lambda: _collect(at, Path(name)))
            _show("collect", collect)
            print(f"calls              {collect.calls:>10,} for {collect.records:,} records")
            started = 100 * collect.rate(collect.seconds) / reader.rate(reader.seconds)
            searching = 100 * collect.rate(collect.searching) / reader.rate(reader.searching)
            print(f"collect / reader   {started:>9.0f} % from the start")
            print(f"collect / reader   {searching:>9.0f} % from the first search")
        _memory(at)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


@dataclass(frozen=True)
class _Took:
    """One command: its records, and the seconds from its start and from its first search."""

    records: int
    seconds: float
    searching: float
    calls: int

    def rate(self, seconds: float) -> float:
        return self.records / seconds


def _timed(at: Lab, command: Callable[[], int]) -> _Took:
    at.control.clear_counters()
    began = time.time()
    records = command()
    ended = time.time()
    counters = at.control.counters()
    first, calls = counters["first_at"]["search"], counters["requests"]["search"]
    return _Took(records, ended - began, ended - first, calls)


def _show(what: str, took: _Took) -> None:
    print(
        f"{what:19}{took.rate(took.seconds):>10,.0f} records/s  "
        f"({took.records:,} in {took.seconds:.1f} s, {took.searching:.1f} s of them searching)"
    )


def _windows(at: Lab) -> list[Window]:
    """Consecutive windows of just under 5,000 records, as an all-knowing reader would ask."""
    world = at.world()
    source = world.sources[Source.EXCHANGE]
    assert isinstance(source, ExchangeSource)
    client, reader = source.client(TENANT), RecordReader(world.clock.now())
    windows, end = [], TWO_DAYS.end
    while end > TWO_DAYS.start:
        asked = {"StartDate": iso(TWO_DAYS.start), "EndDate": iso(end), "ResultSize": 5000}
        page = read_page(client.invoke(SEARCH, asked).body, reader)
        last = min(page.times, default=0) // 1_000_000
        full = len(page.times) >= 5000
        start = TWO_DAYS.start
        if full:
            start = max(start, Window(start, end).start.fromtimestamp(last + 1, start.tzinfo))
        windows.append(Window(start, end))
        end = start
    world.close()
    return windows


def _read(configuration: Path, windows: list[Window]) -> int:
    """Ask for every window with threads, and only count."""
    world = World(load(configuration))
    source = world.sources[Source.EXCHANGE]
    assert isinstance(source, ExchangeSource)
    clients = [source.client(TENANT) for _ in range(THREADS)]

    def ask(turn: int) -> int:
        mine = windows[turn::THREADS]
        bodies = (clients[turn].invoke(SEARCH, _asked(window)).body for window in mine)
        return sum(body.count(b'"AuditData":') for body in bodies)

    with ThreadPoolExecutor(THREADS) as pool:
        rows = sum(pool.map(ask, range(THREADS)))
    world.close()
    return rows


def _reader(at: Lab, windows: list[Window]) -> int:
    """A process that does nothing but `_read`."""
    bounds = json.dumps([[iso(window.start), iso(window.end)] for window in windows])
    code = "from benchmarks import search_speed; search_speed.read_only()"
    command = [sys.executable, "-c", code, str(at.configuration)]
    done = subprocess.run(command, check=True, input=bounds, stdout=subprocess.PIPE, text=True)
    return int(done.stdout)


def read_only() -> None:
    """The reader's process: the windows come as JSON on its standard input."""
    logs.configure("warning")
    atexit.register(gc.freeze)  # as our command does
    bounds = json.load(sys.stdin)
    windows = [Window(parse_instant(start), parse_instant(end)) for start, end in bounds]
    print(_read(Path(sys.argv[1]), windows))


def _asked(window: Window) -> dict[str, object]:
    return {"StartDate": iso(window.start), "EndDate": iso(window.end), "ResultSize": 5000}


def _collect(at: Lab, folder: Path) -> int:
    words = ["collect", "--config", str(at.configuration), "--tenant", TENANT, "--json"]
    span = ["--from", iso(TWO_DAYS.start), "--to", iso(TWO_DAYS.end)]
    shutil.rmtree(folder / "data", ignore_errors=True)  # of the round before
    command = [sys.executable, "-m", "trailkeeper.cli", *words, *span]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert not said["gaps"], said
    stored: int = said["records_stored"]
    return stored


def _memory(at: Lab) -> None:
    window = Window(BURST, BURST + timedelta(minutes=10))
    rows, peak, heavy = pull_in_worker(at, window)
    print(
        f"pulling worker     {peak:>10.0f} MiB peak, {rows:,} rows; of polars, deltalake: {heavy}"
    )


if __name__ == "__main__":
    main()
