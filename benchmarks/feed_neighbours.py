"""One tenant floods, another answers AF429 to everything: what do the others notice?

    python -m benchmarks.feed_neighbours [--tenants 300] [--rate 60] [--minutes 2] [--rounds 2]

One run of `trailkeeper up` over a sandbox, calm and disturbed by turns, so that the machine's own
moods meet both alike. In a disturbed phase one tenant makes 500 times its records and another one
refuses every call as too much. Printed: the other tenants' time from contentCreated to in the lake,
of all blobs created in calm phases and of all created in disturbed ones. The first minute of a
phase counts for neither: it still holds what the one before left.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import fleet
from benchmarks.lab import Lab, lab

WARM_UP = timedelta(minutes=2)
BETWEEN = timedelta(minutes=1)
FLOOD = 500

Spans = list[tuple[datetime, datetime]]


def main() -> None:
    options = _options()
    names = [f"tenant-{number:04}" for number in range(options.tenants)]
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        fleet.settle(found, names, options.workers)
        rates = found.control.set_volume(options.rate, tenants=names)
        mean = options.rate / len(names)
        flooding, refusing = sorted(names, key=lambda name: abs(rates[name] - mean))[:2]
        calm, disturbed = Spans(), Spans()
        with fleet.running(found):
            fleet.wait_until(datetime.now(UTC) + WARM_UP - BETWEEN)
            for _ in range(options.rounds):
                calm.append(_phase(options.minutes))
                found.control.alter(flooding, feed_rate=FLOOD * rates[flooding])
                found.control.set_fault("af429", tenant=refusing, times=0)
                disturbed.append(_phase(options.minutes))
                found.control.alter(flooding, feed_rate=rates[flooding])
                found.control.clear_faults()
            fleet.wait_until(datetime.now(UTC) + fleet.GRACE)
        fleet.keep_log(found, options.log)
        _print(found, names, (flooding, refusing), calm, disturbed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tenants", type=int, default=300)
    parser.add_argument("--rate", type=float, default=60.0, help="records a second, overall")
    parser.add_argument("--minutes", type=float, default=2.0, help="of one phase that count")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="pulling processes")
    parser.add_argument("--log", help="where to keep the service's log")
    return parser.parse_args()


def _phase(minutes: float) -> tuple[datetime, datetime]:
    start = datetime.now(UTC) + BETWEEN
    end = start + timedelta(minutes=minutes)
    fleet.wait_until(end)
    return start, end


def _print(
    found: Lab, names: list[str], apart: tuple[str, str], calm: Spans, disturbed: Spans
) -> None:
    lake = fleet.Lake(found, names)
    before, after = (lake.arrivals(*spans) for spans in (calm, disturbed))
    flooding = after.by_tenant[apart[0]]
    mine = sum(count for _, count in flooding)
    print(
        f"tenants        {len(names):>8,}, {len(calm)} calm and {len(disturbed)} disturbed phases"
    )
    print(f"flood          {mine:>8,} records of one tenant in the disturbed phases")
    print(f"its p95        {fleet.Arrivals({'': flooding}).at(0.95):>8.1f} s")
    before, after = before.without(*apart), after.without(*apart)
    for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        calmly, disturbedly = before.at(share), after.at(share)
        moved = 100 * (disturbedly / calmly - 1)
        told = f"{calmly:>8.1f} s calm, {disturbedly:.1f} s disturbed"
        print(f"others' {label}    {told}: {moved:+.1f} %")


if __name__ == "__main__":
    main()
