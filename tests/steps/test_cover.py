"""What coverage says of time that is out of reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.configured import settings_of
from trailkeeper.model.feed.rules import SEVEN_DAYS_ONLY
from trailkeeper.model.segment import Finding, Landed, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window
from trailkeeper.settings import CollectionSettings, TenantSettings
from trailkeeper.steps.cover import CoverStep
from trailkeeper.store.ledger import SqlLedger, open_ledger

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FEED = Stream("contoso", Source.ACTIVITY)
SEARCH = Stream("contoso", Source.EXCHANGE)
TENANT = """
tenant_id = "11111111-1111-1111-1111-111111111111"
domain = "contoso.onmicrosoft.com"
client_id = "22222222-2222-2222-2222-222222222222"

[certificate]
pfx = "contoso.pfx"
"""


def test_what_the_feed_forgot_before_it_was_asked_is_lost(tmp_path: Path) -> None:
    """A month of which the feed was never asked for the first weeks names them as lost to it; what
    it can still be asked for is only not collected yet. The search forgets nothing so soon."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    asked = Window(NOW - 6 * DAY, NOW, Axis.AVAILABLE)
    ledger.plan(FEED, lambda _: [NewSegment(FEED, asked, Purpose.INCREMENTAL)], NOW)
    cover = CoverStep(ledger, CollectionSettings(), frozenset(Source.known()))
    found = cover.of_stream(FEED, Window(NOW - 31 * DAY, NOW, Axis.AVAILABLE), NOW)
    lost = [gap for gap in found.gaps if gap.lost]
    assert [gap.reason for gap in lost] == [SEVEN_DAYS_ONLY]
    assert abs(lost[0].window.end - (NOW - 7 * DAY)) < timedelta(minutes=5)
    assert not any(gap.lost for gap in found.gaps if gap.window.start > NOW - 7 * DAY)
    search = Stream("contoso", Source.EXCHANGE)
    assert not any(
        gap.lost for gap in cover.of_stream(search, Window(NOW - 31 * DAY, NOW), NOW).gaps
    )
    ledger.close()


# --- where coverage begins when no range is asked ------------------------------------------------


@pytest.fixture
def tenant(tmp_path: Path) -> TenantSettings:
    """Without `since`, as most begin."""
    return settings_of(tmp_path, "contoso", TENANT).tenant("contoso")


def looked(
    ledger: SqlLedger,
    days: tuple[int, int],
    verdict: Verdict,
    purpose: Purpose = Purpose.COLLECT,
    evidence: dict[str, object] | None = None,
) -> None:
    """One segment from so many days ago to so many days ago, and what was found there."""
    window = Window(NOW - days[0] * DAY, NOW - days[1] * DAY)
    rounds = len(ledger.findings(SEARCH, window))
    ledger.plan(SEARCH, lambda _: [NewSegment(SEARCH, window, purpose, rounds)], NOW)
    (segment,) = ledger.due(NOW, 1, 9)
    leased = ledger.lease(segment.id, "worker", NOW, NOW + DAY, 9)
    assert leased is not None
    finding = Finding(window, verdict, NOW, "why", evidence or {})
    if verdict is Verdict.LOST:
        ledger.lose(leased.lease, [finding], NOW)
        return
    ledger.land(leased.lease, Landed(None, 0, 0, 1), [finding], [], NOW)


def begins(ledger: SqlLedger, tenant: TenantSettings) -> int:
    """How many days ago the coverage begins that nobody named a range for."""
    cover = CoverStep(ledger, CollectionSettings(), frozenset(Source.known()))
    (stated,) = cover.of_tenant(tenant, NOW)
    return (NOW - stated.range.start).days


def since(tenant: TenantSettings, days: int) -> TenantSettings:
    return tenant.model_copy(update={"since": NOW - days * DAY})


