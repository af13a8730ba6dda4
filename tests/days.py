"""Days for records that a service is asked for: written as October 2026, meant as recent ones.

A service forgets what is older than half a year, so a test that asks it for a fixed day would end
with the day. The tests say the fifth of October 2026, a Monday, and mean the Monday eight weeks
before the run.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_WRITTEN = date(2026, 10, 5)
_AGO = timedelta(weeks=8)


def _shift() -> timedelta:
    """From what is written to what is meant: whole weeks, so that a Monday stays a Monday."""
    today = datetime.now(UTC).date()
    return today - timedelta(days=today.weekday()) - _AGO - _WRITTEN


SHIFT = _shift()
MONDAY = datetime(2026, 10, 5, tzinfo=UTC) + SHIFT


def recent(text: str) -> str:
    """The text with each day that it names in ISO form (`2026-10-05`) as the day that is meant."""
    return re.sub(
        r"20\d\d-\d\d-\d\d", lambda found: str(date.fromisoformat(found[0]) + SHIFT), text
    )
