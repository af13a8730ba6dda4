"""How long a collection takes where every call is slow, as a multiple of the ideal schedule.

    python -m benchmarks.search_time [PROFILE...]

The service answers in 8 s + 1 ms per row and takes three searches at a time. Time is simulated
(`benchmarks.search_model`): only calls take any; real time would be hours. The ideal is the least
number of calls, each full, spread over the three without a pause:
(calls × 8 s + records × 1 ms) / 3.
"""

from __future__ import annotations

import argparse
import math

from benchmarks.search_model import Cost, Model
from benchmarks.search_profiles import MONTH, PROFILES, TWO_DAYS, WEEK, half_a_million, profile
from trailkeeper.model.window import Window

CONCURRENCY = 3
SECONDS_PER_CALL, SECONDS_PER_ROW = 8.0, 0.001
BAR = 1.15
HALF_A_MILLION = "half a million in two days"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("profiles", nargs="*", metavar="PROFILE")
    chosen = parser.parse_args().profiles or [HALF_A_MILLION, *list(PROFILES)[:4]]
    print(f"{'simulated':32}{'':>9}{'calls':>7}{'hours':>8}{'ideal':>8}{'×':>7}")
    for name in chosen:
        window = TWO_DAYS if name == HALF_A_MILLION else MONTH
        found = _slow(name)
        _show(name, "cold", found, window, found.collect(window, CONCURRENCY))
        fresh = _slow(name)
        fresh.collect(WEEK, CONCURRENCY)
        _show("", "learned", fresh, window, fresh.collect(window, CONCURRENCY))


def _slow(name: str) -> Model:
    found = half_a_million() if name == HALF_A_MILLION else profile(name)
    found.seconds_per_call, found.seconds_per_row = SECONDS_PER_CALL, SECONDS_PER_ROW
    return found


def _show(name: str, how: str, found: Model, window: Window, cost: Cost) -> None:
    records = found.records(window)
    least = math.ceil(records / found.limits.cap)
    ideal = (least * SECONDS_PER_CALL + records * SECONDS_PER_ROW) / CONCURRENCY
    ratio = cost.seconds / ideal
    print(
        f"{name:32}{how:>9}{cost.calls:>7,}{cost.seconds / 3600:>8.3f}{ideal / 3600:>8.3f}"
        f"{ratio:>7.2f}{'' if ratio <= BAR else f'  over the bar: {BAR}'}"
    )


if __name__ == "__main__":
    main()
