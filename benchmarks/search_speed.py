"""Half a million records of one tenant in two days: collected, and merely read, in the same run.

    python -m benchmarks.search_speed [--records 500000] [--rounds 1]

The sandbox runs in a process of its own and answers without delay. *Ours*: `trailkeeper collect` as
it is: planned, searched, proven, landed with fsync, merged once each, committed. *Reader*: as many
threads as ours has searches ask for the same windows with the same parameters and throw the bytes
away. Both are commands: a fresh process that starts, reads the configuration, logs in. The pages
were rendered before both. *Warm reader*: the same requests from a process that is up and logged in,
which a command cannot match; shown because it is the hardest measure. *Memory*: the kernel's count
of a worker process that pulls the busiest window alone (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from benchmarks.lab import TENANT, Lab, lab
from benchmarks.line_speed import pull_in_worker
from benchmarks.search_profiles import TWO_DAYS
from trailkeeper import logs
from trailkeeper.bootstrap import World
from trailkeeper.microsoft.exchange import ExchangeSource
from trailkeeper.microsoft.exchange_client import SEARCH
from trailkeeper.microsoft.exchange_page import read_page
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
            read, warm = _read(at.configuration, windows)
            _show("warm reader", read, warm)
            reading = _reader(at, windows)
            _show("reader", read, reading)
            at.control.clear_counters()
            stored, collecting = _collect(at, Path(name))
            _show("collect", stored, collecting)
            calls = at.control.counters()["requests"]
            print(f"calls              {calls['search']:>10,} for {stored:,} records")
            for what, seconds in (("reader", reading), ("warm reader", warm)):
                share = 100 * (stored / collecting) / (read / seconds)
                print(f"{f'collect / {what}':23}{share:>5.0f} %")
        _memory(at)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def _show(what: str, records: int, seconds: float) -> None:
    print(f"{what:19}{records / seconds:>10,.0f} records/s  ({records:,} in {seconds:.1f} s)")


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


def _read(configuration: Path, windows: list[Window]) -> tuple[int, float]:
    """Ask for every window with threads, and only count; the seconds are those once logged in."""
    world = World(load(configuration))
    source = world.sources[Source.EXCHANGE]
    assert isinstance(source, ExchangeSource)
    clients = [source.client(TENANT) for _ in range(THREADS)]
    clients[0].invoke(SEARCH, _asked(windows[0]))  # the token is there before the clock starts

    def ask(turn: int) -> int:
        mine = windows[turn::THREADS]
        bodies = (clients[turn].invoke(SEARCH, _asked(window)).body for window in mine)
        return sum(body.count(b'"AuditData":') for body in bodies)

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        rows = sum(pool.map(ask, range(THREADS)))
    seconds = time.perf_counter() - started
    world.close()
    return rows, seconds


def _reader(at: Lab, windows: list[Window]) -> float:
    """Seconds of a process that does nothing but `_read`."""
    bounds = json.dumps([[iso(window.start), iso(window.end)] for window in windows])
    code = "from benchmarks import search_speed; search_speed.read_only()"
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, str(at.configuration)], check=True, input=bounds, text=True
    )
    return time.perf_counter() - started


def read_only() -> None:
    """The reader's process: the windows come as JSON on its standard input."""
    logs.configure("warning")
    bounds = json.load(sys.stdin)
    windows = [Window(parse_instant(start), parse_instant(end)) for start, end in bounds]
    _read(Path(sys.argv[1]), windows)


def _asked(window: Window) -> dict[str, object]:
    return {"StartDate": iso(window.start), "EndDate": iso(window.end), "ResultSize": 5000}


def _collect(at: Lab, folder: Path) -> tuple[int, float]:
    """The command in a process of its own; its start counts."""
    words = ["collect", "--config", str(at.configuration), "--tenant", TENANT, "--json"]
    span = ["--from", iso(TWO_DAYS.start), "--to", iso(TWO_DAYS.end)]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "trailkeeper.cli", *words, *span],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - started
    said = json.loads(done.stdout.splitlines()[-1])
    assert not said["gaps"], said
    return said["records_stored"], seconds


def _memory(at: Lab) -> None:
    window = Window(BURST, BURST + timedelta(minutes=10))
    rows, peak, heavy = pull_in_worker(at, window)
    print(
        f"pulling worker     {peak:>10.0f} MiB peak, {rows:,} rows; of polars, deltalake: {heavy}"
    )


if __name__ == "__main__":
    main()
