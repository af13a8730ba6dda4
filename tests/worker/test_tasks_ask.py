"""A task does what the ledger says is due, whatever a message asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from tests.clocks import HandClock
from tests.contract.outbox_words import OCTOBER, RENDERED
from trailkeeper.bootstrap import READABLE, World
from trailkeeper.errors import ConfigurationError
from trailkeeper.messages import Task
from trailkeeper.model.report import Month
from trailkeeper.settings import load
from trailkeeper.steps.compact import NOT_AGAIN, TURN, TURNS, whose_turn
from trailkeeper.steps.plan import plan_tenants

NOW = datetime(2026, 10, 2, 0, 45, tzinfo=UTC)
DAY = timedelta(days=1)
MAIN = """
[service]
redis = "redis://127.0.0.1:1/0"
[mail]
sender = "audit@msp.example"
smtp = { host = "127.0.0.1", port = 1, security = "none" }
"""
TENANT = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
sources = ["exchange"]
since = 2026-10-01
[certificate]
pfx = "contoso.pfx"
[report]
to = ["security@contoso.example"]
timezone = "UTC"
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One tenant whose collection began a day ago."""
    (tmp_path / "tenants").mkdir()
    (tmp_path / "trailkeeper.toml").write_text(MAIN)
    (tmp_path / "tenants" / "contoso.toml").write_text(TENANT)
    monkeypatch.setenv("TRAILKEEPER_CONFIG", str(tmp_path))
    world = World(load(tmp_path), clock=HandClock(NOW))
    plan_tenants(world.settings, world.ledger, READABLE, NOW)
    yield world
    world.close()


@pytest.fixture
def tasks() -> ModuleType:
    from worker import tasks

    return tasks


def _clock(world: World) -> HandClock:
    assert isinstance(world.clock, HandClock)
    return world.clock


def test_old_months_and_one_that_just_ended_are_not_reported(
    world: World, tasks: ModuleType
) -> None:
    """Four years before the tenant began, the running month, the month that ended an hour ago, no
    month at all, another tenant: nothing reaches the outbox, and no month is closed."""
    _clock(world).time = datetime(2026, 11, 1, 1, tzinfo=UTC)
    asked = [f"{year}-{month:02}" for year in range(2000, 2004) for month in range(1, 13)]
    for month in [*asked, "2026-10", "2026-11", "2999-01", "../../x", ""]:
        assert tasks.STEPS[Task.REPORT_MONTH](world, "contoso", month) == "not due"
    assert tasks.STEPS[Task.REPORT_MONTH](world, "nobody", "2026-10") == "not due"
    assert world.outbox.due(_clock(world).time + 365 * DAY, 100) == []
    assert not world.outbox.reported("contoso", Month(2026, 10))
    assert not world.reports_folder.exists()


def test_a_month_that_is_due_is_reported_once(world: World, tasks: ModuleType) -> None:
    """However often its message comes; what it enqueues is delivered only when it is due."""
    _clock(world).time = datetime(2026, 12, 20, tzinfo=UTC)
    report = tasks.STEPS[Task.REPORT_MONTH]
    assert report(world, "contoso", "2026-10") == "queued"
    assert [report(world, "contoso", "2026-10") for _ in range(3)] == ["not due"] * 3
    (outbox_id,) = world.outbox.due(_clock(world).time, 100)
    deliver = tasks.STEPS[Task.DELIVER]
    assert deliver(world, outbox_id) == "postponed"  # no mail server is there
    assert deliver(world, outbox_id) == "not_ours"
    assert deliver(world, outbox_id + 1) == "not_ours"


def test_a_table_is_compacted_at_its_turn_and_once(world: World, tasks: ModuleType) -> None:
    """A name that is a path, a tenant that is not configured or not in turn, a second message:
    nothing is touched."""
    compact, clock = tasks.STEPS[Task.COMPACT_TENANT], _clock(world)
    for name in ("nobody", "../../redis", "/etc", "..", ""):
        assert compact(world, name) == "not due"
    while "contoso" not in whose_turn(["contoso"], clock.time):
        assert compact(world, "contoso") == "not due"
        clock.time += TURN
    assert compact(world, "contoso") == "done"
    assert compact(world, "contoso") == "not due"
    clock.time += TURN * TURNS
    assert NOT_AGAIN < TURN * TURNS
    assert compact(world, "contoso") == "done"


def test_every_tenant_has_one_turn_in_six_hours() -> None:
    """Twelve turns in a row are all of them, each once."""
    tenants = [f"t{number:03}" for number in range(100)]
    turns = [whose_turn(tenants, NOW + TURN * number) for number in range(TURNS)]
    assert sorted(name for turn in turns for name in turn) == tenants
    assert max(map(len, turns)) - min(map(len, turns)) <= 1


def test_nothing_landed_is_nothing_to_merge(world: World, tasks: ModuleType) -> None:
    """A merge of a tenant without landed segments stores nothing and makes no table."""
    for name in ("contoso", "nobody", "../../etc"):
        assert tasks.STEPS[Task.MERGE_TENANT](world, name) == "stored 0 of 0"
    assert not (world.settings.service.data / "lake").exists()


def test_nothing_is_done_for_another_customer_under_the_name(
    world: World, tasks: ModuleType, tmp_path: Path
) -> None:
    """A report that waits is kept back while its tenant's file names another directory, nothing is
    merged or compacted; it is tried again once the file is put back."""
    clock, deliver = _clock(world), tasks.STEPS[Task.DELIVER]
    world.identify("contoso")
    outbox_id = world.outbox.enqueue(
        "contoso", OCTOBER, "<1@msp.example>", ["a@b.example"], RENDERED, clock.time
    )
    assert outbox_id is not None
    changed = TENANT.replace("8000-000000000001", "8000-000000000009")
    (tmp_path / "tenants" / "contoso.toml").write_text(changed)
    other = World(load(tmp_path), clock=clock)
    try:
        assert deliver(other, outbox_id) == "postponed"
        for task in (Task.MERGE_TENANT, Task.COMPACT_TENANT):
            with pytest.raises(ConfigurationError, match="names the directory"):
                tasks.STEPS[task](other, "contoso")
    finally:
        other.close()
    kept_back = world.outbox.newest("contoso", OCTOBER)
    assert kept_back is not None
    assert "names the directory" in kept_back.error
    clock.time += timedelta(minutes=3)
    assert deliver(world, outbox_id) == "refused"  # the files of this report are made up
    tried = world.outbox.newest("contoso", OCTOBER)
    assert tried is not None
    assert "names the directory" not in tried.error
