"""Records a second from HTTP bytes to committed in the lake, as a share of the limit.

    python -m benchmarks.line_speed [--records 50000] [--rounds 3]

The pages are real answers of the sandbox, kept in memory. *Line*: one process collects as
`trailkeeper collect` does: the pull step (parse, check, land with fsync, mark in the ledger) on
every page, and beside it the merge step (deduplicate, commit to the Delta table, mark). *Limit*:
the same bytes, split into raw records and typed headers by the fastest JSON library at hand and
written as zstd Parquet by polars; nothing is checked, deduplicated, made durable or marked. The two
take turns; the ratio is of the medians.

*Memory*: a fresh worker process pulls one window of the same size from the running sandbox over
TLS; the peak is the kernel's own count of that process (VmHWM).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from benchmarks.lab import TENANT, Lab, lab
from trailkeeper import logs
from trailkeeper.bootstrap import World
from trailkeeper.microsoft.exchange.client import SEARCH, ExchangeClient
from trailkeeper.microsoft.exchange.source import ExchangeSource
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.model.segment import MergeCounts, NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.settings import load
from trailkeeper.steps.collect import CollectStep

START = datetime(2026, 10, 5, tzinfo=UTC)
STREAM = Stream(TENANT, Source.EXCHANGE)
PAGE_ROWS = 4_500
HOUR = timedelta(hours=1)
Pages = dict[str, bytes]


def main() -> None:
    options = _options()
    logs.configure("warning")
    hours = max(1, round(options.records / PAGE_ROWS))
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        for hour in range(hours):
            at = (START + hour * HOUR).isoformat()
            found.control.crowd(TENANT, at, options.records // hours, seconds=3600)
        window = Window(START, START + hours * HOUR)
        pages = _fetch(found, window)
        _speed(found, window, pages, options.rounds)
        _memory(found, window)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


# --- the line ---


class _Keeping(ExchangeClient):
    """Fetches for real, and keeps the bodies by the window that was asked."""

    pages: Pages

    def invoke(
        self, cmdlet: str, parameters: Mapping[str, object], link: str | None = None
    ) -> Answer:
        answer = super().invoke(cmdlet, parameters, link)
        self.pages[str(parameters)] = answer.body
        return answer


class _Replaying:
    """Answers from memory what was fetched before: the clock starts at the bytes."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.requests = 0

    def invoke(
        self, cmdlet: str, parameters: Mapping[str, object], link: str | None = None
    ) -> Answer:
        if cmdlet != SEARCH or link:
            raise SystemExit(f"the benchmark holds no answer for {cmdlet}")
        self.requests += 1
        return Answer(200, body=self._pages[str(parameters)])


def _fetch(found: Lab, window: Window) -> Pages:
    world = found.world()
    tenant = world.settings.tenant(TENANT)
    client = _Keeping(
        tenant, world.settings.cloud(tenant), world.sessions.of(tenant.cloud), world.tokens
    )
    client.pages = {}
    _run_line(world, client, window)
    world.close()
    return client.pages


def _run_line(world: World, client: object, window: Window) -> MergeCounts:
    """Collect hour by hour through `client`: pull and merge side by side, in this process."""
    source = world.sources[Source.EXCHANGE]
    assert isinstance(source, ExchangeSource)
    source.client = lambda tenant: client  # type: ignore[method-assign, assignment, return-value]
    segments = [NewSegment(STREAM, hour, Purpose.COLLECT) for hour in window.pieces(HOUR)]
    world.ledger.plan(STREAM, lambda watermark: segments, world.clock.now())
    service, known = world.settings.service, world.settings.collection.known(1)
    step = CollectStep(
        world.ledger, world.clock, world.pull, world.merge, "benchmark", 1, known, service.lease
    )
    return step(TENANT, [(STREAM, window)], lambda progress: None).merged


def _time_line(found: Lab, window: Window, pages: Pages, name: str) -> tuple[int, float]:
    settings = load(found.configuration)
    kept = found.folder / name
    service = settings.service.model_copy(
        update={"data": kept, "lake": str(kept / "lake"), "ledger": f"sqlite:///{kept}/ledger.db"}
    )
    world = World(settings.model_copy(update={"service": service}))
    world.ledger.tenants_to_merge()  # the ledger is made before the clock starts, as in a service
    started = time.perf_counter()
    counts = _run_line(world, _Replaying(pages), window)
    seconds = time.perf_counter() - started
    world.close()
    return counts.received, seconds


