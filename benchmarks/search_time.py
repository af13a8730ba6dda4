"""How long a collection takes where every call is slow, as a multiple of the ideal schedule.

    python -m benchmarks.search_time [PROFILE...]

The service answers in 8 s + 1 ms per row and takes three searches at a time. Time is simulated
(`benchmarks.search_model`): only calls take any; real time would be hours. Beside the time stand

* *ideal*: the least number of calls, each full, spread over the three without a pause:
  (calls × 8 s + records × 1 ms) / 3. It cuts calls in pieces where their number is no multiple of
  three, so that a collection of ten calls cannot reach it, whoever plans it.
* *whole*: the shortest schedule there is with whole calls, for a planner that knows every record
  beforehand. The same as the ideal for long collections. The bar is held against this one, and a
  line that keeps it only by this is marked.
* *cold*: the same for a planner that knows nothing: it may run two searches until the first has
  answered, and it has to ask one full answer's time once more to prove the order. No cold
  collection can be shorter, so that its multiple of *whole* is the least that can be shown there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from benchmarks.search_model import Cost, Model
from benchmarks.search_profiles import MONTH, PROFILES, TWO_DAYS, WEEK, half_a_million, profile
from trailkeeper.model.concurrency import START
from trailkeeper.model.window import Window

CONCURRENCY = 3
SECONDS_PER_CALL, SECONDS_PER_ROW = 8.0, 0.001
BAR = 1.15
HALF_A_MILLION = "half a million in two days"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("profiles", nargs="*", metavar="PROFILE")
    chosen = parser.parse_args().profiles or [HALF_A_MILLION, *list(PROFILES)[:4]]
    print(
        f"{'simulated seconds':32}{'':>9}{'calls':>7}{'took':>8}"
        f"{'ideal':>8}{'×':>6}{'whole':>8}{'×':>6}{'cold':>8}{'×':>6}"
    )
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
    records, cap = found.records(window), found.limits.cap
    ideal = (math.ceil(records / cap) * SECONDS_PER_CALL + records * SECONDS_PER_ROW) / CONCURRENCY
    whole = shortest(records, cap)
    bounds = [ideal, whole]
    if how == "cold":
        bounds.append(shortest_cold(records, cap))
    shown = "".join(f"{bound:>8.1f}{cost.seconds / bound:>6.2f}" for bound in bounds)
    print(f"{name:32}{how:>9}{cost.calls:>7,}{cost.seconds:>8.1f}{shown}", end="")
    print(_verdict(cost.seconds / ideal, cost.seconds / whole))


def _verdict(ideal: float, whole: float) -> str:
    if whole > BAR:
        return f"  over the bar: {BAR}"
    return "  by whole calls" if ideal > BAR else ""


def shortest(records: int, cap: int) -> float:
    """Seconds of the shortest schedule of whole calls that bring `records` on equal places."""
    return _least(lambda seconds: CONCURRENCY * _brought(seconds, cap) >= records)


def shortest_cold(records: int, cap: int) -> float:
    """The same where one place opens with the first answer, which takes a call at least, and one
    full answer is asked twice."""
    proof = SECONDS_PER_CALL + cap * SECONDS_PER_ROW
    late = CONCURRENCY - int(START)

    def enough(seconds: float) -> bool:
        early, opened = _brought(seconds, cap), _brought(seconds - SECONDS_PER_CALL, cap)
        with_proof = _brought(seconds - proof, cap)
        without = int(START) * early + late * opened
        # The proof takes its time on whichever place loses least by it.
        loss = min(early - with_proof, opened - _brought(seconds - SECONDS_PER_CALL - proof, cap))
        return without - loss >= records

    return _least(enough)


def _brought(seconds: float, cap: int) -> float:
    """Most records that one place brings within `seconds`, in whole calls."""
    calls = range(1, int(seconds // SECONDS_PER_CALL) + 1)
    brought = (min(cap * n, (seconds - n * SECONDS_PER_CALL) / SECONDS_PER_ROW) for n in calls)
    return max(brought, default=0.0)


def _least(enough: Callable[[float], bool]) -> float:
    """The least number of seconds that is `enough`, which more never undoes."""
    low, high = 0.0, SECONDS_PER_CALL
    while not enough(high):
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


if __name__ == "__main__":
    main()
