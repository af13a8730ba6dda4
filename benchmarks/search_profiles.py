"""The five tenants that searches are measured on: one learned week, then the month."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from benchmarks.search_model import Model, model
from sandbox import additions
from sandbox.clock import micros
from sandbox.tenants import Tenant
from trailkeeper.model.window import Window

MONTH = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
WEEK = Window(MONTH.start - timedelta(days=7), MONTH.start)
TWO_DAYS = Window(MONTH.start + timedelta(days=5), MONTH.start + timedelta(days=7))
_BURSTS = [MONTH.start + timedelta(days=d, hours=10, minutes=20) for d in (-2, 5, 12, 19, 26)]
"""60,000 records in ten minutes, each Tuesday"""

Fill = Callable[[Tenant], object]


def _office(rate: int, rhythm: str) -> Fill:
    start, end = micros(WEEK.start), micros(MONTH.end)
    return lambda tenant: additions.generate(tenant, "profile", start, end, rate, rhythm)


def _bursts(tenant: Tenant) -> None:
    _office(250_000, "office")(tenant)
    for at in _BURSTS:
        additions.crowd(tenant, f"burst {at}", micros(at), 600, 60_000)


PROFILES: dict[str, Fill] = {
    "2k a weekday, empty nights": _office(2_000, "empty-nights"),
    "8k a weekday, empty nights": _office(8_000, "empty-nights"),
    "20k a weekday, empty nights": _office(20_000, "empty-nights"),
    "20k a day, never empty": _office(20_000, "steady"),
    "250k a day, 60k in ten minutes": _bursts,
}


def profile(name: str) -> Model:
    """A model service with the records of this profile."""
    made = model()
    PROFILES[name](made.tenant)
    return made


def empty_first_month() -> tuple[Model, Window]:
    """Two months, the first empty, the second with 25,000 records; nothing is known of either."""
    made = model()
    both = Window(MONTH.start - timedelta(days=31), MONTH.end)
    start, end = micros(MONTH.start), micros(MONTH.end)
    additions.generate(made.tenant, "second month", start, end, 25_000 / 31, "steady")
    return made, both


def half_a_million() -> Model:
    """A Tuesday and a Wednesday of 500,000 records, 60,000 of them in ten minutes; the week before
    the month likewise."""
    made = model()
    _office(220_000, "office")(made.tenant)
    for at in _BURSTS:
        additions.crowd(made.tenant, f"burst {at}", micros(at), 600, 60_000)
    return made