def test_a_mistyped_year_is_not_what_should_be_collected(
    ledger: SqlLedger, tenant: TenantSettings
) -> None:
    """Time that was never in reach is left out of the coverage without a range, together with the
    hole behind it; a range that is named still calls it lost."""
    looked(ledger, (2500, 2470), Verdict.LOST)
    looked(ledger, (31, 0), Verdict.COMPLETE)
    assert begins(ledger, tenant) == 31
    cover = CoverStep(ledger, CollectionSettings(), frozenset(Source.known()))
    named = cover.of_stream(SEARCH, Window(NOW - 2500 * DAY, NOW - 2400 * DAY), NOW)
    assert [gap.lost for gap in named.gaps] == [True, False]


def test_what_is_lost_before_what_was_had_is_stated(
    ledger: SqlLedger, tenant: TenantSettings
) -> None:
    """A range whose beginning the source no longer has stays incomplete; `since` ends that."""
    looked(ledger, (400, 180), Verdict.LOST)
    looked(ledger, (180, 0), Verdict.COMPLETE)
    assert begins(ledger, tenant) == 400
    assert begins(ledger, since(tenant, 100)) == 180


def test_what_is_lost_alone_is_still_stated(ledger: SqlLedger, tenant: TenantSettings) -> None:
    """When nothing that was asked for could be had, that is what coverage says."""
    looked(ledger, (2500, 2470), Verdict.LOST)
    assert begins(ledger, tenant) == 2500


@pytest.mark.parametrize("verdict", [Verdict.COMPLETE, Verdict.SUSPECT, Verdict.GAP])
def test_what_was_in_reach_once_is_never_left_out(
    ledger: SqlLedger, tenant: TenantSettings, verdict: Verdict
) -> None:
    """Time that could be had at the first look counts, though a later look found it lost."""
    looked(ledger, (400, 370), verdict)
    looked(ledger, (400, 370), Verdict.LOST)
    looked(ledger, (31, 0), Verdict.COMPLETE)
    assert begins(ledger, tenant) == 400


def test_listed_content_that_was_lost_is_never_left_out(
    ledger: SqlLedger, tenant: TenantSettings
) -> None:
    """What is known by name was in reach: that it is lost stays in the coverage, also apart."""
    looked(ledger, (90, 60), Verdict.LOST, evidence={"blobs_missing": 1})
    looked(ledger, (31, 0), Verdict.COMPLETE)
    assert begins(ledger, tenant) == 90


def test_time_that_waits_for_its_first_look_counts(
    ledger: SqlLedger, tenant: TenantSettings
) -> None:
    """What was asked for and not looked at yet is missing, and not left out."""
    looked(ledger, (2500, 2470), Verdict.LOST)
    looked(ledger, (31, 0), Verdict.COMPLETE)
    window = Window(NOW - 90 * DAY, NOW - 60 * DAY)
    ledger.plan(SEARCH, lambda _: [NewSegment(SEARCH, window, Purpose.COLLECT)], NOW)
    assert begins(ledger, tenant) == 90


def test_lost_time_that_since_wants_counts(ledger: SqlLedger, tenant: TenantSettings) -> None:
    """What is lost is left out only before `since`: from there on it should have been had."""
    wanting = since(tenant, 100)
    looked(ledger, (2500, 31), Verdict.LOST)
    looked(ledger, (31, 0), Verdict.COMPLETE)
    assert begins(ledger, wanting) == 100


def test_a_since_that_is_corrected_is_where_the_service_begins(
    ledger: SqlLedger, tenant: TenantSettings
) -> None:
    """After a mistyped `since`, what the service lost before the right one is left out; what it
    could have still counts."""
    looked(ledger, (2500, 200), Verdict.LOST, Purpose.BACKFILL)
    looked(ledger, (200, 0), Verdict.COMPLETE, Purpose.INCREMENTAL)
    assert begins(ledger, since(tenant, 2500)) == 2500
    assert begins(ledger, tenant) == 2500
    assert begins(ledger, since(tenant, 100)) == 200
