"""What an operator may write for times, months and sources, and what we say to the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import SequenceMatcher

from trailkeeper.errors import UsageError
from trailkeeper.model.report import Month
from trailkeeper.model.stream import Source
from trailkeeper.model.window import iso, parse_instant

Range = tuple[datetime, datetime]

FIRST_EVER = datetime(2011, 1, 1, tzinfo=UTC)
"""no audit log of Microsoft 365 is older than the service itself"""
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


def instant(option: str, text: str) -> datetime:
    """Read ISO 8601. Raises `UsageError`."""
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text!r} is not a time",
            "Write ISO 8601, for example 2026-10-01 or 2026-10-01T08:00:00Z.",
        ) from None


def ordered(start: datetime, end: datetime) -> Range:
    """Raises `UsageError` for a range that is empty or turned around."""
    if start >= end:
        raise UsageError(
            f"--from {iso(start)} is not before --to {iso(end)}",
            "Ranges are [from, to): name an earlier start or a later end.",
        )
    return start, end


def stored_range(start: str | None, end: str | None) -> Range | None:
    """The range that `--from` and `--to` name, open where one is missing; None: everything."""
    if start is None and end is None:
        return None
    return ordered(
        instant("--from", start) if start else FIRST_EVER,
        instant("--to", end) if end else END_OF_TIME,
    )


def past_range(start: str, end: str | None, now: datetime) -> tuple[Range, bool]:
    """A range to ask Microsoft for, ending now at the latest; whether it had to be cut there."""
    first = instant("--from", start)
    last = instant("--to", end) if end else max(first, now)
    if end:
        ordered(first, last)
    if first >= now:
        raise UsageError(
            f"--from {iso(first)} lies in the future", "Name a range that has begun already."
        )
    if first < FIRST_EVER:
        raise UsageError(
            f"--from {iso(first)} is older than any audit log",
            f"Name a year from {FIRST_EVER.year} on.",
        )
    return (first, min(last, now)), last > now


def month(text: str) -> Month:
    """Raises `UsageError`."""
    try:
        return Month.parse(text)
    except ValueError:
        raise UsageError(
            f"--month {text!r} is not a month", "Write it as YYYY-MM, for example 2026-10."
        ) from None


def chosen_sources(
    tenant: str, configured: tuple[Source, ...], named: str | None
) -> tuple[Source, ...]:
    """The configured sources, or the one named. Raises `UsageError` for any other word."""
    if named is None:
        return configured
    from trailkeeper.bootstrap import READABLE

    choices = [source.value for source in configured]
    if named in choices:
        return (Source(named),)
    nearest = sorted(choices, key=lambda choice: SequenceMatcher(None, choice, named).ratio())
    known = ", ".join(reversed(nearest))
    if named in READABLE:
        raise UsageError(
            f"{tenant} does not read the source {named!r}",
            f"Name one of {known}, or add it to `sources` in the tenant's file.",
        )
    raise UsageError(
        f"--source {named!r} is no source that this version reads",
        f"{tenant} reads these, the nearest first: {known}.",
    )
