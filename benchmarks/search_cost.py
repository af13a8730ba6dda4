"""Calls and rows of a month's collection, as multiples of the least that any client needs.

    python -m benchmarks.search_cost [--days 31] [PROFILE...]

The least is one call per 5,000 records and each row once. *Cold*: nothing is known of the tenant.
*Learned*: its last week was collected before. The engine is the sandbox's own, without the wire
(`benchmarks.search_model`); calls of any cmdlet count.
"""

from __future__ import annotations

import argparse
import math
from datetime import timedelta

from benchmarks.search_model import Cost, Model
from benchmarks.search_profiles import MONTH, PROFILES, WEEK, empty_first_month, profile
from trailkeeper.model.window import Window

CONCURRENCY = 3
BARS = {"cold": (1.6, 1.3), "learned": (1.2, 1.05), "two months": (2.8, 1.4)}
"""two months: twice the seven calls that the same records cost without the empty month"""


def main() -> None:
    options = _options()
    window = Window(MONTH.start, MONTH.start + timedelta(days=options.days))
    print(f"{'profile':32}{'':>11}{'records':>10}{'calls':>7}{'least':>7}{'×':>7}{'rows ×':>8}")
    for name in options.profiles or PROFILES:
        found = profile(name)
        _show(name, "cold", found, window, found.collect(window, CONCURRENCY))
        fresh = profile(name)
        fresh.collect(WEEK, CONCURRENCY)
        _show("", "learned", fresh, window, fresh.collect(window, CONCURRENCY))
    if not options.profiles:
        found, both = empty_first_month()
        found.seconds_per_call = 8.0
        cost = found.collect(both, CONCURRENCY)
        _show("25k after an empty month", "two months", found, both, cost)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("profiles", nargs="*", metavar="PROFILE")
    return parser.parse_args()


def _show(name: str, how: str, found: Model, window: Window, cost: Cost) -> None:
    records = found.records(window)
    least = math.ceil(records / found.limits.cap)
    calls, rows = cost.calls / least, cost.rows / records
    kept = calls <= BARS[how][0] and rows <= BARS[how][1]
    print(
        f"{name:32}{how:>11}{records:>10,}{cost.calls:>7,}{least:>7,}{calls:>7.2f}{rows:>8.3f}"
        f"{'' if kept else '  over the bar: ' + '/'.join(map(str, BARS[how]))}"
    )


if __name__ == "__main__":
    main()
