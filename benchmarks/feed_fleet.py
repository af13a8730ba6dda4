"""A thousand tenants' feeds, one poll a minute each, on this machine, through beat and workers.

    python -m benchmarks.feed_fleet [--tenants 1000] [--rate 200] [--minutes 10] [--cold]

The sandbox makes `rate` records a second over all tenants, unevenly spread; `trailkeeper up`
follows them. After a warm-up of two minutes, in which every tenant logs in once and gets its table,
every blob that the sandbox creates in `minutes` counts: from contentCreated to in the lake, each
record once. The service then goes on for three minutes; what has not come by then counts as never.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import fleet
from benchmarks.lab import lab

WARM_UP = timedelta(minutes=2)


def main() -> None:
    options = _options()
    names = [f"tenant-{number:04}" for number in range(options.tenants)]
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        fleet.settle(found, names, options.workers, cold=options.cold)
        found.control.set_volume(options.rate, tenants=names)
        load_before = os.getloadavg()[0]
        with fleet.running(found) as watch:
            start = datetime.now(UTC) + WARM_UP
            end = start + timedelta(minutes=options.minutes)
            fleet.wait_until(start)
            before = watch.seconds()
            fleet.wait_until(end)
            used = watch.seconds() - before
            fleet.wait_until(end + fleet.GRACE)
        fleet.keep_log(found, options.log)
        arrivals = fleet.Lake(found, names).arrivals((start, end))
        _print(arrivals, (end - start).total_seconds(), used, watch.peak, load_before)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0, help="records a second, overall")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cold", action="store_true", help="seven days of each to look through")
    parser.add_argument("--workers", type=int, default=2, help="pulling processes")
    parser.add_argument("--log", help="where to keep the service's log")
    return parser.parse_args()


def _print(
    arrivals: fleet.Arrivals, seconds: float, used: Counter[str], peak: int, load_before: float
) -> None:
    waits = arrivals.all
    records = sum(count for _, count in waits)
    never = sum(count for wait, count in waits if wait == fleet.NEVER)
    silent = [name for name, found in arrivals.by_tenant.items() if not found]
    name, worst = arrivals.worst()
    print(f"tenants        {len(arrivals.by_tenant):>8,}, {len(silent)} of them without a blob")
    print(f"created        {records:>8,} records in {len(waits):,} blobs in {seconds:.0f} s")
    print(f"never came     {never:>8,} records")
    for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        print(f"{label}            {arrivals.at(share):>8.1f} s from contentCreated to the lake")
    print(f"worst tenant   {worst:>8.1f} s at its own p95 ({name})")
    print(f"memory         {peak / 2**20:>8.0f} MiB, all processes of ours together (PSS)")
    share = {role: 100 * spent / seconds for role, spent in sorted(used.items())}
    told = ", ".join(f"{role} {percent:.0f} %" for role, percent in share.items())
    print(f"processor      {sum(share.values()):>8.0f} % of one: {told}")
    print(f"load before    {load_before:>8.2f}")


if __name__ == "__main__":
    main()
