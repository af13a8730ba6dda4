"""Months to render: what a tenant's report is made of, without a lake or a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import BinaryIO
from zoneinfo import ZoneInfo

from trailkeeper.model.coverage import Coverage, Stretch
from trailkeeper.model.expiry import CertificateNote
from trailkeeper.model.report import Count, DayCount, Figures, Month, MonthReport
from trailkeeper.model.segment import MergeCounts
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, subtract

ZONE = ZoneInfo("Europe/Berlin")
MONTH = Month(2026, 10)
WINDOW = MONTH.window(ZONE)
EXCHANGE = Stream("contoso", Source.EXCHANGE)
RENDERED_AT = datetime(2026, 11, 2, 6, tzinfo=UTC)

WORKLOADS = (
    "SharePoint",
    "Exchange",
    "AzureActiveDirectory",
    "OneDrive",
    "MicrosoftTeams",
    "SecurityComplianceCenter",
    "PowerBI",
    "MicrosoftForms",
    "Yammer",
    "Dynamics365",
    "MicrosoftFlow",
    "ThreatIntelligence",
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "line\r\nBcc: everyone@evil.example\r\n\r\nbody",
    "invoice\u202egnp.exe",
    "\u2066\u200b\u00ad\ufeffhidden\x00\x07\x1b[31m",
    "x" * 10_000,
    '=HYPERLINK("http://evil.example","click")',
    "{{ 7 * 7 }} {% raw %}",
    "_leading $\\frac{1}{0}$ underscore",
    "Z\u0351\u0351\u0351\u0351\u0351\u0351\u0351algo",
    "漢字 😀 \ud800",
    "",
)


def local(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=ZONE)


def stretch(start: datetime, length: timedelta, reason: str) -> Stretch:
    return Stretch(Window(start, start.astimezone(UTC) + length), reason)


def coverage(
    stream: Stream = EXCHANGE,
    gaps: Sequence[Stretch] = (),
    suspect: Sequence[Stretch] = (),
    provisional: Sequence[Window] = (),
    counts: MergeCounts | None = None,
) -> Coverage:
    """Of the whole month; stretches are put on the stream's own axis."""
    axis = stream.source.axis
    asked = Window(WINDOW.start, WINDOW.end, axis)
    gaps, suspect = (
        [replace(s, window=Window(s.window.start, s.window.end, axis)) for s in stretches]
        for stretches in (gaps, suspect)
    )
    return Coverage(
        stream=stream,
        range=asked,
        complete=tuple(subtract([asked], [s.window for s in (*gaps, *suspect)])),
        provisional=tuple(provisional),
        suspect=tuple(suspect),
        gaps=tuple(gaps),
        counts=counts or MergeCounts(2_000, 1_900, 100, 3),
    )


def figures(
    workloads: Sequence[str] = WORKLOADS,
    operations: Sequence[str] = ("FileAccessed", "UserLoggedIn"),
    users: Sequence[str] = ("anna@contoso.example", "S-1-5-18"),
) -> Figures:
    """31 days of `workloads`, the first the busiest, weekends quiet."""
    days = [date(2026, 10, n) for n in range(1, 32)]
    by_day = tuple(
        DayCount(day, name, (1_000 if day.weekday() < 5 else 40) // (rank + 1))
        for rank, name in enumerate(workloads)
        for day in days
    )
    records = sum(count.records for count in by_day)
    return Figures(
        records=records,
        by_day=by_day,
        by_operation=tuple(Count(name, records // (n + 2)) for n, name in enumerate(operations)),
        by_user=tuple(Count(name, records // (n + 2)) for n, name in enumerate(users)),
        users=437,
        sign_ins_failed=1_203,
        malformed=2,
        keyless=14,
        conflicting=4,
    )


def month_report(
    figures: Figures | None = None,
    coverages: Sequence[Coverage] | None = None,
    tenant: str = "contoso",
    domain: str = "contoso.onmicrosoft.com",
    certificates: Sequence[CertificateNote] = (),
) -> MonthReport:
    return MonthReport(
        tenant=tenant,
        domain=domain,
        month=MONTH,
        timezone="Europe/Berlin",
        window=WINDOW,
        figures=figures or Figures(0),
        coverage=tuple([coverage()] if coverages is None else coverages),
        rendered_at=RENDERED_AT,
        certificates=tuple(certificates),
    )


CSV = b'Id,Operation\r\n1,FileAccessed\r\n2,"a, ""b"""\r\n'


def write_csv(out: BinaryIO) -> int:
    """Two records, written in two pieces."""
    out.write(CSV[:20])
    out.write(CSV[20:])
    return 2
