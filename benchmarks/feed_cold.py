"""Cold pull of one tenant's feed, against a bare threaded reader of the same blobs.

    python -m benchmarks.feed_cold [--records 100000] [--latency 0.15] [--pullers 1]

*Bare*: a pool of threads fetches every blob over the same TLS with `requests`, one session, and
throws the bodies away. *Ours*: a fresh ledger and lake; the window is planned as a back-fill and
listed, every blob is a row before it is fetched, the records are parsed, landed with fsync and
committed to the Delta table. Pulling and merging are two processes, as in the service; with
`--pullers 2` there are as many pulling ones as `up` starts, and the bare reader, which stays one
process, has as many connections as they have together. The two take turns in one run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from benchmarks.lab import TENANT, Lab, lab
from trailkeeper import logs
from trailkeeper.bootstrap import World
from trailkeeper.microsoft.activity.source import THREADS
from trailkeeper.model.feed.rules import content_types
from trailkeeper.model.segment import MergeCounts, NewSegment, Purpose, SegmentState
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window
from trailkeeper.process.garbage import collect_seldom
from trailkeeper.settings import load

STREAM = Stream(TENANT, Source.ACTIVITY)
AXIS = Axis.AVAILABLE
BLOB_RECORDS = 56


def main() -> None:
    options = _options()
    logs.configure("warning")
    end = datetime.now(UTC).replace(microsecond=0)
    start = end - timedelta(hours=20)
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        found.control.alter(
            TENANT,
            blob_records=BLOB_RECORDS,
            blob_sizes="fixed",
            blob_seconds=3600,
            requests_per_minute=1_000_000,
            anonymous_per_minute=1_000_000,
        )
        crowded = (start + timedelta(minutes=5)).isoformat()
        found.control.crowd(TENANT, crowded, options.records, seconds=18 * 3600)
        _subscribe(found)
        found.control.render_blobs()
        blobs = [(blob["contentId"], blob["records"]) for blob in found.control.blobs(TENANT)]
        window = Window(start, end, AXIS)
        for latency in dict.fromkeys((0.0, options.latency)):  # each has folders of its own
            found.control.alter(TENANT, seconds_per_blob=latency)
            _compare(found, blobs, window, latency, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=0.15, help="seconds a blob")
    parser.add_argument("--threads", type=int, default=THREADS, help="for each puller")
    parser.add_argument("--pullers", type=int, default=1, help="pulling processes")
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def _compare(
    found: Lab,
    blobs: list[tuple[str, int]],
    window: Window,
    latency: float,
    options: argparse.Namespace,
) -> None:
    bare, ours = [], []
    peak = 0
    records = sum(number for _, number in blobs)
    for number in range(options.rounds):
        bare.append(_bare(found, blobs, options.threads * options.pullers))
        name = f"{latency}-{number}"
        seconds, peak = _ours(found, window, name, records, options.pullers)
        ours.append(seconds)
    print(f"{latency * 1000:.0f} ms a blob: {records:,} records in {len(blobs):,} blobs")
    print(f"  bare reader   {records / min(bare):>9,.0f} records/s  ({min(bare):.1f} s)")
    print(f"  ours          {records / min(ours):>9,.0f} records/s  ({min(ours):.1f} s)")
    print(f"  ours / bare   {100 * min(bare) / min(ours):>8.0f} %")
    print(f"  pulling worker {peak / 1024:>7.0f} MiB at its peak")


def _subscribe(found: Lab) -> None:
    world = found.world()
    source = world.sources[Source.ACTIVITY]
    client = source.client(TENANT)  # type: ignore[attr-defined]  # the feed's own
    for content_type in content_types(dlp=False):
        client.post(client.url("subscriptions/start", contentType=content_type))
    world.close()


def _bare(found: Lab, blobs: list[tuple[str, int]], threads: int) -> float:
    settings = load(found.configuration)
    tenant = settings.tenant(TENANT)
    cloud = settings.cloud(tenant)
    world = World(settings)
    token = world.tokens.get(tenant, cloud.management)
    world.close()
    session = requests.Session()
    session.trust_env = False  # the environment's authorities would win over the sandbox's
    session.mount("https://", HTTPAdapter(pool_maxsize=threads))
    session.verify = str(cloud.ca_bundle)
    session.headers["Authorization"] = f"Bearer {token}"
    base = f"{cloud.management}/api/v1.0/{tenant.tenant_id}/activity/feed/audit"
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda blob: session.get(f"{base}/{blob[0]}").content, blobs))
    return time.perf_counter() - started


_WORK = """
import sys, time
from trailkeeper import logs
logs.configure("warning")
from benchmarks.feed_cold import work
work(sys.argv[1], sys.argv[2], sys.argv[3])
"""


def work(configuration: str, role: str, until: str) -> None:
    """One process of ours: `pull` what is due, or `merge` what has landed, until all is stored."""
    world = World(load(Path(configuration)))
    if role == "merge":
        import deltalake  # noqa: F401 - loaded before the clock starts, as in a service
        import polars  # noqa: F401
    _ = world.sources, world.ledger.tenants_to_merge()
    collect_seldom()  # as each worker's process does
    print("ready", flush=True)
    sys.stdin.readline()
    if role == "pull":
        _pull_all(world)
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
        print(line.split()[1], flush=True)
    else:
        total = MergeCounts()
        while total.received < int(until):
            total += world.merge(TENANT, "merger")
            time.sleep(0.02)
        print(total.stored, flush=True)
    world.close()


def _pull_all(world: World) -> None:
    """Until nothing is left, nor under way: what a pull leaves over is the next segment."""
    at_once = world.settings.service.searches_per_tenant
    always = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC), AXIS)
    while True:
        for segment in world.ledger.due(world.clock.now(), 1, at_once):
            world.pull(segment.id, f"puller {os.getpid()}")
            break
        else:
            left = world.ledger.unfinished(TENANT, always)
            if all(segment.state is SegmentState.LANDED for segment in left):
                return
            time.sleep(0.02)


def _ours(found: Lab, window: Window, name: str, records: int, pullers: int) -> tuple[float, int]:
    """Seconds from the first listing to the last commit, and the puller's peak in KiB."""
    configuration = _fresh(found, name)
    world = World(load(configuration))
    length = world.settings.collection.feed_cadence().segment_length
    segments = [NewSegment(STREAM, piece, Purpose.BACKFILL) for piece in window.pieces(length)]
    world.ledger.plan(STREAM, lambda watermark: segments, world.clock.now())
    world.close()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORK, str(configuration), role, str(records)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for role in ("merge", *["pull"] * pullers)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    merger = workers[0]
    assert merger.stdout
    stored = int(merger.stdout.readline())
    seconds = time.perf_counter() - started
    assert stored == records, (stored, records)
    peak = max(int(puller.stdout.readline()) for puller in workers[1:] if puller.stdout)
    for worker in workers:
        worker.wait(30)
    return seconds, peak


def _fresh(found: Lab, name: str) -> Path:
    """The same configuration over an empty data folder, without a budget to wait for."""
    folder = found.folder / f"configuration-{name}"
    subprocess.run(["cp", "-r", str(found.configuration), str(folder)], check=True)  # noqa: S607 - a folder of ours
    main = folder / "trailkeeper.toml"
    text = main.read_text("utf-8").replace(str(found.folder / "data"), str(found.folder / name))
    main.write_text(text, "utf-8")
    return folder


if __name__ == "__main__":
    main()
