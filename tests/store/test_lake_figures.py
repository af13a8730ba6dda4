"""The figures of a month, as the report states them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.store.lake_words import TENANT, World, october, record
from trailkeeper.model.report import Count, DayCount, Month
from trailkeeper.store import lake_figures

BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")


def test_counts_by_local_day_and_workload(tmp_path: Path) -> None:
    """Days are the zone's, also where its offset is not a whole hour."""
    world = World(tmp_path)
    world.store(
        record("a", "2026-10-01T18:14:59", Workload="Exchange"),
        record("b", "2026-10-01T18:15:00", Workload="Exchange"),
        record("c", "2026-10-01T22:00:00", Workload="SharePoint"),
        record("d", "2026-10-01T22:00:00"),
    )
    first, second = date(2026, 10, 1), date(2026, 10, 2)
    nepal = world.lake.figures(TENANT, october(0, 31), KATHMANDU)
    assert nepal.by_day == (
        DayCount(first, "Exchange", 1),
        DayCount(second, "(none)", 1),
        DayCount(second, "Exchange", 1),
        DayCount(second, "SharePoint", 1),
    )
    berlin = world.lake.figures(TENANT, october(0, 31), BERLIN)
    assert {(count.day, count.workload) for count in berlin.by_day} == {
        (first, "Exchange"),
        (second, "SharePoint"),
        (second, "(none)"),
    }
    assert berlin.by_workload == (Count("Exchange", 2), Count("(none)", 1), Count("SharePoint", 1))


def test_the_month_is_the_tenants(tmp_path: Path) -> None:
    """Records on the borders of a local month fall into the right one, summer time included."""
    world = World(tmp_path)
    world.store(
        record("before", "2026-09-30T21:59:59"),
        record("first", "2026-09-30T22:00:00"),
        record("last", "2026-10-31T22:59:59"),
        record("after", "2026-10-31T23:00:00"),
    )
    figures = world.lake.figures(TENANT, Month(2026, 10).window(BERLIN), BERLIN)
    assert figures.records == 2
    assert [count.day for count in figures.by_day] == [date(2026, 10, 1), date(2026, 10, 31)]
    assert figures.first_at == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert figures.first_at.tzinfo is BERLIN
    assert figures.last_at == datetime(2026, 10, 31, 22, 59, 59, tzinfo=UTC)


def test_rankings_name_the_twenty_most_frequent(tmp_path: Path) -> None:
    """Most frequent first, equal ones by name; users without a name are neither ranked nor
    counted."""
    world = World(tmp_path)
    world.store(
        *(
            record(f"{name}-{n}", Operation=f"Op{name:02d}", UserId=f"user{name:02d}")
            for name in range(30)
            for n in range(1 + name % 3)
        ),
        record("nobody"),
        record("empty", UserId=""),
    )
    figures = world.lake.figures(TENANT, october(0, 31), BERLIN)
    assert len(figures.by_operation) == len(figures.by_user) == 20
    assert figures.by_operation[:2] == (Count("Op02", 3), Count("Op05", 3))
    assert figures.by_user[-1] == Count("user28", 2)
    assert figures.users == 30


def test_a_user_in_two_spellings_is_one(tmp_path: Path) -> None:
    """User principal names do not tell case: counted together, shown as seen most, the first by
    name where two are seen equally often. Operations are told apart as they are written."""
    world = World(tmp_path)
    spellings = ["Corvin@x.example"] * 2 + ["corvin@x.example"] * 3 + ["CORVIN@x.example"]
    spellings += ["Éva@x.example", "éva@x.example", "zoe@x.example"]
    world.store(
        *(
            record(f"r{n}", UserId=spelling, Operation="Send" if n % 2 else "send")
            for n, spelling in enumerate(spellings)
        )
    )
    figures = world.lake.figures(TENANT, october(0, 31), BERLIN)
    assert figures.by_user == (
        Count("corvin@x.example", 6),
        Count("Éva@x.example", 2),
        Count("zoe@x.example", 1),
    )
    assert figures.users == 3
    assert len(figures.by_operation) == 2


@pytest.mark.parametrize("at_once", [1, 1_000_000])
def test_the_odd_ones_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Failed sign-ins by operation; malformed, keyless and conflicting records, days apart too."""
    monkeypatch.setattr(lake_figures, "_IDS_AT_ONCE", at_once)
    world = World(tmp_path)
    world.store(
        record("a", Operation="UserLoginFailed", ResultStatus="Success"),
        record("b", Operation="UserLoggedIn"),
        record("c", n=1),
        record("c", n=2),
        record("C"),
        record("d", "2026-10-05T00:00:00"),
        record("d", "2026-10-06T00:00:00"),
        record("e", "2026-10-06T00:00:00"),
        record("e", "2026-12-06T00:00:00"),
        record(None, n=1),
        record("f", AuditDataText="{"),
    )
    figures = world.lake.figures(TENANT, october(0, 31), BERLIN)
    assert figures.records == 10
    assert figures.sign_ins_failed == 1
    assert figures.conflicting == 4
    assert (figures.keyless, figures.malformed) == (1, 1)


def test_a_month_without_records(tmp_path: Path) -> None:
    """A window in which nothing was stored has zero of everything and no first instant."""
    world = World(tmp_path)
    world.store(record("a"))
    figures = world.lake.figures(TENANT, october(20, 30), BERLIN)
    assert (figures.records, figures.users, figures.by_day) == (0, 0, ())
    assert figures.first_at is None


def test_people_are_counted_apart_from_machines(tmp_path: Path) -> None:
    """Services by their type or their name, and applications, are no users; guests and partners'
    technicians are users, and counted by themselves as well. Spelling tells nobody apart."""
    world = World(tmp_path)
    who = [
        ("anna@contoso.example", 0),
        ("Anna@contoso.example", 2),
        ("bob@contoso.example", None),
        ("x_partner.example#EXT#@contoso.example", 0),
        ("urn:spo:anon#1", 10),
        ("tech@msp.example", 9),
        ("NT AUTHORITY\\SYSTEM (w3wp)", 2),
        ("nt authority\\system (w3wp)", 3),
        ("ServicePrincipal_1", 0),
        ("robot@contoso.example", 4),
        ("app@sharepoint", 5),
        ("sync@contoso.example", 6),
        (" ", 0),
    ]
    world.store(*(record(f"r{n}", UserId=u, UserType=t) for n, (u, t) in enumerate(who)))
    figures = world.lake.figures(TENANT, october(0, 31), BERLIN)
    assert (figures.users, figures.guests, figures.partners, figures.machines) == (5, 2, 1, 5)
    assert figures.by_user[0] == Count("Anna@contoso.example", 2)
    assert {count.name for count in figures.by_user[1:]} == {
        "bob@contoso.example",
        "tech@msp.example",
        "urn:spo:anon#1",
        "x_partner.example#EXT#@contoso.example",
    }
