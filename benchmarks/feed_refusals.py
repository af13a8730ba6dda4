"""A feed that refuses by chance is read on; one that throttles is obeyed.

    python -m benchmarks.feed_refusals [--records 30000] [--latency 0.15] [--share 0.07]

One tenant's back-fill over a sandbox, by one pulling process: undisturbed; with a share of all its
requests refused by lot, without Retry-After (AF429 in its three shapes, 500, 503, resets, cut
bodies); while the feed answers AF429 to everything for half a minute; while it answers 429 with
Retry-After for as long. Printed: records and requests a second, the share of the undisturbed rate,
and how many requests a service got that wanted none.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.feed_cold import AXIS, BLOB_RECORDS, _ours, _subscribe
from benchmarks.lab import TENANT, Lab, lab
from trailkeeper import logs
from trailkeeper.model.window import Window

AFTER = 3.0
"""seconds that go well before a service begins to throttle"""
THROTTLED = 30.0
"""seconds for which it does"""
FEED = ("content", "content_page", "blob", "subscriptions")
CHANCES: tuple[tuple[str, dict[str, object]], ...] = (
    ("af429", {"form": "json", "seed": 1}),
    ("af429", {"form": "single_quoted", "seed": 2}),
    ("af429", {"form": "empty", "seed": 3}),
    ("server_error", {"status": 500, "seed": 4}),
    ("server_error", {"status": 503, "seed": 5}),
    ("reset", {"seed": 6}),
    ("cut_body", {"seed": 7}),
)


@dataclass(frozen=True)
class Told:
    """Of one back-fill: how long it took, what it asked."""

    seconds: float
    requests: int
    refused: int = 0
    """requests that a service got within `THROTTLED` seconds"""


def main() -> None:
    options = _options()
    logs.configure("error")
    end = datetime.now(UTC).replace(microsecond=0)
    window = Window(end - timedelta(hours=20), end, AXIS)
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        _fill(found, window, options)
        calm = _run(found, window, "calm", options.records)
        for name, params in CHANCES:
            chance = options.share / len(CHANCES)
            found.control.set_fault(name, TENANT, times=0, chance=chance, calls=FEED, **params)
        refusing = _run(found, window, "refusing", options.records)
        played = sum(each["played"] for each in found.control.faults())
        found.control.clear_faults()
        _print("undisturbed", calm, options.records, calm)
        _print(f"{options.share:.0%} refused", refusing, options.records, calm)
        print(f"  {played} of {refusing.requests} requests were refused")
        for label, fault in (
            ("AF429 to everything", ("af429", {})),
            (f"Retry-After: {THROTTLED:.0f}", ("throttled", {"seconds": int(THROTTLED)})),
        ):
            throttled = _throttled(found, window, options.records, *fault)
            undisturbed = calm.requests / calm.seconds * THROTTLED
            print(
                f"{label:<20} {throttled.refused:>6,} requests in {THROTTLED:.0f} s, "
                f"undisturbed {undisturbed:,.0f}; all was read after {throttled.seconds:.0f} s"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--latency", type=float, default=0.15, help="seconds a blob")
    parser.add_argument("--share", type=float, default=0.07, help="of the requests, refused by lot")
    return parser.parse_args()


def _fill(found: Lab, window: Window, options: argparse.Namespace) -> None:
    found.control.alter(
        TENANT,
        blob_records=BLOB_RECORDS,
        blob_sizes="fixed",
        blob_seconds=3600,
        seconds_per_blob=options.latency,
        requests_per_minute=1_000_000,
        anonymous_per_minute=1_000_000,
    )
    begin = (window.start + timedelta(minutes=5)).isoformat()
    found.control.crowd(TENANT, begin, options.records, seconds=18 * 3600)
    _subscribe(found)
    found.control.render_blobs()


def _run(found: Lab, window: Window, name: str, records: int) -> Told:
    found.control.clear_counters()
    seconds, _ = _ours(found, window, name, records, 1)
    return Told(seconds, _requests(found))


def _throttled(
    found: Lab, window: Window, records: int, fault: str, params: dict[str, object]
) -> Told:
    """As `_run`, with a fault on every request of the feed for a while."""
    wanted_none: list[int] = []

    def disturb() -> None:
        while not _requests(found):
            time.sleep(0.05)
        time.sleep(AFTER / 2)
        number = found.control.set_fault(fault, TENANT, times=0, calls=FEED, **params)
        before = _requests(found)
        time.sleep(THROTTLED)
        wanted_none.append(_requests(found) - before)
        found.control.clear_faults(number)

    found.control.clear_counters()
    thread = threading.Thread(target=disturb)
    thread.start()
    seconds, _ = _ours(found, window, fault, records, 1)
    thread.join()
    return Told(seconds, _requests(found), wanted_none[0])


def _requests(found: Lab) -> int:
    """That the feed got of the tenant."""
    called = found.control.counters()["by_tenant"].get(TENANT, {})
    return sum(called.get(call, 0) for call in FEED)


def _print(label: str, told: Told, records: int, calm: Told) -> None:
    share = calm.seconds / told.seconds
    print(
        f"{label:<20} {records / told.seconds:>7,.0f} records/s, "
        f"{told.requests / told.seconds:,.0f} requests/s, {told.seconds:.1f} s: "
        f"{share:.0%} of the undisturbed rate"
    )


if __name__ == "__main__":
    main()