# --- the limit ---


class Row(msgspec.Struct, gc=False):
    AuditData: str


class Page(msgspec.Struct):
    value: list[Row]


class Header(msgspec.Struct, gc=False):
    Id: str
    CreationTime: str
    RecordType: int
    Operation: str
    Workload: str
    UserId: str
    UserType: int
    ClientIP: str | None = None
    ResultStatus: str | None = None


def _time_limit(pages: Pages, path: Path) -> tuple[int, float]:
    """Raw records and typed headers out of the bytes, into one zstd Parquet file."""
    import polars as pl

    page_decoder, header_decoder = msgspec.json.Decoder(Page), msgspec.json.Decoder(Header)
    names = [field.name for field in msgspec.structs.fields(Header)]
    started = time.perf_counter()
    raw: list[str] = []
    headers: list[Header] = []
    for body in pages.values():
        texts = [row.AuditData for row in page_decoder.decode(body).value]
        raw += texts
        headers += [header_decoder.decode(text) for text in texts]
    columns = {name: [getattr(header, name) for header in headers] for name in names}
    pl.DataFrame({**columns, "raw": raw}).write_parquet(path, compression="zstd")
    return len(raw), time.perf_counter() - started


def _speed(found: Lab, window: Window, pages: Pages, rounds: int) -> None:
    line, limit = [], []
    for number in range(rounds + 1):
        received, line_seconds = _time_line(found, window, pages, f"line-{number}")
        records, limit_seconds = _time_limit(pages, found.folder / f"limit-{number}.parquet")
        assert received == records, (received, records)
        if number:  # the first round warms libraries up
            line.append(received / line_seconds)
            limit.append(records / limit_seconds)
    ours, best = statistics.median(line), statistics.median(limit)
    size = sum(map(len, pages.values())) / 2**20
    print(f"records            {records:>10,} in {len(pages)} pages, {size:.1f} MiB of HTTP body")
    print(f"line               {ours:>10,.0f} records/s  (median of {rounds})")
    print(f"limit              {best:>10,.0f} records/s  (median of {rounds})")
    print(f"line / limit       {100 * ours / best:>9.0f} %")


# --- memory ---

_PULL = """
import sys, time
import worker.tasks  # what a worker process holds
from trailkeeper import logs
logs.configure("warning")
from worker.world import open_world
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, parse_instant
world = open_world()
stream = Stream(sys.argv[1], Source.EXCHANGE)
segment = NewSegment(stream, Window(*map(parse_instant, sys.argv[2:4])), Purpose.COLLECT)
world.ledger.plan(stream, lambda watermark: [segment], world.clock.now())
(segment_id,) = world.ledger.planned_ids([segment])
world.pull(segment_id, "benchmark")
heavy = [name for name in ("polars", "deltalake") if name in sys.modules]
peak = next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]
print(world.ledger.counts(stream, segment.window).received, peak, ",".join(heavy) or "none")
"""


def pull_in_worker(found: Lab, window: Window) -> tuple[int, float, str]:
    """Pull `window` in a fresh worker process: rows received, its peak in MiB, heavy libraries."""
    environment = {
        **os.environ,
        "TRAILKEEPER_CONFIG": str(found.configuration),
        "TRAILKEEPER_REDIS": "redis://127.0.0.1:1/0",  # named, never reached: tokens stay here
    }
    told = subprocess.run(
        [sys.executable, "-c", _PULL, TENANT, window.start.isoformat(), window.end.isoformat()],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return int(told[0]), int(told[1]) / 1024, told[2]


def _memory(found: Lab, window: Window) -> None:
    rows, peak, heavy = pull_in_worker(found, window)
    print(
        f"pulling worker     {peak:>10.0f} MiB peak, one window of {rows:,} rows received; "
        f"of polars and deltalake loaded: {heavy}"
    )


if __name__ == "__main__":
    main()
