"""One tenant takes 100 s for an answer, then one never ends its answers: what do others notice?

    python -m benchmarks.slow_neighbour [--tenants 40] [--rate 20] [--seconds 45] [--workers 2]

One run of `trailkeeper up` over a sandbox, in three phases: all answer at once; one tenant's every
answer, of its search and of its feed, takes 100 s; that one's answers do not come at all. Printed:
the other tenants' time from contentCreated to in the lake, of the blobs created in each phase, and
how far their p95 moved; and how long their segments waited from due to landed. A minute between
phases counts for none.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, select

from benchmarks import fleet
from benchmarks.lab import Lab, lab
from trailkeeper.model.feed.blob import percentile
from trailkeeper.settings import load
from trailkeeper.store.schema import segments

BETWEEN = timedelta(seconds=60)
"""until both of its sources were asked again, and the phase before has left nothing"""
GRACE = timedelta(seconds=75)
SLOW = "slow"
PHASES = {"alone": 0, "slow": 100, "hostile": 86_400}
"""seconds that each of its answers takes"""

Span = tuple[datetime, datetime]


def main() -> None:
    options = _options()
    names = [f"tenant-{number:04}" for number in range(options.tenants)]
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        fleet.settle(found, [*names, SLOW], options.workers)
        _both_sources(found)
        found.control.set_volume(options.rate, tenants=[*names, SLOW])
        with fleet.running(found):
            spans = {name: _phase(found, takes, options.seconds) for name, takes in PHASES.items()}
            fleet.wait_until(datetime.now(UTC) + GRACE)
        fleet.keep_log(found, options.log)
        _print(found, names, spans)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tenants", type=int, default=40)
    parser.add_argument("--rate", type=float, default=20.0, help="records a second, overall")
    parser.add_argument("--seconds", type=float, default=45.0, help="of one phase that count")
    parser.add_argument("--workers", type=int, default=2, help="pulling processes, as configured")
    parser.add_argument("--log", help="where to keep the service's log")
    return parser.parse_args()


def _both_sources(found: Lab) -> None:
    """The slow tenant is searched every minute too, and has been for days: it has more to do than
    it can."""
    path = found.configuration / "tenants" / f"{SLOW}.toml"
    since = (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("since", "sources"))]
    both = [f'since = "{since}"', 'sources = ["exchange", "activity"]', *kept]
    path.write_text("\n".join(both) + "\n", "utf-8")
    main = found.configuration / "trailkeeper.toml"
    main.write_text(main.read_text("utf-8") + '\n[collection]\ninterval = "1m"\n', "utf-8")


def _phase(found: Lab, takes: int, seconds: float) -> Span:
    found.control.clear_faults()
    if takes:
        found.control.set_fault("slow", tenant=SLOW, times=0, seconds=takes)
    start = datetime.now(UTC) + BETWEEN
    end = start + timedelta(seconds=seconds)
    fleet.wait_until(end)
    return start, end


def _print(found: Lab, names: list[str], spans: dict[str, Span]) -> None:
    lake = fleet.Lake(found, [*names, SLOW])
    p95 = {name: lake.arrivals(span).without(SLOW).at(0.95) for name, span in spans.items()}
    waits = {name: _waits(found, span) for name, span in spans.items()}
    print(f"others          {len(names):>8,} tenants")
    for name in spans:
        moved = 100 * (p95[name] / p95["alone"] - 1)
        print(
            f"{name:<15} {p95[name]:>8.1f} s from created to in the lake, p95 ({moved:+.1f} %); "
            f"{waits[name]:.1f} s from due to landed, p95"
        )


def _waits(found: Lab, span: Span) -> float:
    """Seconds that the others' segments, due within the span, took to be landed."""
    engine = create_engine(load(found.configuration).ledger_url)
    query = select(segments.c.due_at, segments.c.landed_at).where(
        segments.c.tenant != SLOW, segments.c.due_at >= span[0], segments.c.due_at < span[1]
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    engine.dispose()
    took = sorted(
        ((row.landed_at - row.due_at).total_seconds() if row.landed_at else fleet.NEVER, 1)
        for row in rows
    )
    return percentile(took, 0.95)


if __name__ == "__main__":
    main()
