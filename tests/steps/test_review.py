"""A month's review over a real lake: states, counts, the month before, the contract's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.configured import settings_of
from tests.mail.reports import EXCHANGE, coverage
from tests.store.lake_words import TENANT, World, record
from tests.store.review.test_evaluating import forwarding
from trailkeeper.model.coverage import Coverage, Stretch
from trailkeeper.model.report import Month
from trailkeeper.model.review.control import Control, Reviewed, State
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.rules.loading import shipped
from trailkeeper.settings import Settings
from trailkeeper.steps.review import ReviewStep

OCTOBER = Month(2026, 10)
ORDER = [
    "emergency-accounts",
    "accounts",
    "roles",
    "sign-in-security",
    "mail-forwarding",
    "mailbox-rights",
    "applications",
    "tenant-doors",
    "audit-tampering",
    "sign-ins",
    "files",
    "microsoft-alerts",
    "partner-access",
]
FILE = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "0000000A-0000-4000-8000-000000000002"
sources = ["exchange", "activity"]
[certificate]
pfx = "contoso.pfx"
[report]
timezone = "Europe/Berlin"
emergency_accounts = ["BreakGlass@contoso.example"]
"""
AFTER = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "config"
    folder.mkdir()
    return settings_of(folder, TENANT, FILE)


def feed(kind: str, missing: bool = False) -> Coverage:
    """One content type of the feed over October, with an hour missing or not."""
    stream = Stream(TENANT, Source.ACTIVITY, f"Audit.{kind}")
    start = OCTOBER.window(UTC).start + timedelta(days=3)
    gap = Stretch(Window(start, start + timedelta(hours=1)), "503")
    return coverage(stream, gaps=[gap] if missing else [])


def reviewed(
    world: World,
    settings: Settings,
    october: Sequence[Coverage] = (),
    september: Sequence[Coverage] = (),
    now: datetime = AFTER,
) -> dict[str, Reviewed]:
    step = ReviewStep(world.lake, lambda: [each.rule for each in shipped()])
    found = step(settings.tenants[TENANT], OCTOBER, october, september, now)
    return {each.control.value: each for each in found}


def test_controls_come_in_the_order_that_is_promised(tmp_path: Path, settings: Settings) -> None:
    """All thirteen, also where nothing was ever stored; then nothing is proven."""
    found = reviewed(World(tmp_path), settings)
    assert list(found) == ORDER == [control.value for control in Control]
    assert {each.state for each in found.values()} == {State.UNKNOWN}


def test_a_month_and_the_one_before_are_counted(tmp_path: Path, settings: Settings) -> None:
    """Borders are those of the tenant's month; what our own application did counts in neither."""
    world = World(tmp_path)
    world.store(
        forwarding(1, "2026-09-30T21:59:59"),
        forwarding(2, "2026-09-30T22:00:00"),
        forwarding(3, "2026-10-31T22:59:59"),
        forwarding(4, "2026-10-31T23:00:00"),
        forwarding(5, "2026-10-10T00:00:00", AppId="0000000a-0000-4000-8000-000000000002"),
        record("e", Operation="UserLoggedIn", UserId="breakglass@CONTOSO.example", UserType=0),
    )
    found = reviewed(world, settings, [coverage()])
    forward = found["mail-forwarding"]
    assert (forward.state, forward.count, forward.previous) == (State.FOUND, 2, 1)
    assert [each.id for each in forward.notable] == ["f2", "f3"]
    assert forward.previous_state is State.FOUND
    assert found["emergency-accounts"].count == 1
    assert found["roles"].state is State.NOTHING
    assert found["roles"].previous_state is State.UNKNOWN


def test_nothing_is_said_only_where_the_workloads_are_proven(
    tmp_path: Path, settings: Settings
) -> None:
    """A gap of one content type leaves open the controls that it decides, and no others."""
    kinds = ["AzureActiveDirectory", "Exchange", "General", "SharePoint"]
    streams = [feed(kind, missing=kind == "SharePoint") for kind in kinds]
    found = reviewed(World(tmp_path), settings, streams)
    unknown = {name for name, each in found.items() if each.state is State.UNKNOWN}
    assert unknown == {
        "emergency-accounts",
        "files",
        "partner-access",
        "roles",
        "tenant-doors",
    }
    assert {found[name].state for name in set(found) - unknown} == {State.NOTHING}


def test_what_was_found_is_found_although_records_are_missing(
    tmp_path: Path, settings: Settings
) -> None:
    """A finding needs no proof; the absence of one does."""
    world = World(tmp_path)
    world.store(forwarding(1, "2026-10-03T08:00:00"))
    found = reviewed(world, settings, [feed("Exchange", missing=True)])
    assert found["mail-forwarding"].state is State.FOUND
    assert found["mailbox-rights"].state is State.UNKNOWN


def test_half_a_month_that_was_asked_proves_nothing_of_the_other(
    tmp_path: Path, settings: Settings
) -> None:
    """Complete over its own range is not complete over the month."""
    whole = coverage()
    half = replace(whole, range=Window(whole.range.start + timedelta(days=15), whole.range.end))
    assert {each.state for each in reviewed(World(tmp_path), settings, [half]).values()} == {
        State.UNKNOWN
    }


def test_a_running_month_is_reviewed_up_to_now(tmp_path: Path, settings: Settings) -> None:
    """What is proven so far may be said of so far."""
    now = datetime(2026, 10, 14, 10, tzinfo=UTC)
    window = OCTOBER.window(settings.tenants[TENANT].zone)
    so_far = Coverage(EXCHANGE, Window(window.start, now), (Window(window.start, now),), (), (), ())
    found = reviewed(World(tmp_path), settings, [so_far], now=now)
    assert {each.state for each in found.values()} == {State.NOTHING}
